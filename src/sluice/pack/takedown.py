"""Taking samples out of a shard that is already packed: the shard is rewritten, all that stays keeps its bytes."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.errors import RecipeError, RunError
from sluice.pack import offset_table, tfrecord
from sluice.pack.base import FORMATS, ShardReceipt
from sluice.pack.fields import Record, RecordError
from sluice.pack.offset_table import spans, write_table
from sluice.pack.parquet import shard_writer
from sluice.pack.receipt import HashedFile
from sluice.pack.tar import write_end
from sluice.table.commit import commit
from sluice.table.schema import MANIFEST


def rewrite_shard_without(
    path: Path, format: str, rows: pa.Table, ids: Collection[str], target: Path | None = None
) -> ShardReceipt:
    """Rewrite the shard at `path` without the samples `ids`, in place or as `target`; `rows` are its manifest rows.

    The receipt holds the rows that stay, at their new places. What stays is copied, never decoded. A shard that
    loses all its samples stays as an empty one, so that the numbers of the shards keep their places. Doing it again
    with the new rows changes nothing.
    """
    if format not in FORMATS:
        raise RecipeError(f"unknown pack format {format!r}")
    gone = frozenset(ids)
    stays = np.array([id not in gone for id in rows["id"].to_pylist()], np.bool_)
    kept = rows.filter(pa.array(stays))
    with commit(target or path) as partial, HashedFile(partial) as file:
        if format in ("parquet", "obelics"):
            _copy_rows(path, rows, stays, file)
        elif format == "arrow":
            _copy_batches(path, rows, stays, file)
        elif format in ("mds", "litdata"):
            _copy_table(path, kept, file)
        else:
            _copy_ranges(path, kept, _STARTS.get(format, _names), file)
        if format in ("webdataset", "energon"):
            write_end(file, file.position)
        file.close()
        return ShardReceipt(_moved(format, kept, rows), (), file.position, file.sha256)


def _moved(format: str, kept: pa.Table, before: pa.Table) -> pa.Table:
    """The manifest rows of what stays, at their new places."""
    sizes = kept["size"].to_numpy().astype(np.int64)
    offsets = np.arange(kept.num_rows) if format in ("parquet", "obelics", "arrow") else np.cumsum(sizes) - sizes
    if format in ("mds", "litdata") and before.num_rows:
        # The header is as long as it was, but for four bytes of table a sample that is gone.
        offsets += before["offset"][0].as_py() - 4 * (before.num_rows - kept.num_rows)
    moved = (offsets - kept["offset"].to_numpy()).tolist()
    places = zip(kept["image_offset"].to_pylist(), moved, strict=True)
    images = [None if image is None else image + by for image, by in places]
    changed = {
        "index": pa.array(range(kept.num_rows), pa.int32()),
        "offset": pa.array(offsets, pa.int64()),
        "image_offset": pa.array(images, pa.int64()),
    }
    columns = [changed.get(name, kept[name]) for name in MANIFEST.names]
    return pa.Table.from_arrays(columns, schema=MANIFEST)


def _names(data: bytes, id: str) -> bool:
    return data.startswith(f"{id}.".encode())


def _copy_ranges(path: Path, kept: pa.Table, is_of: Callable[[bytes, str], bool], target: HashedFile) -> None:
    """Copy the bytes of what stays; each range has to be its own sample's: copying by a wrong manifest could keep
    what must go."""
    places = (kept[name].to_pylist() for name in ("id", "offset", "size"))
    with path.open("rb") as source:
        for id, offset, size in zip(*places, strict=True):
            source.seek(offset)
            data = source.read(size)
            if len(data) != size or not is_of(data, id):
                raise RunError(f"{path}: its members are not those of the manifest: run `sluice verify` first")
            target.write(data)


def _copy_table(path: Path, kept: pa.Table, target: HashedFile) -> None:
    with path.open("rb") as source:
        try:
            found = list(spans(source))
        except RecordError as error:
            raise RunError(f"{path}: {error}: run `sluice verify` first") from error
        source.seek(0)
        end = found[0][0] if found else path.stat().st_size
        header = source.read(end)[8 + 4 * len(found) :]
    write_table(target, kept["size"].to_pylist(), header)
    _copy_ranges(path, kept, _STARTS["mds"], target)


def _record_of(parse: Callable[[bytes], Record]) -> Callable[[bytes, str], bool]:
    def is_of(data: bytes, id: str) -> bool:
        try:
            return parse(data).id == id
        except RecordError:
            return False

    return is_of


def _document_of(data: bytes, id: str) -> bool:
    try:
        return data.endswith(b"\n") and json.loads(data)["id"] == id
    except (KeyError, TypeError, ValueError):
        return False


_STARTS: Final[dict[str, Callable[[bytes, str], bool]]] = {
    "tfrecord": _record_of(tfrecord.parse),
    "mds": _record_of(offset_table.parse),
    "llava": _document_of,
    "coco": _document_of,
}


def _copy_rows(path: Path, rows: pa.Table, stays: npt.NDArray[np.bool_], target: HashedFile) -> None:
    with _as_whole(path), pq.ParquetFile(path) as source:
        schema = _written_schema(source)
        groups = (source.read_row_group(group) for group in range(source.num_row_groups))
        with shard_writer(target, schema) as writer:
            for left in _left(path, rows, stays, groups):
                writer.write_table(left.cast(schema), row_group_size=left.num_rows)


def _written_schema(source: pq.ParquetFile) -> pa.Schema:
    """The schema that the shard was written by: the one that is read names the items of lists otherwise, and a shard
    written by that would hold the same rows in other bytes."""
    written = (source.metadata.metadata or {}).get(b"ARROW:schema")
    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(written))) if written else source.schema_arrow


def _copy_batches(path: Path, rows: pa.Table, stays: npt.NDArray[np.bool_], target: HashedFile) -> None:
    with _as_whole(path), pa.memory_map(str(path)) as file:
        source = pa.ipc.open_file(file)
        groups = (pa.Table.from_batches([source.get_batch(number)]) for number in range(source.num_record_batches))
        with pa.ipc.new_file(target, source.schema) as writer:
            for left in _left(path, rows, stays, groups):
                writer.write_table(left.combine_chunks())


def _left(path: Path, rows: pa.Table, stays: npt.NDArray[np.bool_], groups: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """What stays of each group of rows, where anything does."""
    start = 0
    for table in groups:
        if table["id"].to_pylist() != rows["id"].slice(start, table.num_rows).to_pylist():
            raise RunError(f"{path}: its rows are not those of the manifest: run `sluice verify` first")
        left = table.filter(pa.array(stays[start : start + table.num_rows]))
        if left.num_rows:
            yield left
        start += table.num_rows
    if start != rows.num_rows:
        raise RunError(f"{path}: has {start} rows, the manifest {rows.num_rows}: run `sluice verify` first")


@contextmanager
def _as_whole(path: Path) -> Generator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the system's, such as a full disk; what Arrow cannot parse has no number
        raise RunError(f"{path} is not a whole table ({error}): run `sluice verify` first") from error
