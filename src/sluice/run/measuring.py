"""Measuring a unit: the pass over its items, in a worker. Writes a table a measure, drops nothing."""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path, PurePosixPath
from typing import Any, Final

import pyarrow as pa

from sluice.engine import WorkerContext
from sluice.errors import RecipeError, SampleFailure
from sluice.measures.base import Grain, Measure, all_registered, registered
from sluice.measures.views import DecodePlan, ImageRow, Measured, Row, SampleRow, TextRow, apply
from sluice.media.limits import Limits
from sluice.run.recipe import MeasureConfig
from sluice.table.commit import write_table
from sluice.table.compute import pc
from sluice.table.layout import Layout
from sluice.table.read import read_table
from sluice.table.refs import Ref, RefReader

_BATCH_ROWS: Final = 32
_BATCH_BYTES: Final = 32 * 2**20  # encoded; batches are cut by bytes, for 48 MP images come in rows too
BUILT_IN: Final = (
    "sluice.measures.image",
    "sluice.measures.text",
    "sluice.measures.language",
    "sluice.measures.rights",
)
ENTRY_POINTS: Final = "sluice.measures"


@dataclass(frozen=True)
class MeasurePlan:
    """What a run measures, by name and parameters: picklable, the same in every process."""

    measures: tuple[tuple[str, tuple[tuple[str, Any], ...]], ...]
    plugins: tuple[str, ...]
    limits: Limits

    def load(self) -> LoadedPlan:
        """Import what registers the measures, and bind their parameters."""
        load_plugins(self.plugins)
        return LoadedPlan(tuple(registered(name).bind(dict(params)) for name, params in self.measures), self.limits)


@dataclass(frozen=True)
class LoadedPlan:
    """The measures of a run, with the identity that each has in this company."""

    measures: tuple[Measure, ...]
    limits: Limits

    @property
    def decoding(self) -> DecodePlan:
        """How a pass decodes: by all measures of the recipe, not only those still missing."""
        return DecodePlan.of(self.measures)

    def identities(self) -> dict[str, Measure]:
        """The measures by `name@fingerprint`."""
        limits = self.limits
        refused = f"{limits.pixels} {limits.bytes} {limits.ratio:g} {limits.truncated}"
        return {measure.identity(self.decoding.name, refused): measure for measure in self.measures}


def measure_plan(
    configs: Sequence[MeasureConfig] | None, plugins: Sequence[str], limits: Limits, base: Path
) -> MeasurePlan:
    """The plan that a recipe asks for; without a list of measures, all that are registered."""
    paths = tuple(str((base / plugin).absolute()) for plugin in plugins)
    load_plugins(paths)
    names = configs or tuple(MeasureConfig(name=name) for name in all_registered())
    plan = MeasurePlan(tuple((config.name, tuple(sorted(config.params.items()))) for config in names), paths, limits)
    owners: dict[str, str] = {}
    for measure in plan.load().measures:
        for column in measure.writes:
            if column in owners:
                raise RecipeError(f"measures {owners[column]} and {measure.name} both write the column {column!r}")
            owners[column] = measure.name
    return plan


