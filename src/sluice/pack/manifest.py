"""The manifest of a pack and its checksums: what the loader plans from, and what proves a copy whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from sluice.errors import RunError
from sluice.table.commit import write_bytes, write_pieces
from sluice.table.schema import MANIFEST

MANIFEST_FILE: Final = "manifest.parquet"
INDEXED: Final = b"sluice.index"  # among the facts of a manifest: of tars that others wrote
AUGMENT_FILE: Final = "augment.json"  # the steps of augmentation that a recipe declares
CHECKSUMS_FILE: Final = "SHA256SUMS"
_HEX_DIGITS: Final = 64


def write_manifest(folder: Path, shards: Iterable[pa.Table], facts: Mapping[bytes, bytes] | None = None) -> int:
    """Commit the rows of all `shards`, in order, as `manifest.parquet`; returns how many there are.

    Row groups are cut anew, so the bytes depend on the rows alone and not on how the shards cut them. `facts` are kept
    with the schema: what a manifest is that no packing wrote.
    """
    schema = MANIFEST.with_metadata(facts) if facts else MANIFEST
    return write_pieces(folder / MANIFEST_FILE, schema, shards)


def read_manifest(folder: Path) -> pa.Table:
    """The manifest of the pack in `folder`; RunError where there is none."""
    path = folder / MANIFEST_FILE
    try:
        return pq.read_table(path, schema=MANIFEST)
    except (OSError, pa.ArrowException) as error:
        raise RunError(f"{path} is no manifest ({error}): the pack is not finished or damaged") from error


def write_checksums(folder: Path, checksums: Mapping[str, str]) -> None:
    """Commit `SHA256SUMS`: SHA-256 by path below `folder`, sorted; `sha256sum -c SHA256SUMS` checks it."""
    lines = [f"{checksums[path]}  {path}\n" for path in sorted(checksums)]
    write_bytes(folder / CHECKSUMS_FILE, "".join(lines).encode())


def read_checksums(folder: Path) -> dict[str, str]:
    """SHA-256 by path below `folder`; RunError where the file is missing or is not what we write."""
    path = folder / CHECKSUMS_FILE
    try:
        return parse_checksums(path.read_bytes(), path)
    except OSError as error:
        raise RunError(f"{path} cannot be read ({error}): the pack is not finished or damaged") from error


def parse_checksums(data: bytes, path: Path | str) -> dict[str, str]:
    """SHA-256 by path, from the bytes of a checksums file; RunError that names `path` where they are not as ours."""
    try:
        lines = data.decode().splitlines()
    except UnicodeDecodeError as error:
        raise RunError(f"{path} cannot be read ({error}): the pack is not finished or damaged") from error
    checksums: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        digest, separator, name = line.partition("  ")
        if not (separator and name and len(digest) == _HEX_DIGITS):
            raise RunError(f"{path}:{number}: not a line of sha256sum: {line[:80]!r}")
        checksums[name] = digest
    return checksums
