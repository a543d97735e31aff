"""Measuring a unit: the pass over its items, in a worker. Writes a table a measure, drops nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from sluice.engine.base import WorkerContext
from sluice.errors import SampleFailure
from sluice.measures.base import Grain, Measure
from sluice.measures.views import ImageRow, Measured, Row, SampleRow, TextRow, apply
from sluice.run.measure_plan import LoadedPlan, MeasurePlan
from sluice.table.commit import write_table
from sluice.table.compute import pc
from sluice.table.layout import Layout
from sluice.table.read import read_table
from sluice.table.refs import Ref, RefReader

_BATCH_ROWS: Final = 16
_BATCH_BYTES: Final = 32 * 2**20  # encoded; batches are cut by bytes, for 48 MP images come in rows too


@dataclass(frozen=True)
class MeasureJob:
    """A unit and the measures it still lacks, by identity."""

    unit: int
    missing: tuple[str, ...]


@dataclass(frozen=True)
class _Finished:
    """A batch that is measured: what the next try starts after, should this worker die."""

    grain: Grain
    high: int  # the row after its last
    results: dict[str, Measured]  # by identity
    bytes_read: int  # from the unit's start
    seconds: dict[str, float]  # likewise


@dataclass(frozen=True)
class UnitCost:
    """What measuring a unit took: for progress, `seconds.json` and the report."""

    unit: int
    samples: int
    failed: int
    bytes_read: int
    seconds: dict[str, float]  # by measure; `read` and `decode` are shared by all


def measure_unit(shared: tuple[Layout, MeasurePlan], job: MeasureJob, context: WorkerContext) -> UnitCost:
    """Measure one unit and commit a table a measure. Runs in a worker."""
    layout, plan = shared
    loaded = plan.load()
    wanted = {identity: measure for identity, measure in loaded.identities().items() if identity in job.missing}
    samples = read_table(layout.samples(job.unit), threads=False)
    items = read_table(layout.items(job.unit), threads=False)
    with RefReader(plan.limits.bytes) as reader:
        unit = UnitPass(samples, items, loaded, reader, context)
        for grain in ("image", "text", "sample"):
            unit.measure(grain, {key: measure for key, measure in wanted.items() if measure.grain == grain})
    for identity, measure in wanted.items():
        write_table(layout.measured(identity, job.unit), unit.table(identity, measure))
    return UnitCost(job.unit, samples.num_rows, unit.failed_rows, unit.bytes_read, unit.seconds)


class UnitPass:
    """One pass over a unit. Positions number the image items first, then the texts, then the samples."""

    def __init__(
        self, samples: pa.Table, items: pa.Table, plan: LoadedPlan, reader: RefReader, context: WorkerContext
    ) -> None:
        kinds = items.column("kind")
        self._context = context
        self._plan = plan
        self._reader = reader
        self._tables: dict[Grain, pa.Table] = {
            "image": items.filter(pc.equal(kinds, "image")),
            "text": items.filter(pc.equal(kinds, "text")),
            "sample": samples,
        }
        self._lists: dict[Grain, dict[str, list[Any]]] = {}
        self._decoding = plan.decoding
        self._results: dict[str, list[Measured]] = {}
        self._failed: set[int] = set()
        self.bytes_read = 0
        self.seconds: dict[str, float] = {"read": 0.0, "decode": 0.0}

    def measure(self, grain: Grain, wanted: Mapping[str, Measure]) -> None:
        """Run the `wanted` measures over the rows of `grain`, batch by batch."""
        base = sum(self._tables[before].num_rows for before in _GRAINS[: _GRAINS.index(grain)])
        self._results |= {identity: [] for identity in wanted}
        if not wanted:
            return
        for low, high in self._batches(grain, base, self._take_over(grain, base)):
            rows = self._rows(grain, base, low, high)
            if grain == "image":
                self._look(rows, base + low, wanted)
            for identity, measure in wanted.items():
                self._context.journal.mark(base + low, base + high)
                started = time.perf_counter()
                measured = apply(measure, rows)
                self._results[identity].append(measured)
                self._failed.update(base + low + row for row, error in enumerate(measured.errors) if error)
                self._spent(measure.name, started)
            batch = {identity: self._results[identity][-1] for identity in wanted}
            self._context.keep(_Finished(grain, high, batch, self.bytes_read, dict(self.seconds)))
        self._context.journal.clear()

    def table(self, identity: str, measure: Measure) -> pa.Table:
        """The table of a measured measure: a row a row of its grain, in order."""
        keys = ["id"] if measure.grain == "sample" else ["id", "item"]
        table = self._tables[measure.grain].select(keys)
        results = self._results[identity]
        errors = [error for result in results for error in result.errors]
        table = table.append_column("error", pa.array(errors, pa.string()))
        for name, kind in measure.writes.items():
            values = [value for result in results for value in result.columns[name]]
            table = table.append_column(name, pa.array(values, kind))
        return table.combine_chunks()

    @property
    def failed_rows(self) -> int:
        """Rows on which at least one measure failed."""
        return len(self._failed)

    def _take_over(self, grain: Grain, base: int) -> int:
        """Fill in what earlier tries of this unit, whose workers died, had finished; the row to go on with."""
        row = 0
        for batch in self._context.finished:
            if batch.grain == grain:
                for identity, measured in batch.results.items():
                    self._results[identity].append(measured)
                    self._failed.update(base + row + place for place, error in enumerate(measured.errors) if error)
                row, self.bytes_read, self.seconds = batch.high, batch.bytes_read, batch.seconds
        return row

    def _batches(self, grain: Grain, base: int, start: int) -> Iterator[tuple[int, int]]:
        """Half-open ranges of the rows from `start` on; what is suspected of killing workers comes alone."""
        table = self._tables[grain]
        sizes = table.column("size").to_pylist() if grain == "image" else [0] * table.num_rows
        limit = self._plan.batch or (_BATCH_ROWS if grain == "image" else table.num_rows)
        low, held = start, 0
        for row, size in enumerate(sizes[start:], start):
            alone = self._context.is_suspect(base + row) or base + row in self._context.poison
            if row > low and (alone or row - low >= limit or held + (size or 0) > _BATCH_BYTES):
                yield low, row
                low, held = row, 0
            held += size or 0
            if alone:
                yield low, row + 1
                low, held = row + 1, 0
        if low < table.num_rows:
            yield low, table.num_rows

    def _rows(self, grain: Grain, base: int, low: int, high: int) -> list[Row]:
        make = {"image": self._image_row, "text": self._text_row, "sample": self._sample_row}[grain]
        columns = self._columns(grain)
        rows: list[Row] = []
        for row in range(low, high):
            failure = self._context.poison.get(base + row)
            rows.append(make(columns, row, SampleFailure(*failure) if failure else None))
        return rows

    def _columns(self, grain: Grain) -> dict[str, list[Any]]:
        """The table of a grain as Python values, by column: a dictionary a row would cost more than some measures."""
        if grain not in self._lists:
            table = self._tables[grain]
            self._lists[grain] = {name: table.column(name).to_pylist() for name in table.column_names}
        return self._lists[grain]

    def _image_row(self, columns: dict[str, list[Any]], row: int, poison: SampleFailure | None) -> Row:
        ref = Ref(*(columns[name][row] for name in _REF))
        extension = extension_of(ref, columns["meta"][row])
        return ImageRow(extension, self._read_of(ref), self._decoding, self._plan.limits, poison)

    def _text_row(self, columns: dict[str, list[Any]], row: int, poison: SampleFailure | None) -> Row:
        return TextRow(columns["text"][row] or "", columns["language"][row], poison)

    def _sample_row(self, columns: dict[str, list[Any]], row: int, poison: SampleFailure | None) -> Row:
        return SampleRow({name: values[row] for name, values in columns.items()}, poison)

    def _read_of(self, ref: Ref) -> Callable[[], bytes]:
        def read() -> bytes:
            data = self._reader.read(ref)
            self.bytes_read += len(data)
            return data

        return read

    def _look(self, rows: Sequence[Row], position: int, wanted: Mapping[str, Measure]) -> None:
        """Compute every view that the measures will ask for, row by row, so that a death names its row."""
        views = dict.fromkeys(view for measure in wanted.values() for view in measure.reads)
        cheap = [view for view in views if not view.pixels]  # bytes, their digest and the header first
        pixels = [view for view in views if view.pixels]
        for row in rows:
            self._context.journal.mark(position)
            position += 1
            for what, asked in (("read", cheap), ("decode", pixels)):
                started = time.perf_counter()
                for view in asked:
                    with suppress(SampleFailure):  # kept by the row: `apply` finds it again
                        row.view(view)
                self._spent(what, started)

    def _spent(self, what: str, started: float) -> None:
        self.seconds[what] = self.seconds.get(what, 0.0) + time.perf_counter() - started


_GRAINS: Final[tuple[Grain, ...]] = ("image", "text", "sample")
_REF: Final = ("container", "uri", "member", "offset", "size")


def extension_of(ref: Ref, meta: str | None = None) -> str:
    """The file name extension of a medium, lower case, without the dot; a table's cell may name its file in `meta`.

    >>> extension_of(Ref("file", "photos/A.JPG", None, None, 10))
    'jpg'
    >>> extension_of(Ref("parquet", "photos.parquet", "image.bytes", 0, 10), '{"path": "b.png"}')
    'png'
    """
    _, dot, extension = file_name(ref, meta).rpartition("/")[2].rpartition(".")
    return extension.lower() if dot else ""


def file_name(ref: Ref, meta: str | None = None) -> str:
    """The name of the file that a medium is, as its source has it, with its folders; empty where it has none."""
    if ref.container in ("parquet", "arrow"):
        return str(json.loads(meta).get("path") or "") if meta else ""
    return (ref.member if ref.container == "tar" else ref.uri) or ""
