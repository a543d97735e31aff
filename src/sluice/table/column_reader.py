"""Reading one cell of a binary column of a Parquet or Arrow IPC file, a bounded window of rows at a time.

Units read rows in order, so a window (about 16 MiB of cells) serves many reads; a step back starts its row group
anew. A row group is never held whole, because writers make them as large as they like.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from sluice.errors import SampleFailure, SluiceError
from sluice.table.remote import RemoteFile

_WINDOW_BYTES: Final = 16 * 2**20
_WINDOW_ROWS: Final = 1024
_MEMBER: Final = re.compile(r"^(?P<column>.+?)(?:\[(?P<index>\d+)\])?(?P<bytes>\.bytes)?$", re.DOTALL)


class ColumnReader:
    """The cells of the column `member` of one file; `read(row)` gives the bytes of a row."""

    def __init__(self, container: str, path: str | bytes, uri: str, member: str) -> None:
        self._uri = uri
        self._member = member
        self._start = 0  # first row of the window
        self._window: pa.Array | None = None
        self._ahead: Iterator[tuple[int, pa.Array]] = iter(())  # windows after the one held
        self._limit = 0  # rows from here on are not in `_ahead`
        try:
            opened = open_binary(path, uri)
            self._file: _Parquet | _Ipc = _Parquet(opened, member) if container == "parquet" else _Ipc(opened, member)
        except SluiceError:  # a package is missing: no fault of the sample
            raise
        except Exception as error:  # a file of unknown making: Arrow and remote clients raise what they like
            raise SampleFailure("io", f"{uri}: cannot be opened as {container}: {_first_line(error)}") from error

    def close(self) -> None:
        """Close the file."""
        self._window = None
        self._ahead = iter(())
        self._file.close()

    def read(self, row: int, max_bytes: int) -> bytes:
        """The bytes of `row`, at most `max_bytes`; `SampleFailure` naming file, column and row otherwise."""
        place = f"{self._uri} ({self._member}, row {row:,})"
        try:
            cell = self._cell(row)
            buffer = None if cell is None else cell.as_buffer()
        except Exception as error:  # Arrow's errors on damaged pages come in many classes
            self._window = None
            self._limit = 0
            raise SampleFailure("io", f"{place}: {_first_line(error)}") from error
        if buffer is None:
            raise SampleFailure("io", f"{place}: there are no bytes")
        if buffer.size > max_bytes:
            raise SampleFailure("too_large", f"{place}: {buffer.size:,} bytes, the limit is {max_bytes:,}")
        return buffer.to_pybytes()

    def _cell(self, row: int) -> Any:  # a pyarrow binary scalar, or None
        window = self._window
        if window is None or not self._start <= row < self._start + len(window):
            window = self._seek(row)
        if window is None:
            raise IndexError("the file has no such row")
        return self._file.pick(window, row - self._start)

    def _seek(self, row: int) -> pa.Array | None:
        if self._window is None or row < self._start or row >= self._limit:
            self._ahead, self._limit = self._file.windows(row)
        self._window = None
        for start, window in self._ahead:
            if start <= row < start + len(window):
                self._start, self._window = start, window
                return window
        return None


class _Parquet:
    def __init__(self, source: Any, member: str) -> None:
        self._file = pq.ParquetFile(source, pre_buffer=False, buffer_size=2**20)
        metadata = self._file.metadata
        self.pick = _Picker(member, self._file.schema_arrow.names).pick
        top = _column_of(member, self._file.schema_arrow.names)
        paths = [metadata.schema.column(i).path for i in range(metadata.num_columns)]
        leaves = [path for path in paths if path == top or path.startswith(f"{top}.")]
        if member.endswith(".bytes") and member != top:
            leaves = [path for path in leaves if path.endswith(".bytes")]
        self._leaves = leaves
        self._indices = [paths.index(leaf) for leaf in leaves]
        self._starts = [0]
        for group in range(metadata.num_row_groups):
            self._starts.append(self._starts[-1] + metadata.row_group(group).num_rows)

    def windows(self, row: int) -> tuple[Iterator[tuple[int, pa.Array]], int]:
        """The windows of the row group that holds `row`, and the row after its last."""
        if not 0 <= row < self._starts[-1]:
            return iter(()), 0
        group = bisect_right(self._starts, row) - 1
        return self._of_group(group), self._starts[group + 1]

    def _of_group(self, group: int) -> Iterator[tuple[int, pa.Array]]:
        facts = self._file.metadata.row_group(group)
        size = sum(facts.column(index).total_uncompressed_size for index in self._indices)
        rows = max(1, min(_WINDOW_ROWS, _WINDOW_BYTES * facts.num_rows // max(size, 1)))
        start = self._starts[group]
        for batch in self._file.iter_batches(batch_size=rows, row_groups=[group], columns=self._leaves):
            yield start, batch.column(0)
            start += len(batch)

    def close(self) -> None:
        self._file.close()


class _Ipc:
    def __init__(self, source: Any, member: str) -> None:
        self._source = source
        self._is_file = source.read(6) == b"ARROW1"
        source.seek(0)
        reader = pa.ipc.open_file(source) if self._is_file else pa.ipc.open_stream(source)
        self._top = _column_of(member, reader.schema.names)
        self.pick = _Picker(member, reader.schema.names).pick

    def windows(self, row: int) -> tuple[Iterator[tuple[int, pa.Array]], int]:
        """All record batches from the start: on a mapped file they are views, so passing over them costs little."""
        return (self._all(), 2**63) if row >= 0 else (iter(()), 0)

    def _all(self) -> Iterator[tuple[int, pa.Array]]:
        start = 0
        for batch in ipc_batches(self._source, self._is_file):
            column = batch.column(self._top)
            column.validate(full=True)  # offsets of a damaged file would read past its end
            yield start, column
            start += len(batch)

    def close(self) -> None:
        self._source.close()


def ipc_batches(source: Any, is_file: bool) -> Iterator[pa.RecordBatch]:
    """The record batches of an Arrow IPC file or stream (the form `datasets` writes), one at a time."""
    source.seek(0)
    if not is_file:
        yield from pa.ipc.open_stream(source)
        return
    reader = pa.ipc.open_file(source)
    for number in range(reader.num_record_batches):
        yield reader.get_batch(number)


class _Picker:
    """Takes the bytes out of a cell: of the column itself, of its field `bytes`, of the n-th of a list of them."""

    def __init__(self, member: str, names: list[str]) -> None:
        match = None if member in names else _MEMBER.match(member)
        index = match["index"] if match else None
        self._index = int(index) if index is not None else None
        self._field = bool(match and match["bytes"])

    def pick(self, column: pa.Array, row: int) -> Any:  # a pyarrow binary scalar, or None
        cell = column[row]
        if self._index is not None:
            cell = cell[self._index] if cell.is_valid else cell
        if self._field:
            cell = cell["bytes"] if cell.is_valid else cell
        return cell if cell.is_valid else None


def _column_of(member: str, names: list[str]) -> str:
    if member in names:
        return member
    match = _MEMBER.match(member)
    column = match["column"] if match else member
    if column not in names:
        raise KeyError(f"no column {column!r}")
    return column


def open_binary(path: str | bytes, uri: str) -> Any:  # a pyarrow file
    """The file open for Arrow: mapped where it is local, so that passing over data reads nothing."""
    if "://" not in uri or uri.startswith("file://"):
        return pa.memory_map(path.decode() if isinstance(path, bytes) else path)
    return pa.PythonFile(RemoteFile(uri), mode="r")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
