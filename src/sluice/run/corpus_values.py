"""The values that corpus steps compare, read from the rows part by part: eight bytes a sample, whole rows of a few."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sluice.corpus.duplicates import repeated_captions
from sluice.run.row_parts import PART_ROWS, RowPart, row_parts
from sluice.table.arrays import numbers
from sluice.table.compute import pc
from sluice.table.keys import Keys, Repeated, among_keys, text_keys
from sluice.table.memory import give_back


def first_values(rows: Path, column: str) -> npt.NDArray[Any]:
    """The numbers in `column`, one a sample that is a pair and has one; by ordinal."""
    pieces = [numbers(_first_rows(part, column).column("value")) for part in row_parts(rows)]
    return np.concatenate(pieces)


def first_rows(rows: Path, column: str) -> pa.Table:
    """ordinal, row, value: the first row of each sample that is a pair and has a value in `column`; by ordinal."""
    return pa.concat_tables([_first_rows(part, column) for part in row_parts(rows)])


def rows_of_repeated(rows: Path, column: str, also: Keys | None = None, part_rows: int = PART_ROWS) -> pa.Table:
    """Those of `first_rows` whose value may stand in another, or is among the numbers `also`: hardly one too many."""
    repeated = Repeated()
    parts = row_parts(rows, part_rows)
    for part in parts:
        repeated.add(_keys(_first_rows(part, column).column("value")))
    keys = repeated.keys() if also is None else np.union1d(repeated.keys(), also)
    found: list[pa.Table] = []
    for part in parts:
        first = _first_rows(part, column)
        found.append(first.filter(pa.array(among_keys(_keys(first.column("value")), keys))))
    return pa.concat_tables(found)


def captions_of_several(rows: Path, part_rows: int = PART_ROWS) -> pa.Table:
    """row, images, repeat of the captions that stand on several images, or again on the same one."""
    repeated = Repeated()
    parts = row_parts(rows, part_rows)
    for _, hashes, _ in _captions(parts):
        repeated.add(_keys(hashes))
    keys = repeated.keys()
    found: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], pa.ChunkedArray]] = []
    for row, hashes, ordinal in _captions(parts):
        some = among_keys(_keys(hashes), keys)
        found.append((row[some], ordinal[some], hashes.filter(pa.array(some))))
    row, ordinal = (np.concatenate([np.zeros(0, np.int64), *(one[place] for one in found)]) for place in (0, 1))
    hashes = pa.chunked_array([chunk for *_, column in found for chunk in column.chunks], pa.string())
    images, repeat = repeated_captions(hashes, ordinal)
    told = (images > 1) | repeat
    return pa.table({"row": row[told], "images": images[told], "repeat": repeat[told]})


def _captions(parts: list[RowPart]) -> Iterator[tuple[npt.NDArray[np.int64], pa.ChunkedArray, npt.NDArray[np.int64]]]:
    """Row, hash and ordinal of the captions of each part."""
    for part in parts:
        give_back()
        table = part.read(["ordinal", "text_hash", "alternative"])
        there = pc.and_(table.column("alternative"), pc.is_valid(table.column("text_hash")))
        at = np.flatnonzero(numbers(pc.fill_null(there, False)))
        table = table.filter(there)
        yield at + part.first_row, table.column("text_hash"), numbers(table.column("ordinal"))


def _keys(values: pa.ChunkedArray) -> Keys:
    """What stands for each value: a number itself, eight bytes of a text."""
    if pa.types.is_integer(values.type):
        return numbers(values).astype(np.uint64)
    return np.concatenate([np.zeros(0, np.uint64), *map(text_keys, values.chunks)])


def _first_rows(part: RowPart, column: str) -> pa.Table:
    give_back()  # what the part before took
    table = part.read(["ordinal", "images", "texts", "captions", column])
    first = np.diff(table.column("ordinal").to_numpy(), prepend=part.first_sample - 1) != 0
    pair = pc.and_(pc.equal(table.column("images"), 1), pc.equal(table.column("texts"), table.column("captions")))
    chosen = pc.and_(pc.and_(pa.array(first), pair), pc.is_valid(table.column(column)))
    row = pa.array(np.arange(table.num_rows) + part.first_row)
    return pa.table({"ordinal": table.column("ordinal"), "row": row, "value": table.column(column)}).filter(chosen)
