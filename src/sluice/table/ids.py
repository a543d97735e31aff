"""Sample ids: 128 bits of the source's name and the sample's key in it, so they hold across runs and machines."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b


def sample_id(source: str, key: str) -> str:
    """The id of the sample `key` of `source`: 32 hexadecimal digits.

    >>> sample_id("photos", "beach/0001.jpg")
    'd8dba3745b5d15ab73320909cf4d6343'
    """
    return blake2b(f"{source}\0{key}".encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def fingerprint(*parts: str) -> str:
    """A name for what `parts` describe: 16 hexadecimal digits; equal parts give equal names.

    >>> fingerprint("a", "bc") == fingerprint("ab", "c")
    False
    """
    return fingerprint_of(parts)


def fingerprint_of(parts: Iterable[str]) -> str:
    """`fingerprint` of parts that are made one after the other."""
    digest = blake2b(digest_size=8)
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    return digest.hexdigest()
