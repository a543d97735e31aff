"""Names for models by what they are made of: SHA-256 over weights, tokenizer and configuration."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from sluice.errors import SluiceError

HASH_LENGTH = 32  # hexadecimal digits


def content_hash(parts: Mapping[str, Path | bytes]) -> str:
    """One name for `parts`, each under the name of the role it plays: 32 hexadecimal digits.

    Where a file lies does not count. A file is read once a process while its size and time stay the same.

    >>> content_hash({"config": b"{}"})
    '50b5559405ccc3ff6c402572d08c1e24'
    """
    whole = hashlib.sha256()
    for role in sorted(parts):
        part = parts[role]
        digest = hashlib.sha256(part).digest() if isinstance(part, bytes) else _file(part)
        name = role.encode()
        whole.update(len(name).to_bytes(4, "little") + name + digest)
    return whole.hexdigest()[:HASH_LENGTH]


def check_hash(found: str, asked: str | None, what: str) -> str:
    """`found`, unless another was asked for."""
    if asked is not None and found != asked:
        raise SluiceError(
            f"{what} has the hash {found}, and {asked} was asked for: it is another model or another version of it. "
            f"Point to the right one, or write hash: {found} if this is the one you mean"
        )
    return found


def _file(path: Path) -> bytes:
    try:
        status = path.stat()
        return _streamed(str(path.resolve()), status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise SluiceError(f"{path}: cannot be read: {error.strerror or error}") from error


@lru_cache(maxsize=4096)
def _streamed(path: str, size: int, modified: int) -> bytes:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()
