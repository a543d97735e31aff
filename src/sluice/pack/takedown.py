"""Taking samples out of a shard that is already packed: the shard is rewritten, all that stays keeps its bytes."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.errors import RecipeError, RunError
from sluice.pack.base import ShardReceipt
from sluice.pack.parquet import shard_writer
from sluice.pack.receipt import HashedFile
from sluice.pack.tar import write_end
from sluice.table.commit import commit
from sluice.table.schema import MANIFEST

_BLOCK: Final = 2**20


def rewrite_shard_without(
    path: Path, format: str, rows: pa.Table, ids: Collection[str], target: Path | None = None
) -> ShardReceipt:
    """Rewrite the shard at `path` without the samples `ids`, in place or as `target`; `rows` are its manifest rows.

    The receipt holds the rows that stay, at their new places. What stays is copied, never decoded. A shard that
    loses all its samples stays as an empty one, so that the numbers of the shards keep their places. Doing it again
    with the new rows changes nothing.
    """
    if format not in ("webdataset", "parquet"):
        raise RecipeError(f"unknown pack format {format!r}")
    gone = frozenset(ids)
    stays = np.array([id not in gone for id in rows["id"].to_pylist()], np.bool_)
    kept = rows.filter(pa.array(stays))
    with commit(target or path) as partial, HashedFile(partial) as file:
        if format == "webdataset":
            offsets = _copy_members(path, kept, file)
        else:
            _copy_rows(path, rows, stays, file)
            offsets = list(range(kept.num_rows))
        file.close()
        before = zip(offsets, kept["offset"].to_pylist(), kept["image_offset"].to_pylist(), strict=True)
        images = [None if image is None else image + new - old for new, old, image in before]
        changed = {
            "index": pa.array(range(kept.num_rows), pa.int32()),
            "offset": pa.array(offsets, pa.int64()),
            "image_offset": pa.array(images, pa.int64()),
        }
        columns = [changed.get(name, kept[name]) for name in MANIFEST.names]
        moved_rows = pa.Table.from_arrays(columns, schema=MANIFEST)
        return ShardReceipt(moved_rows, (), file.position, file.sha256)


def _copy_members(path: Path, kept: pa.Table, target: HashedFile) -> list[int]:
    offsets: list[int] = []
    places = (kept[name].to_pylist() for name in ("id", "offset", "size"))
    with path.open("rb") as source:
        for id, offset, size in zip(*places, strict=True):
            offsets.append(target.position)
            source.seek(offset)
            left = size
            while left:
                data = source.read(min(left, _BLOCK))
                # Copying by a wrong manifest could keep what must go: each range has to start with its own sample.
                if not data or (left == size and not data.startswith(f"{id}.".encode())):
                    raise RunError(f"{path}: its members are not those of the manifest: run `sluice verify` first")
                target.write(data)
                left -= len(data)
    write_end(target, target.position)
    return offsets


def _copy_rows(path: Path, rows: pa.Table, stays: npt.NDArray[np.bool_], target: HashedFile) -> None:
    try:
        with pq.ParquetFile(path) as source, shard_writer(target, source.schema_arrow) as writer:
            start = 0
            for group in range(source.num_row_groups):
                table = source.read_row_group(group)
                if table["id"].to_pylist() != rows["id"].slice(start, table.num_rows).to_pylist():
                    raise RunError(f"{path}: its rows are not those of the manifest: run `sluice verify` first")
                left = table.filter(pa.array(stays[start : start + table.num_rows]))
                if left.num_rows:
                    writer.write_table(left, row_group_size=left.num_rows)
                start += table.num_rows
            if start != rows.num_rows:
                raise RunError(f"{path}: has {start} rows, the manifest {rows.num_rows}: run `sluice verify` first")
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the system's, such as a full disk; what Arrow cannot parse has no number
        raise RunError(f"{path} is not a whole Parquet file ({error}): run `sluice verify` first") from error
