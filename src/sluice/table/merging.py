"""Tables that each ascend by a column, merged into one order: of each that is open a batch is held, of few at a time.

What a merge takes depends on neither the number of tables nor their length. Where more of them than `at_once` reach
over the same values, some are first merged into files beside them.
"""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.table.commit import PARTIAL, piece_writer
from sluice.table.footer import parts

_AT_ONCE: Final = 16  # tables
_BATCH: Final = 512  # rows held of each
_GROUP: Final = 2_048  # rows of what is merged on the way: it is read as soon as written


@dataclass(frozen=True)
class _Span:
    """A table and the values that its column reaches over."""

    path: Path
    first: int
    last: int


def merged(
    paths: Sequence[Path], column: str, folder: Path, *, at_once: int = _AT_ONCE, batch: int = _BATCH
) -> Iterator[pa.Table]:
    """The rows of all tables at `paths` by their whole numbers in `column`, piece by piece.

    `folder` takes, for as long as that goes on, what is merged on the way.
    """
    spans = sorted((span for path in paths if (span := _span(path, column))), key=lambda span: span.first)
    if _deepest(spans) <= at_once:
        yield from _merged(spans, column, batch)
        return
    with tempfile.TemporaryDirectory(suffix=PARTIAL, dir=folder) as name:
        while _deepest(spans) > at_once:
            spans = [
                _joined(spans[start : start + at_once], column, batch, Path(name) / f"{len(spans)}-{start}.parquet")
                for start in range(0, len(spans), at_once)
            ]
        yield from _merged(spans, column, batch)


def _span(path: Path, column: str) -> _Span | None:
    """None where the table is empty."""
    with pq.ParquetFile(path) as file:
        found = parts(file.metadata, column)
    return _Span(path, found[0].least, found[-1].greatest) if found else None


def _deepest(spans: Sequence[_Span]) -> int:
    """How many of them reach over the same value, at most."""
    ends = sorted([(span.first, 1) for span in spans] + [(span.last + 1, -1) for span in spans])
    steps = np.array([step for _, step in ends], np.int64)
    return int(steps.cumsum().max(initial=0))


def _joined(spans: Sequence[_Span], column: str, batch: int, path: Path) -> _Span:
    with piece_writer(path, pq.read_schema(spans[0].path), group=_GROUP) as writer:
        for piece in _merged(spans, column, batch):
            writer.write(piece)
    for span in spans:
        if span.path.parent == path.parent:  # merged on the way itself
            span.path.unlink()
    return _Span(path, spans[0].first, max(span.last for span in spans))


def _merged(spans: Sequence[_Span], column: str, batch: int) -> Iterator[pa.Table]:
    waiting = deque(spans)
    held: list[_Reader] = []
    try:
        while waiting or held:
            while waiting and (not held or waiting[0].first <= min(one.last for one in held)):
                held.append(_Reader(waiting.popleft().path, column, batch))
            most = min(one.last for one in held)  # whatever comes later is more
            parts = [part for one in held if (part := one.up_to(most)).num_rows]
            for one in held:
                if one.ended:
                    one.close()
            held = [one for one in held if not one.ended]
            yield parts[0] if len(parts) == 1 else _sorted(pa.concat_tables(parts), column)
    finally:
        for one in held:
            one.close()


def _sorted(table: pa.Table, column: str) -> pa.Table:
    return table.take(pa.array(np.argsort(table.column(column).to_numpy(), kind="stable")))


class _Reader:
    """Reads a table a batch at a time."""

    def __init__(self, path: Path, column: str, batch: int) -> None:
        self._column = column
        self._file = pq.ParquetFile(path, pre_buffer=False)
        self._batches: Iterator[Any] = self._file.iter_batches(batch, use_threads=False)
        self.ended = False
        self._next()

    @property
    def last(self) -> int:
        """The greatest number of the batch in hand."""
        return int(self._numbers[-1])

    def up_to(self, most: int) -> pa.Table:
        """The rows of the batch in hand whose number is no greater; the next batch follows when it is used up."""
        count = int(np.searchsorted(self._numbers, most, "right"))
        taken = self._held.slice(0, count)
        if count < len(self._numbers):
            self._held, self._numbers = self._held.slice(count), self._numbers[count:]
        else:
            self._next()
        return taken

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _next(self) -> None:
        found = next(self._batches, None)
        if found is None:
            self.ended = True
            return
        self._held = pa.Table.from_batches([found])
        self._numbers = found.column(self._column).to_numpy()
