"""What a shard of any format holds of each sample, read from it alone: to be held against the manifest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from sluice.pack import documents, offset_table, tfrecord
from sluice.pack.fields import Record, RecordError
from sluice.pack.tar import Member, TarError, read_members

_TEXTS: Final = ("txt", "json")
_STATED: Final = ("key", "source", "split", "cluster", "weight", "repeats")  # by a sample as by its manifest row
_TABLE: Final = ("id", *_STATED, "captions", "caption", "sha256")
_INTERLEAVED: Final = ("id", "images", "texts", "metadata", "general_metadata")


@dataclass(frozen=True)
class Found:
    """What a shard holds of one sample, to be compared with its manifest row; or only a problem."""

    id: str | None
    values: dict[str, Any]  # manifest column -> value as found
    wrong: tuple[str, ...] = ()


def found_in(format: str, path: Path, file: BinaryIO) -> Iterator[Found]:
    """The samples of the shard at `path`, open as `file`, in order. Bad data is a `Found` that says so."""
    if format in ("webdataset", "energon"):
        return _tar(file)
    if format == "parquet":
        return _rows(_parquet_tables(file, _TABLE), _table_row)
    if format == "arrow":
        return _rows(_arrow_tables(file, _TABLE), _table_row)
    if format == "obelics":
        return _rows(_parquet_tables(file, _INTERLEAVED), _interleaved_row)
    if format == "tfrecord":
        return _records(tfrecord, file)
    if format in ("mds", "litdata"):
        return _records(offset_table, file)
    return _documents(path, file)


def _tar(file: BinaryIO) -> Iterator[Found]:
    try:
        for id, members in groupby(read_members(file), key=lambda member: member.name.partition(".")[0]):
            yield _tar_sample(id, list(members), file)
    except TarError as error:
        yield Found(None, {}, (str(error),))


def _tar_sample(id: str, members: list[Member], file: BinaryIO) -> Found:
    texts: dict[str, bytes] = {}
    images: list[tuple[str, int, str]] = []  # name, bytes, SHA-256
    first: int | None = None
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
            images.append((member.name, member.size, _sha256(data)))
            first = member.offset if first is None else first
    place = {"offset": members[0].header, "size": members[-1].end - members[0].header, "image_offset": first}
    try:
        document = json.loads(texts["json"])
        best = texts["txt"].decode() if "txt" in texts else None
    except (KeyError, ValueError) as error:
        return Found(id, {**place, **_of_first(images)}, (*wrong, _damaged(".json", error)))
    return _sample(id, document, images, place, tuple(wrong), (best, ".txt"))


def _sample(
    id: str,
    document: Any,
    images: Sequence[tuple[str, int, str]],
    place: dict[str, Any],
    wrong: tuple[str, ...] = (),
    best: tuple[str | None, str] | None = None,
) -> Found:
    """A sample that has its document beside it; `best` is the caption that stands alone, and what that is called."""
    values = {**place, **_of_first(images)}
    try:
        captions = [caption["text"] for caption in document["captions"]]
        values |= {"captions": len(captions), **{name: document[name] for name in _STATED}}
        named = [(image["file"], image["sha256"]) for image in document["images"]]
        values["image_sizes"] = [{side: image[side] for side in ("width", "height")} for image in document["images"]]
        if document["id"] != id:
            wrong += (f"its .json is of sample {document['id']}",)
        if named != [(name, sha256) for name, _, sha256 in images]:
            wrong += ("its images are not those its .json names",)
        if best is not None and captions[:1] != ([] if best[0] is None else [best[0]]):
            wrong += (f"its {best[1]} is not its best caption",)
    except (KeyError, TypeError) as error:
        wrong += (_damaged(".json", error),)
    return Found(id, values, wrong)


def _damaged(what: str, error: Exception) -> str:
    return f"its {what} is missing or damaged: {type(error).__name__}: {error}"


def _of_first(images: Sequence[tuple[str, int, str]]) -> dict[str, Any]:
    return {"image_size": images[0][1] if images else None, "sha256": images[0][2] if images else None}


def _records(format: Any, file: BinaryIO) -> Iterator[Found]:
    """The samples of a format whose module has `spans` and `parse`."""
    try:
        for offset, size in format.spans(file):
            file.seek(offset)
            record: Record = format.parse(file.read(size))
            first = None if record.image_offset is None else offset + record.image_offset
            place = {"offset": offset, "size": size, "image_offset": first}
            names = [image.get("file", "") for image in record.document["images"]]
            images = [(name, len(data), _sha256(data)) for name, data in zip(names, record.images, strict=False)]
            images += [("", len(data), _sha256(data)) for data in record.images[len(names) :]]
            yield _sample(record.id, record.document, images, place, (), (record.caption, "caption"))
    except (RecordError, AttributeError, KeyError, TypeError) as error:
        yield Found(None, {}, (str(error),))


def _documents(path: Path, file: BinaryIO) -> Iterator[Found]:
    folder = path.with_suffix("")
    for offset, size in documents.spans(file):
        file.seek(offset)
        line = file.read(size)
        try:
            document = json.loads(line)
            names = [image["file"] for image in document["images"]]
            id = document["id"]
        except (KeyError, TypeError, ValueError) as error:
            yield Found(None, {}, (f"byte {offset}: {_damaged('document', error)}",))
            continue
        images: list[tuple[str, int, str]] = []
        wrong: tuple[str, ...] = () if line.endswith(b"\n") else ("its document is cut",)
        for name in names:
            try:
                data = (folder / Path(name).name).read_bytes()
                images.append((name, len(data), _sha256(data)))
            except OSError as error:
                wrong += (f"image {name} cannot be read: {error.strerror}",)
        yield _sample(id, document, images, {"offset": offset, "size": size, "image_offset": None}, wrong)


def _parquet_tables(file: BinaryIO, wanted: Sequence[str]) -> Iterator[pa.Table]:
    shard = pq.ParquetFile(file)
    columns = _columns(shard.schema_arrow.names, wanted)
    for group in range(shard.num_row_groups):
        yield shard.read_row_group(group, columns)


def _arrow_tables(file: BinaryIO, wanted: Sequence[str]) -> Iterator[pa.Table]:
    reader = pa.ipc.open_file(file)
    columns = _columns(reader.schema.names, wanted)
    for number in range(reader.num_record_batches):
        batch = reader.get_batch(number)
        batch.validate(full=True)  # offsets of a damaged file would read past its end
        yield pa.Table.from_batches([batch]).select(columns)


def _columns(names: Sequence[str], wanted: Sequence[str]) -> list[str]:
    columns = list(dict.fromkeys([*wanted, "images" if "images" in names else "image"]))
    absent = [name for name in columns if name not in names]
    if absent:
        raise ValueError(f"column {absent[0]} is missing")
    return columns


def _rows(tables: Iterator[pa.Table], read: Any) -> Iterator[Found]:
    offset = 0
    try:
        for table in tables:
            for row in table.to_pylist():
                found: Found = read(row)
                yield Found(found.id, {**found.values, "offset": offset}, found.wrong)
                offset += 1
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:  # a damaged field's name; what is no UTF-8
        missing = str(error).startswith("column ")
        yield Found(None, {}, (str(error) if missing else f"not a whole table: {error}",))


def _table_row(row: dict[str, Any]) -> Found:
    several = "images" in row
    images = (row["images"] or []) if several else [row["image"]] if row["image"] else []
    data = [image["bytes"] or b"" for image in images]
    sums = [_sha256(each) for each in data]
    values: dict[str, Any] = {name: row[name] for name in _STATED}
    values |= {"captions": len(row["captions"] or []), "size": sum(map(len, data))}
    values |= {"image_size": len(data[0]) if data else None, "sha256": sums[0] if sums else None}
    wrong: list[str] = []
    if (row["sha256"] or [] if several else [row["sha256"]] if row["sha256"] else []) != sums:
        wrong.append("its images are not those its sha256 column names")
    if (row["captions"] or [None])[0] != row["caption"]:
        wrong.append("its caption is not the best of its captions")
    return Found(row["id"], values, tuple(wrong))


def _interleaved_row(row: dict[str, Any]) -> Found:
    images = [
        (image["path"], len(image["bytes"] or b""), _sha256(image["bytes"] or b"")) for image in row["images"] if image
    ]
    place = {"size": sum(size for _, size, _ in images)}
    try:
        document, facts = json.loads(row["general_metadata"]), json.loads(row["metadata"])
        found = _sample(row["id"], document, images, place)
        texts = {caption["text"] for caption in document["captions"][:1]} | {text["text"] for text in document["texts"]}
        gaps = [(image is None) != (text is None) for image, text in zip(row["images"], row["texts"], strict=True)]
        told = [fact.get("sha256") for fact in facts]
        sums = iter([sha256 for _, _, sha256 in images])
        held = [next(sums) if image else None for image in row["images"]]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return Found(row["id"], place, (_damaged("metadata", error),))
    wrong = found.wrong
    if not all(gaps) or told != held:
        wrong += ("its images, texts and metadata are not of one length, one thing a place",)
    if {text for text in row["texts"] if text is not None} != texts:
        wrong += ("its texts are not those its general_metadata names",)
    return Found(found.id, found.values, wrong)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
