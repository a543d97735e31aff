"""The rows of a stage in parts, each of whole units and so of whole samples: what is held of a corpus at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.table.footer import Part, parts, spans

PART_ROWS: Final = 65_536  # at least, unless the table ends before: a few dozen MB while verdicts are written
ASKED_ROWS: Final = 1_048_576  # of what is only asked, and holds a few numbers a row: fewer and larger queries

EVERY_ROW: Final = 2**62


@dataclass(frozen=True)
class RowPart:
    """Row groups of a rows.parquet that belong together."""

    path: Path
    groups: range
    first_row: int
    rows: int
    first_sample: int  # its ordinal
    whole: bool  # there is no other part
    metadata: pq.FileMetaData = field(repr=False, compare=False)  # read once: of many row groups that takes long

    def open(self, encoded: Sequence[str] = ()) -> pq.ParquetFile:
        """The file; use it with `with`. Text columns in `encoded` come as dictionaries."""
        return pq.ParquetFile(self.path, metadata=self.metadata, pre_buffer=True, read_dictionary=list(encoded))

    def read(self, columns: Sequence[str], encoded: Sequence[str] = ()) -> pa.Table:
        """Some columns; text columns in `encoded` as dictionaries."""
        with self.open(encoded) as file:
            table: pa.Table = file.read_row_groups(list(self.groups), columns=list(columns))
        return table.select(list(columns))

    def footer(self, name: str) -> list[Part]:
        """What the footer says of a column in this part."""
        return parts(self.metadata, name, self.groups)


def row_parts(path: Path, at_least: int = PART_ROWS) -> list[RowPart]:
    """The parts of a rows.parquet, cut between units where it is known where they end; one at least."""
    with pq.ParquetFile(path) as file:
        metadata = file.metadata
    cuts = list(_cuts(metadata, at_least))
    whole = len(cuts) == 1
    return [RowPart(path, range(*groups), row, rows, sample, whole, metadata) for groups, row, rows, sample in cuts]


def _cuts(metadata: pq.FileMetaData, at_least: int) -> Iterator[tuple[tuple[int, int], int, int, int]]:
    """(first and last row group, first row, rows, ordinal of the first sample) of each part."""
    units, ordinals = spans(metadata, "unit"), spans(metadata, "ordinal")
    start = row = rows = 0
    for group in range(metadata.num_row_groups):
        rows += metadata.row_group(group).num_rows
        last = group + 1 == metadata.num_row_groups
        here, after = units[group], None if last else units[group + 1]
        clean = here is not None and after is not None and here[1] < after[0]
        if last or (clean and rows >= at_least):
            first = ordinals[start]
            yield (start, group + 1), row, rows, int(first[0]) if first else 0
            start, row, rows = group + 1, row + rows, 0
    if not metadata.num_row_groups:
        yield (0, 0), 0, 0, 0


def ids_of_samples(path: Path, ordinals: Any) -> pa.Array:
    """The ids of some samples of a rows.parquet, by ordinal, ascending."""
    found = [pa.array([], pa.string())]
    for part in row_parts(path) if len(ordinals) else []:
        table = part.read(["id", "ordinal"])
        own = table.column("ordinal").to_numpy()
        first, end = np.searchsorted(ordinals, [own[0], own[-1] + 1]) if len(own) else (0, 0)
        at = np.searchsorted(own, ordinals[first:end])
        found.append(table.column("id").combine_chunks().take(pa.array(at)))
    return pa.concat_arrays(found)
