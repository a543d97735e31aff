"""Re-reading one shard and saying everything that is wrong with it; a pure function of the shard and its rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import pyarrow as pa

from sluice.pack.found import Found, found_in

_BLOCK: Final = 2**20


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a pack."""

    shard: str  # path below `04_final/`
    id: str | None  # null where it is the shard's own
    what: str


@dataclass(frozen=True)
class ShardCheck:
    """One shard to check: what the manifest and the checksums say of it. Can be sent to another process."""

    folder: Path
    shard: str
    rows: pa.Table  # MANIFEST, this shard's, in order
    sha256: str | None


def check_shard(check: ShardCheck) -> list[Problem]:
    """Re-read one shard: its checksum, then every member or row against the manifest. Never raises for bad data."""
    path = check.folder / check.shard
    try:
        with path.open("rb") as file:
            problems = _checksum(check, file)
            problems += _against_rows(check, found_in(check.shard.partition("/")[0], path, file))
    except FileNotFoundError:
        return [Problem(check.shard, None, "the file is missing")]
    except OSError as error:
        return [Problem(check.shard, None, f"cannot be read: {error}")]
    return problems


def _checksum(check: ShardCheck, file: BinaryIO) -> list[Problem]:
    digest = hashlib.sha256()
    while block := file.read(_BLOCK):
        digest.update(block)
    if check.sha256 is None:
        return [Problem(check.shard, None, "SHA256SUMS does not name it")]
    if digest.hexdigest() != check.sha256:
        return [Problem(check.shard, None, "its SHA-256 is not the one written down")]
    return []


def _against_rows(check: ShardCheck, found: Iterator[Found]) -> list[Problem]:
    rows = {row["id"]: row for row in check.rows.to_pylist()}
    problems: list[Problem] = []
    seen: set[str] = set()
    for place, sample in enumerate(found):
        problems += [Problem(check.shard, sample.id, wrong) for wrong in sample.wrong]
        if sample.id is None:
            continue
        if sample.id in seen:
            problems.append(Problem(check.shard, sample.id, "is in the shard twice"))
            continue
        seen.add(sample.id)
        row = rows.get(sample.id)
        if row is None:
            problems.append(Problem(check.shard, sample.id, "is in the shard but not in the manifest"))
            continue
        for column, value in {"index": place, **sample.values}.items():
            if row[column] != value and not (column == "image_sizes" and row[column] is None):  # an older manifest
                what = f"{column} is {value}, the manifest says {row[column]}"
                problems.append(Problem(check.shard, sample.id, what))
    problems += [Problem(check.shard, id, "is in the manifest but not in the shard") for id in rows if id not in seen]
    return problems
