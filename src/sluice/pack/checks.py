"""Re-reading one shard and saying everything that is wrong with it; a pure function of the shard and its rows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from sluice.pack.tar import Member, TarError, read_members

_BLOCK: Final = 2**20
_TEXTS: Final = ("txt", "json")
_STATED: Final = ("key", "source", "split", "cluster", "weight", "repeats")  # by a sample as by its manifest row


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
            found = _tar(check, file) if path.suffix == ".tar" else _parquet(check, file)
            problems += _against_rows(check, found)
    except FileNotFoundError:
        return [Problem(check.shard, None, "the file is missing")]
    except OSError as error:
        return [Problem(check.shard, None, f"cannot be read: {error}")]
    return problems


@dataclass(frozen=True)
class _Found:
    """What a shard holds of one sample, to be compared with its manifest row; or only a problem."""

    id: str | None
    values: dict[str, Any]  # manifest column -> value as found
    wrong: tuple[str, ...] = ()


def _checksum(check: ShardCheck, file: BinaryIO) -> list[Problem]:
    digest = hashlib.sha256()
    while block := file.read(_BLOCK):
        digest.update(block)
    if check.sha256 is None:
        return [Problem(check.shard, None, "SHA256SUMS does not name it")]
    if digest.hexdigest() != check.sha256:
        return [Problem(check.shard, None, "its SHA-256 is not the one written down")]
    return []


def _against_rows(check: ShardCheck, found: Iterator[_Found]) -> list[Problem]:
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
            if row[column] != value:
                what = f"{column} is {value}, the manifest says {row[column]}"
                problems.append(Problem(check.shard, sample.id, what))
    problems += [Problem(check.shard, id, "is in the manifest but not in the shard") for id in rows if id not in seen]
    return problems


def _tar(check: ShardCheck, file: BinaryIO) -> Iterator[_Found]:
    try:
        for id, members in groupby(read_members(file), key=lambda member: member.name.partition(".")[0]):
            yield _tar_sample(id, list(members), file)
    except TarError as error:
        yield _Found(None, {}, (str(error),))


def _tar_sample(id: str, members: list[Member], file: BinaryIO) -> _Found:
    texts: dict[str, bytes] = {}
    images: list[tuple[Member, str]] = []
    wrong: list[str] = []
    for member in members:
        file.seek(member.offset)
        data = file.read(member.size)
        extension = member.name.partition(".")[2]
        if extension in texts:
            wrong.append(f"member {member.name} is there twice")
        elif extension in _TEXTS:
            texts[extension] = data
        else:
            images.append((member, hashlib.sha256(data).hexdigest()))
    values: dict[str, Any] = {
        "offset": members[0].header,
        "size": members[-1].end - members[0].header,
        "image_offset": images[0][0].offset if images else None,
        "image_size": images[0][0].size if images else None,
        "sha256": images[0][1] if images else None,
    }
    try:
        document = json.loads(texts["json"])
        captions = [caption["text"] for caption in document["captions"]]
        values |= {"captions": len(captions), **{name: document[name] for name in _STATED}}
        named = [(image["file"], image["sha256"]) for image in document["images"]]
        if document["id"] != id:
            wrong.append(f"its .json is of sample {document['id']}")
        if named != [(member.name, sha256) for member, sha256 in images]:
            wrong.append("its images are not those its .json names")
        if captions[:1] != ([texts["txt"].decode()] if "txt" in texts else []):
            wrong.append("its .txt is not its best caption")
    except (KeyError, TypeError, ValueError) as error:
        wrong.append(f"its .json is missing or damaged: {type(error).__name__}: {error}")
    return _Found(id, values, tuple(wrong))


def _parquet(check: ShardCheck, file: BinaryIO) -> Iterator[_Found]:
    try:
        shard = pq.ParquetFile(file)
        names = shard.schema_arrow.names
        picture = "images" if "images" in names else "image"
        columns = ["id", *_STATED, "captions", "caption", picture, "sha256"]
        absent = [name for name in columns if name not in names]
        if absent:
            yield _Found(None, {}, (f"column {absent[0]} is missing",))
            return
        offset = 0
        for group in range(shard.num_row_groups):
            for row in shard.read_row_group(group, columns).to_pylist():
                yield _parquet_row(row, picture, offset)
                offset += 1
    except (pa.ArrowException, OSError, ValueError) as error:  # ValueError: what is no UTF-8, among others
        yield _Found(None, {}, (f"not a whole Parquet file: {error}",))


def _parquet_row(row: dict[str, Any], picture: str, offset: int) -> _Found:
    several = picture == "images"
    images = (row["images"] or []) if several else [row["image"]] if row["image"] else []
    data = [image["bytes"] or b"" for image in images]
    sums = [hashlib.sha256(each).hexdigest() for each in data]
    values: dict[str, Any] = {name: row[name] for name in _STATED}
    values |= {"captions": len(row["captions"] or []), "offset": offset, "size": sum(map(len, data))}
    values |= {"image_size": len(data[0]) if data else None, "sha256": sums[0] if sums else None}
    wrong: list[str] = []
    if (row["sha256"] or [] if several else [row["sha256"]] if row["sha256"] else []) != sums:
        wrong.append("its images are not those its sha256 column names")
    if (row["captions"] or [None])[0] != row["caption"]:
        wrong.append("its caption is not the best of its captions")
    return _Found(row["id"], values, tuple(wrong))
