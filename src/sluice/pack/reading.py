"""Reading single samples back from the shards, as a trainer would get them: by the manifest, and nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from io import BytesIO
from itertools import groupby
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from sluice.pack import offset_table, tfrecord
from sluice.pack.fields import Record
from sluice.pack.tar import BLOCK, read_members
from sluice.table.remote import RemoteFile

_END: Final = bytes(2 * BLOCK)
_COLUMNS: Final = ("id", "caption", "captions", "conversations", "image", "images", "general_metadata")


@dataclass(frozen=True)
class Packed:
    """A sample as its shard holds it; `problem` says what is not as the manifest says."""

    id: str
    images: tuple[tuple[str, bytes], ...] = ()  # the extension and the bytes of each
    captions: tuple[str, ...] = ()  # best first
    turns: tuple[tuple[str, str], ...] = ()  # role and text of what is no caption
    problem: str | None = None


def read_packed(folder: Path | str, rows: Sequence[dict[str, Any]]) -> Iterator[Packed]:
    """The samples that the manifest's `rows` name, shard by shard; what cannot be read is a `Packed` with a problem.

    `folder` may be a URL: of a shard there only the ranges, or the row groups, of those samples are brought.
    """
    ordered = sorted(rows, key=lambda row: (row["shard"], row["index"]))
    for shard, named in groupby(ordered, key=lambda row: row["shard"]):
        path = folder / shard if isinstance(folder, Path) else f"{folder}/{shard}"
        wanted, format = list(named), shard.partition("/")[0]
        if format in _TABLES:
            yield from _from_table(path, wanted, _TABLES[format])
        else:
            yield from _from_range(path, wanted, _RANGES[format])


_Place: TypeAlias = Path | str  # a path or a URL
_Parse: TypeAlias = Callable[[bytes, _Place, str], Packed]  # what lies in the range, the shard, the id


def _from_range(path: _Place, rows: Sequence[dict[str, Any]], parse: _Parse) -> Iterator[Packed]:
    for row in rows:
        try:
            with _opened(path) as file:
                file.seek(row["offset"])
                data = file.read(row["size"])
            yield _checked(parse(data, path, row["id"]), row)
        except (OSError, KeyError, TypeError, ValueError) as error:
            yield Packed(row["id"], problem=_unreadable(error))


def _opened(path: _Place) -> Any:
    return path.open("rb") if isinstance(path, Path) else RemoteFile(path)


def _tar_sample(data: bytes, path: _Place, id: str) -> Packed:
    part = BytesIO(data + _END)
    images: list[tuple[str, bytes]] = []
    document: dict[str, Any] = {}
    for member in list(read_members(part)):
        part.seek(member.offset)
        data = part.read(member.size)
        owner, _, extension = member.name.partition(".")
        if owner != id:
            raise ValueError(f"there lies a member of sample {owner}")
        if extension == "json":
            document = json.loads(data)
        elif extension != "txt":
            images.append((extension.rpartition(".")[2], data))
    return _packed(document, images)


def _packed(document: dict[str, Any], images: Iterable[tuple[str, bytes]]) -> Packed:
    captions = tuple(caption["text"] for caption in document["captions"])
    turns = tuple((text["role"], text["text"]) for text in document["texts"])
    return Packed(document["id"], tuple(images), captions, turns)


def _record(record: Record) -> Packed:
    named = [_extension(image["file"]) for image in record.document["images"]]
    if record.document["id"] != record.id:
        raise ValueError(f"there lies the document of sample {record.document['id']}")
    return _packed(record.document, zip(named, record.images, strict=True))


def _beside(data: bytes, path: _Place, id: str) -> Packed:
    if not isinstance(path, Path):
        raise ValueError("its images are files beside the shard, which are read on a disk alone")
    document = json.loads(data)
    names: list[str] = [image["file"] for image in document["images"]]
    images = [(_extension(name), (path.with_suffix("") / Path(name).name).read_bytes()) for name in names]
    return _packed(document, images)


def _extension(name: str | None) -> str:
    return (name or "").rpartition(".")[2]


def _from_table(path: _Place, rows: Sequence[dict[str, Any]], opened: Callable[[_Place], _Table]) -> Iterator[Packed]:
    left = list(rows)
    try:
        with closing(opened(path)) as table:
            start = 0
            for group, size in enumerate(table.sizes()):
                here = [row for row in left if start <= row["index"] < start + size]
                if here:
                    held = table.group(group)
                    for row in here:
                        (found,) = held.slice(row["index"] - start, 1).to_pylist()
                        left.remove(row)
                        yield _checked(_table_sample(found), row)
                start += size
        problem = "the shard has no such row"
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
        problem = _unreadable(error)
    for row in left:
        yield Packed(row["id"], problem=problem)


class _Table(Protocol):
    """A table in groups of rows."""

    def sizes(self) -> Iterable[int]: ...
    def group(self, number: int) -> pa.Table: ...
    def close(self) -> None: ...


class _Parquet:
    def __init__(self, path: _Place) -> None:
        self._file = pq.ParquetFile(path if isinstance(path, Path) else RemoteFile(path))
        self._names = [name for name in _COLUMNS if name in self._file.schema_arrow.names]

    def sizes(self) -> Iterable[int]:
        return (self._file.metadata.row_group(group).num_rows for group in range(self._file.num_row_groups))

    def group(self, number: int) -> pa.Table:
        return self._file.read_row_group(number, self._names)

    def close(self) -> None:
        self._file.close()


class _Arrow:
    def __init__(self, path: _Place) -> None:
        self._file: Any = pa.memory_map(str(path)) if isinstance(path, Path) else RemoteFile(path)
        self._reader = pa.ipc.open_file(self._file)
        self._names = [name for name in _COLUMNS if name in self._reader.schema.names]

    def sizes(self) -> Iterable[int]:
        return (self._reader.get_batch(number).num_rows for number in range(self._reader.num_record_batches))

    def group(self, number: int) -> pa.Table:
        batch = self._reader.get_batch(number)
        batch.validate(full=True)  # offsets of a damaged file would read past its end
        return pa.Table.from_batches([batch]).select(self._names)

    def close(self) -> None:
        self._file.close()


def _table_sample(row: dict[str, Any]) -> Packed:
    held = row["images"] if "images" in row else [row["image"]]
    images = tuple((_extension(one["path"]), one["bytes"] or b"") for one in held or [] if one)
    if "general_metadata" in row:
        return _packed(json.loads(row["general_metadata"]), images)
    turns = tuple((turn["from"], turn["value"]) for turn in row.get("conversations") or [])
    return Packed(row["id"], images, tuple(row["captions"] or ()), turns)


def _checked(found: Packed, row: dict[str, Any]) -> Packed:
    """`found`, with what is not as the manifest's `row` says; never under another sample's id."""
    problem = None
    digest = hashlib.sha256(found.images[0][1]).hexdigest() if found.images else None
    if found.id != row["id"]:
        problem = f"there lies sample {found.id}"
    elif digest != row["sha256"]:
        problem = "its image is not the one that the manifest names"
    elif len(found.captions) != row["captions"]:
        problem = f"it has {len(found.captions)} captions, the manifest says {row['captions']}"
    return Packed(row["id"], found.images, found.captions, found.turns, problem)


def _unreadable(error: Exception) -> str:
    return f"cannot be read from its shard: {error or type(error).__name__}"


_TABLES: Final[dict[str, Callable[[_Place], _Table]]] = {"parquet": _Parquet, "obelics": _Parquet, "arrow": _Arrow}
_RANGES: Final[dict[str, _Parse]] = {
    "webdataset": _tar_sample,
    "energon": _tar_sample,
    "tfrecord": lambda data, path, id: _record(tfrecord.parse(data)),
    "mds": lambda data, path, id: _record(offset_table.parse(data)),
    "litdata": lambda data, path, id: _record(offset_table.parse(data)),
    "llava": _beside,
    "coco": _beside,
}