def load_plugins(paths: Sequence[str]) -> None:
    """Import the built-in measures, those of installed packages, and the plugin files `paths`."""
    for module in BUILT_IN:
        importlib.import_module(module)
    for point in entry_points(group=ENTRY_POINTS):
        point.load()
    for path in paths:
        name = f"sluice_plugin_{Path(path).stem}_{abs(hash(path)):x}"
        if name in sys.modules:
            continue
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None or not Path(path).is_file():
            raise RecipeError(f"plugins: {path}: no such Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            del sys.modules[name]
            raise RecipeError(f"plugins: {path} does not import: {type(error).__name__}: {error}") from error


@dataclass(frozen=True)
class MeasureJob:
    """A unit and the measures it still lacks, by identity."""

    unit: int
    missing: tuple[str, ...]


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
        unit = _UnitPass(samples, items, loaded, reader, context)
        for grain in ("image", "text", "sample"):
            unit.measure(grain, {key: measure for key, measure in wanted.items() if measure.grain == grain})
    for identity, measure in wanted.items():
        write_table(layout.measured(identity, job.unit), unit.table(identity, measure))
    return UnitCost(job.unit, samples.num_rows, unit.failed_rows(), unit.bytes_read, unit.seconds)


class _UnitPass:
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
        self._results: dict[str, list[Measured]] = {}
        self.bytes_read = 0
        self.seconds: dict[str, float] = {"read": 0.0, "decode": 0.0}

    def measure(self, grain: Grain, wanted: Mapping[str, Measure]) -> None:
        """Run the `wanted` measures over the rows of `grain`, batch by batch."""
        base = sum(self._tables[before].num_rows for before in _GRAINS[: _GRAINS.index(grain)])
        self._results |= {identity: [] for identity in wanted}
        if not wanted:
            return
        for low, high in self._batches(grain, base):
            rows = self._rows(grain, base, low, high)
            if grain == "image":
                self._look(rows, base + low, wanted)
            for identity, measure in wanted.items():
                self._context.journal.mark(base + low, base + high)
                started = time.perf_counter()
                self._results[identity].append(apply(measure, rows))
                self._spent(measure.name, started)
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

    def failed_rows(self) -> int:
        """Rows on which at least one measure failed."""
        failed_at: set[tuple[int, int]] = set()
        for results in self._results.values():
            start = 0
            for result in results:
                failed_at |= {(len(results), start + i) for i, error in enumerate(result.errors) if error}
                start += len(result.errors)
        return len(failed_at)

    def _batches(self, grain: Grain, base: int) -> Iterator[tuple[int, int]]:
        """Half-open ranges of rows; what is suspected of killing workers comes alone."""
        table = self._tables[grain]
        sizes = table.column("size").to_pylist() if grain == "image" else [0] * table.num_rows
        limit = _BATCH_ROWS if grain == "image" else table.num_rows
        low, held = 0, 0
        for row, size in enumerate(sizes):
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
        records = self._tables[grain].slice(low, high - low).to_pylist()
        rows: list[Row] = []
        for position, record in enumerate(records, base + low):
            poison = SampleFailure(*self._context.poison[position]) if position in self._context.poison else None
            if grain == "text":
                rows.append(TextRow(record["text"] or "", record["language"], poison))
            elif grain == "sample":
                rows.append(SampleRow(record, poison))
            else:
                ref = Ref(record["container"], record["uri"], record["member"], record["offset"], record["size"])
                extension, decoding = extension_of(ref, record["meta"]), self._plan.decoding
                rows.append(ImageRow(extension, self._read_of(ref), decoding, self._plan.limits, poison))
        return rows

    def _read_of(self, ref: Ref) -> Callable[[], bytes]:
        def read() -> bytes:
            data = self._reader.read(ref)
            self.bytes_read += len(data)
            return data

        return read

    def _look(self, rows: Sequence[Row], position: int, wanted: Mapping[str, Measure]) -> None:
        """Compute every view that the measures will ask for, row by row, so that a death names its row."""
        views = list(dict.fromkeys(view for measure in wanted.values() for view in measure.reads))
        views.sort(key=lambda view: view.pixels)  # bytes and header first: the cheap checks
        for row in rows:
            self._context.journal.mark(position)
            position += 1
            for view in views:
                started = time.perf_counter()
                try:
                    row.view(view)
                except SampleFailure:
                    break_early = not view.pixels and view.kind == "bytes"
                    if break_early:
                        break  # no bytes, no view; `apply` finds the kept failure
                finally:
                    self._spent("decode" if view.pixels else "read", started)

    def _spent(self, what: str, started: float) -> None:
        self.seconds[what] = self.seconds.get(what, 0.0) + time.perf_counter() - started


_GRAINS: Final[tuple[Grain, ...]] = ("image", "text", "sample")


def extension_of(ref: Ref, meta: str | None = None) -> str:
    """The file name extension of a medium, lower case, without the dot; a table's cell may name its file in `meta`.

    >>> extension_of(Ref("file", "photos/A.JPG", None, None, 10))
    'jpg'
    >>> extension_of(Ref("parquet", "photos.parquet", "image.bytes", 0, 10), '{"path": "b.png"}')
    'png'
    """
    if ref.container in ("parquet", "arrow"):
        name = json.loads(meta).get("path") if meta else None
    else:
        name = ref.member if ref.container == "tar" else ref.uri
    return PurePosixPath(str(name or "")).suffix.removeprefix(".").lower()
