"""Arrow shards: the columns of a Parquet shard, in Arrow's IPC file format, which is read where it lies.

A record batch is what a row group is there. Nothing is compressed: a mapped file needs no memory and no decoding.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pyarrow as pa

from sluice.pack.base import Contents
from sluice.pack.parquet import ROW_GROUP_BYTES, RowGroup, TableShard, sample_row, shard_schema
from sluice.pack.receipt import HashedFile, Rows
from sluice.table.commit import commit


class ArrowPacker:
    """Writes Arrow IPC files of one schema, fixed by what the whole pack may hold."""

    format: str = "arrow"

    def __init__(self, contents: Contents, batch_bytes: int = ROW_GROUP_BYTES) -> None:
        self._batch_bytes = batch_bytes
        self.schema = shard_schema(contents)

    @contextmanager
    def open_shard(self, path: Path, name: str) -> Generator[TableShard]:
        """Commit one file; one record batch of samples is held in memory at a time."""
        group = RowGroup(self.schema, partial(sample_row, several="images" in self.schema.names))
        with commit(path) as half, HashedFile(half) as file:
            with pa.ipc.new_file(file, self.schema) as writer:
                shard = TableShard(Rows(self.format, name), file, group, writer.write_table, self._batch_bytes)
                yield shard
                shard.flush()
            file.close()
