"""The tables of a run as the report reads them, column by column, so that memory holds a few bytes a row and no more.

In NumPy, a byte each: the verdict of every sample, and for every row of the stage (of rows.parquet, for 01_filtered)
the verdict of the sample, image and text that it is the first of (an image with three captions stands in three rows).
In DuckDB, within a limit:

`spoke`  a row a reason of a verdict: ordinal, verdict (its code), rule, effect, item, values
`place`  a row a row of rows.parquet: the codes above as columns named by grain
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.errors import RunError
from sluice.table.compute import pc
from sluice.table.cores import available_cores
from sluice.table.duck import connect
from sluice.table.layout import FILTERED, Layout

VERDICTS: Final = ("kept", "rejected", "held", "failed")  # by code
EFFECTS: Final = ("failed", "rejected", "caption", "held")  # of a reason, gravest first
REPEATED: Final = 255  # the code of a row whose sample, image or text an earlier row has shown
MEMORY: Final = "200MB"  # past it, DuckDB spills to a temporary folder
_THREADS: Final = 4  # each holds a row group of its own
_BATCH: Final = 65_536  # rows
_HASHES: Final = ("phash", "dhash")
_IDENTITY: Final = ("ordinal", "unit", "image_item", "text_item", "images", "captions", "texts")
_LABELS: Final = ("source", "format", "spdx", "licence", "language", "declared_language", "dataset")

Codes: TypeAlias = npt.NDArray[np.uint8]
Numbers: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Column:
    """A measured column that holds numbers."""

    name: str
    grain: str  # image | text | sample
    whole: bool  # integers


@dataclass(frozen=True)
class Tables:
    """An open connection with the tables above."""

    duck: duckdb.DuckDBPyConnection
    layout: Layout
    columns: tuple[Column, ...]
    labels: tuple[str, ...]
    verdicts: Codes  # by ordinal
    places: Mapping[str, Codes]  # by grain; by row
    file: pq.ParquetFile  # the rows of the stage
    stage: str = FILTERED

    @property
    def entered(self) -> int:
        """Samples that came in."""
        return len(self.verdicts)

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows that `sql` gives."""
        return self.duck.execute(sql, list(values)).fetchall()

    def read(self, names: list[str], grain: str) -> Iterator[tuple[pa.RecordBatch, Codes]]:
        """Some columns of rows.parquet, batch by batch, with the verdict codes of the things of `grain`."""
        done = 0
        for batch in _batches(self.file, names):
            yield batch, self.places[grain][done : done + batch.num_rows]
            done += batch.num_rows
        pa.default_memory_pool().release_unused()  # else Arrow keeps what a column took, 40 MB after a few dozen

    def values(self, column: Column) -> Iterator[tuple[Numbers, Codes]]:
        """What was measured, once for each image, text or sample, with its verdict code."""
        for batch, codes in self.read([column.name], column.grain):
            values = numbers(batch.column(0))
            there = np.isfinite(values) & (codes != REPEATED)
            yield (values, codes) if there.all() else (values[there], codes[there])

    def things(self, grain: str) -> int:
        """Samples, images or texts of the run."""
        return int(np.count_nonzero(self.places[grain] != REPEATED))


def numbers(column: Any) -> Numbers:
    """A column of numbers; NULL is NaN."""
    return _array(pc.cast(column, pa.float64(), safe=False), np.dtype(np.float64), np.nan)


def whole(column: Any) -> npt.NDArray[np.int64]:
    """A column of whole numbers that are not negative; NULL is -1."""
    return _array(pc.cast(column, pa.int64()), np.dtype(np.int64), -1)


def _array(column: Any, kind: np.dtype[Any], null: float) -> npt.NDArray[Any]:
    """Read from Arrow's buffers: its `to_numpy` imports pandas where that is installed, for 0.3 s and 45 MB."""
    valid, values = column.buffers()
    found = np.frombuffer(values, kind, len(column), column.offset * kind.itemsize)
    if not column.null_count:
        return found
    bits = np.unpackbits(np.frombuffer(valid, np.uint8), bitorder="little")[column.offset :][: len(column)]
    return np.where(bits, found, null).astype(kind, copy=False)


