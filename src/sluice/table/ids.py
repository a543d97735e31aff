"""Sample ids: 128 bits of the source's name and the sample's key in it, so they hold across runs and machines."""

from __future__ import annotations

from binascii import hexlify
from collections.abc import Iterable
from hashlib import blake2b
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Part = str | npt.NDArray[Any]
_PIECE: Final = 1 << 20  # bytes whose digits are written at a time


def sample_id(source: str, key: str) -> str:
    """The id of the sample `key` of `source`: 32 hexadecimal digits.

    >>> sample_id("photos", "beach/0001.jpg")
    'd8dba3745b5d15ab73320909cf4d6343'
    """
    return blake2b(f"{source}\0{key}".encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def fingerprint(*parts: Part) -> str:
    """A name for what `parts` describe: 16 hexadecimal digits; equal parts give equal names.

    An array stands for the hexadecimal digits of its bytes, which are never all written out.

    >>> fingerprint("a", "bc") == fingerprint("ab", "c")
    False
    >>> fingerprint(np.array([1, 255], np.uint8)) == fingerprint("01ff")
    True
    """
    return fingerprint_of(parts)


def fingerprint_of(parts: Iterable[Part]) -> str:
    """`fingerprint` of parts that are made one after the other."""
    digest = blake2b(digest_size=8)
    for part in parts:
        if isinstance(part, str):
            encoded = part.encode("utf-8", "surrogatepass")
            digest.update(len(encoded).to_bytes(8, "little"))
            digest.update(encoded)
            continue
        data = np.ascontiguousarray(part).reshape(-1).view(np.uint8)
        digest.update((2 * data.size).to_bytes(8, "little"))
        for start in range(0, data.size, _PIECE):
            digest.update(hexlify(data[start : start + _PIECE].data))
    return digest.hexdigest()
