"""Atomic commits: a temporary name, flush, rename. What has its final name is whole.

Parquet is written so that equal tables give equal bytes: fixed version, compression and row groups.
"""

from __future__ import annotations

import errno
import filecmp
import json
import os
import secrets
import shutil
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from sluice.errors import RunError

ROW_GROUP: Final = 16_384
_DISTINCT: Final = {"id", "key", "text", "sha256", "content_hash", "text_hash"}
PARTIAL: Final = ".partial"
_NO_ROOM: Final = {errno.ENOSPC, errno.EDQUOT}
_NO_FOLDER: Final = {errno.ENOTDIR, errno.EEXIST}
_NO_WRITE: Final = {errno.EROFS, errno.EACCES, errno.EPERM}


@contextmanager
def commit(path: Path, *, keep_equal: bool = False) -> Generator[Path]:
    """Yield a temporary path; on success it is flushed to disk and becomes `path`, else it is removed.

    `keep_equal`: a file that is there already and holds the same is not touched.
    """
    partial = _partial(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        if keep_equal and path.is_file() and filecmp.cmp(partial, path, shallow=False):
            return
        _flush(partial)
        partial.replace(path)
    except OSError as error:
        raise explain(error, path) from error
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def commit_folder(path: Path) -> Generator[Path]:
    """Yield a temporary folder; on success its files are flushed to disk and it becomes `path`, in place of another."""
    partial = _partial(path)
    try:
        partial.mkdir(parents=True)
        yield partial
        for file in sorted(partial.iterdir()):
            _flush(file)
        _flush(partial)
        shutil.rmtree(path, ignore_errors=True)
        partial.replace(path)
    except OSError as error:
        raise explain(error, path) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Commit `data` as the file `path`."""
    with commit(path) as partial:
        partial.write_bytes(data)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Commit `value` as readable JSON, keys in the order given."""
    write_bytes(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def write_table(path: Path, table: pa.Table) -> None:
    """Commit `table` as Parquet; equal tables give equal bytes."""
    with commit(path) as partial, table_writer(partial, table.schema) as writer:
        writer.write_table(table, row_group_size=ROW_GROUP)


def write_pieces(path: Path, schema: pa.Schema, pieces: Iterable[pa.Table]) -> int:
    """Commit the rows of all `pieces`, in order, as one Parquet file; returns how many there are."""
    with piece_writer(path, schema) as writer:
        for piece in pieces:
            writer.write(piece)
    return writer.rows


@contextmanager
def piece_writer(path: Path, schema: pa.Schema, *, group: int = ROW_GROUP) -> Generator[PieceWriter]:
    """What takes the rows of a file piece by piece, `group` rows to a row group; it is committed in the end."""
    with commit(path) as partial, table_writer(partial, schema) as writer:
        pieces = PieceWriter(writer, group)
        yield pieces
        pieces.flush()


class PieceWriter:
    """Writes pieces of a table, of which it holds one and a row group.

    Row groups are cut anew, so the bytes depend on the rows alone and not on how the pieces cut them.
    """

    def __init__(self, writer: pq.ParquetWriter, group: int) -> None:
        self._writer = writer
        self._group = group
        self._waiting: list[pa.Table] = []
        self._held = 0
        self.rows = 0  # taken so far

    def write(self, piece: pa.Table) -> None:
        """Take the next rows."""
        self._waiting.append(piece)
        self._held += piece.num_rows
        self.rows += piece.num_rows
        if self._held >= self._group:
            table = pa.concat_tables(self._waiting)
            whole = self._held - self._held % self._group
            for start in range(0, whole, self._group):
                self._write(table.slice(start, self._group))
            self._waiting = [table.slice(whole).combine_chunks()]
            self._held -= whole

    def flush(self) -> None:
        """Write what is left."""
        if self._held:
            self._write(pa.concat_tables(self._waiting))

    def _write(self, group: pa.Table) -> None:
        self._writer.write_table(group.combine_chunks(), row_group_size=self._group)


def table_writer(path: Path | IO[bytes], schema: pa.Schema) -> pq.ParquetWriter:
    """A Parquet writer with the settings of every table of a run."""
    # A dictionary of what hardly repeats only takes time and room: a third of both in a table of rows.
    repeating = [leaf for field in schema if field.name not in _DISTINCT for leaf in _leaves(field, field.name)]
    settings: dict[str, Any] = {"compression": "zstd", "use_dictionary": repeating or False}
    return pq.ParquetWriter(path, schema, version="2.6", write_page_index=False, **settings)


def _leaves(field: pa.Field, path: str) -> Iterator[str]:
    """The columns of plain values that `field` is stored as, but for real numbers."""
    kind = field.type
    if pa.types.is_struct(kind):
        for place in range(kind.num_fields):
            yield from _leaves(kind.field(place), f"{path}.{kind.field(place).name}")
    elif isinstance(kind, pa.ListType | pa.FixedSizeListType | pa.LargeListType):
        yield from _leaves(kind.value_field, f"{path}.list.element")
    elif not pa.types.is_floating(kind):
        yield path


def sweep(folder: Path) -> int:
    """Remove what killed processes left half-written below `folder`; return how many files that were."""
    left = [path for path in folder.rglob(f"*{PARTIAL}") if path.is_file() or path.is_dir()]
    for path in left:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return len(left)


def explain(error: OSError, path: Path) -> Exception:
    """The error as a sentence that says how to mend it, where we know how; else the error itself."""
    if error.errno in _NO_ROOM:
        return RunError(f"no room left on the disk of {path.parent}: free some space and run again to go on")
    if error.errno in _NO_WRITE:
        return RunError(f"cannot write to {path.parent}: it is read-only or not yours; choose another `run:` folder")
    if error.errno in _NO_FOLDER:
        return RunError(f"{path.parent} is no folder: a file of that name is in the way; move it")
    return error


def _partial(path: Path) -> Path:
    """A name of its own for each writer: process numbers repeat from one machine of a cluster to the next."""
    return path.with_name(f"{path.name}.{secrets.token_hex(4)}{PARTIAL}")


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