@contextmanager
def open_tables(layout: Layout, stage: str = FILTERED) -> Generator[Tables]:
    """Open the tables of a run by what `stage`, 01_filtered or 03_quality_checked, decided on."""
    rows, decisions = layout.rows_of(stage), layout.verdicts(stage)
    if not decisions.is_file() or not rows.is_file():
        raise RunError(f"{layout.named}: nothing was decided yet, so there is nothing to report; `sluice run` goes on")
    with (
        pq.ParquetFile(rows) as file,
        pq.ParquetFile(decisions, read_dictionary=["verdict"]) as decided,
        tempfile.TemporaryDirectory(prefix="sluice-report-") as spill,
        connect(threads=min(_THREADS, available_cores())) as duck,
    ):
        schema = file.schema_arrow
        grains: dict[str, str] = json.loads((schema.metadata or {}).get(b"sluice.grains", b"{}"))
        columns = tuple(
            Column(field.name, grains.get(field.name, "sample"), pa.types.is_integer(field.type))
            for field in schema
            if _is_number(field.type) and field.name not in (*_IDENTITY, *_HASHES)
        )
        labels = tuple(name for name in _LABELS if name in schema.names)
        verdicts = _verdicts(decided)
        places = _places(file, verdicts, _left_out(decided))
        duck.execute(f"SET memory_limit = '{MEMORY}'; SET temp_directory = '{spill}'")
        duck.execute(_SPOKE, {"verdicts": list(VERDICTS), "effects": list(EFFECTS), "path": str(decisions)})
        duck.register("codes", places)
        duck.execute("CREATE TEMP TABLE place AS SELECT * FROM codes")
        duck.unregister("codes")
        yield Tables(duck, layout, columns, labels, verdicts, places, file, stage)


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)


def _batches(file: pq.ParquetFile, names: list[str]) -> Iterator[Any]:
    return file.iter_batches(_BATCH, columns=names, use_threads=False)


def _verdicts(decided: pq.ParquetFile) -> Codes:
    """A verdict's place in its file is the sample's ordinal: both are in the order of the source."""
    found = np.empty(decided.metadata.num_rows, np.uint8)
    done = 0
    for batch in _batches(decided, ["verdict"]):
        column = batch.column(0)
        codes = np.array([VERDICTS.index(name) for name in column.dictionary.to_pylist()], np.uint8)
        found[done : done + len(column)] = codes[whole(column.indices)]
        done += len(column)
    return found


def _left_out(decided: pq.ParquetFile) -> npt.NDArray[np.int64]:
    """The captions that kept samples go without, as ordinal * 65536 + item, ascending."""
    found: list[npt.NDArray[np.int64]] = [np.empty(0, np.int64)]
    done = 0
    for batch in _batches(decided, ["captions_left_out"]):
        column = batch.column(0)
        if column.null_count < len(column):
            ordinals = done + whole(pc.list_parent_indices(column))
            found.append(ordinals << 16 | whole(pc.list_flatten(column)))
        done += len(column)
    return np.sort(np.concatenate(found))


def _places(file: pq.ParquetFile, verdicts: Codes, left_out: npt.NDArray[np.int64]) -> dict[str, Codes]:
    found = {grain: np.full(file.metadata.num_rows, REPEATED, np.uint8) for grain in ("sample", "image", "text")}
    done, last = 0, (-1, -1, -1)
    for batch in _batches(file, ["ordinal", "image_item", "text_item"]):
        ordinal = whole(batch.column("ordinal"))
        items = {grain: whole(batch.column(f"{grain}_item")) for grain in ("image", "text")}
        code = verdicts[ordinal]
        new = np.diff(ordinal, prepend=last[0]) != 0
        here = slice(done, done + len(ordinal))
        found["sample"][here][new] = code[new]
        for place, (grain, item) in enumerate(items.items(), 1):
            first = (new | (np.diff(item, prepend=last[place]) != 0)) & (item >= 0)
            if grain == "text" and len(left_out):
                code = np.where((code == 0) & np.isin(ordinal << 16 | item, left_out), 1, code).astype(np.uint8)
            found[grain][here][first] = code[first]
        done += len(ordinal)
        last = (int(ordinal[-1]), int(items["image"][-1]), int(items["text"][-1]))
    return found


_SPOKE: Final = """
CREATE TEMP TABLE spoke AS
WITH told AS (SELECT file_row_number AS ordinal, list_position($verdicts, verdict) - 1 AS verdict,
                     unnest(reasons) AS reason
              FROM read_parquet($path, file_row_number = true) WHERE len(reasons) > 0)
SELECT ordinal, verdict::UTINYINT AS verdict, reason.rule AS rule,
       (list_position($effects, reason.effect) - 1)::UTINYINT AS effect, reason.item AS item, reason.values AS "values"
FROM told
"""
