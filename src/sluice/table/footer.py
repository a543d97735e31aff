"""What a Parquet file's footer says of a column: enough, often, to know the whole column without reading it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow.parquet as pq


@dataclass(frozen=True)
class Part:
    """A column in one row group."""

    rows: int
    nulls: int | None  # None: not known
    least: Any  # None: not known
    greatest: Any

    @property
    def whole(self) -> bool:
        """Whether every row is known to have a value, and the least and greatest of them are known."""
        return self.nulls == 0 and self.least is not None


def parts(metadata: pq.FileMetaData, name: str, groups: range | None = None) -> list[Part]:
    """The column `name`, which holds plain values, by row group (of `groups`); those without rows are left out."""
    place = _place(metadata, name)
    return [
        _part(group.num_rows, group.column(place).statistics)
        for group in map(metadata.row_group, range(metadata.num_row_groups) if groups is None else groups)
        if group.num_rows
    ]


def spans(metadata: pq.FileMetaData, name: str) -> list[tuple[Any, Any] | None]:
    """Least and greatest of the column `name`, which holds plain values, in each row group; None: not known."""
    place = _place(metadata, name)
    groups = map(metadata.row_group, range(metadata.num_row_groups))
    found = (_part(group.num_rows, group.column(place).statistics) for group in groups)
    return [None if part.least is None else (part.least, part.greatest) for part in found]


def one_value(column: list[Part]) -> Any:
    """The value that every row has; None where there are several, or where that is not known."""
    values = {value for part in column for value in (part.least, part.greatest)}
    return values.pop() if len(values) == 1 and all(part.whole for part in column) else None


def counts_up(column: list[Part], start: int = 0) -> bool:
    """Whether a column that never leaves out a number nor steps back is known to be `start`, `start` + 1, ..."""
    expected = start
    for part in column:
        if not part.whole or part.least != expected or part.greatest != expected + part.rows - 1:
            return False
        expected += part.rows
    return True


def _place(metadata: pq.FileMetaData, name: str) -> int:
    """Where the column is among those of a file; nested ones take several places."""
    return [metadata.schema.column(place).path for place in range(metadata.num_columns)].index(name)


def _part(rows: int, statistics: Any) -> Part:
    if statistics is None:
        return Part(rows, None, None, None)
    nulls = statistics.null_count if statistics.has_null_count else None
    least, greatest = (statistics.min, statistics.max) if statistics.has_min_max else (None, None)
    return Part(rows, nulls, least, greatest)
