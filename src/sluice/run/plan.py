"""`plan`: measure a seeded sample as a run would, and forecast the whole: yield per rule, time, disk, cost.

The sample is drawn by a hash of (seed, id), so a larger share contains the smaller one. What only the whole can
show is said to be so: duplicates in a sample are far fewer than in the whole.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.run.conductor import Prepared, prepare
from sluice.run.corpus_steps import CorpusFacts, load_corpus
from sluice.run.engines import local_engine, local_model_engine
from sluice.run.events import Events
from sluice.run.filtering import decide_stage, measure_units
from sluice.run.holding import working_in
from sluice.run.ingest import ingest, unit_count
from sluice.run.judging import judge, yields
from sluice.run.lock import write_lock
from sluice.run.plan_models import ModelsPlan, plan_models
from sluice.run.recipe import RecipeFile
from sluice.run.rows import write_rows
from sluice.run.stage import stage_record
from sluice.table.commit import write_json, write_table
from sluice.table.compute import pc
from sluice.table.ids import fingerprint
from sluice.table.layout import RAW, Layout
from sluice.table.read import read_table
from sluice.wording import counted

_AT_LEAST: Final = 100  # samples: fewer tell nothing
_NO_MODELS: Final = ModelsPlan({}, {}, (), None, {}, ())
_Z: Final = 1.959964  # of a 95% interval


@dataclass(frozen=True)
class Forecast:
    """A share of the whole, with its 95% interval (Wilson), and what it comes to in samples."""

    share: float
    low: float
    high: float

    def of(self, whole: int) -> str:
        """In samples of the whole.

        >>> Forecast(0.1, 0.05, 0.2).of(1000)
        '100 (50 to 200)'
        """
        return f"{self.share * whole:,.0f} ({self.low * whole:,.0f} to {self.high * whole:,.0f})"


@dataclass(frozen=True)
class Plan:
    """What the whole would come to."""

    samples: int
    measured: int
    kept: Forecast  # before duplicates, which a sample cannot show
    verdicts: Mapping[str, Forecast]
    rules: Mapping[str, Forecast]
    seconds: float  # wall time for the whole on this machine
    core_hours: float
    disk: Mapping[str, float]  # bytes, by what they hold
    cost: float  # money for paid services, as far as it is forecast
    models: ModelsPlan  # 02_captioned and 03_quality_checked

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        plain: dict[str, Any] = dict(vars(self))
        plain["kept"] = vars(self.kept)
        for name in ("verdicts", "rules"):
            plain[name] = {key: vars(value) for key, value in plain[name].items()}
        plain["models"] = asdict(self.models)
        return plain

    def __str__(self) -> str:
        width = max(len(name) for name in (*self.rules, "rejected"))
        lines = [
            f"{self.measured:,} of {counted(self.samples, 'sample')} measured; for the whole, with 95% intervals:",
            "",
        ]
        for name, forecast in {**self.verdicts}.items():
            lines.append(f"  {name:<{width}}  {100 * forecast.share:>6.2f}%  {forecast.of(self.samples)}")
        lines += ["", "by rule"]
        for name, forecast in self.rules.items():
            lines.append(f"  {name:<{width}}  {100 * forecast.share:>6.2f}%  {forecast.of(self.samples)}")
        lines += ["", "  duplicates come on top: a sample cannot show how many there are in the whole", ""]
        lines.append(f"time   {_duration(self.seconds)} on this machine ({self.core_hours:,.2f} core hours)")
        disk = ", ".join(f"{name} {size / 1e9:,.2f} GB" for name, size in self.disk.items())
        lines.append(f"disk   {sum(self.disk.values()) / 1e9:,.2f} GB ({disk})")
        if told := str(self.models):
            lines += ["captions and fit, with 95% intervals:", *(f"  {line}" for line in told.split("\n"))]
        lines.append(f"cost   {self.cost:,.2f}{_of_what(self.models)}")
        return "\n".join(lines)


def _of_what(models: ModelsPlan) -> str:
    if models.notes:
        return ", without what is not forecast above"
    if models.unpriced:
        return f", without {', '.join(models.unpriced)}, of which no price is known"
    return "" if models.cost else ": this recipe calls no paid service"


def plan(file: RecipeFile, share: float, *, ask: bool = False) -> Plan:
    """Measure about `share` of the samples (at least 100) and forecast the whole.

    `ask`: captioners and services are asked about the sample, which may cost money; a run pays for none of it again.
    """
    prepared = prepare(file)
    layout = file.layout
    with working_in(layout) as watch, Events(layout, watch(None)) as events:
        write_lock(layout, file, prepared.plan, prepared.vectors)
        ingest(file, layout)  # a run goes on from here, so nothing of this is wasted
        whole = stage_record(layout, RAW)["kept"]
        sample = Layout(layout.state / "plan" / fingerprint(str(file.recipe.seed), str(share)))
        measured = _draw(layout, sample, file.recipe.seed, max(share, _AT_LEAST / max(1, whole)))
        units = unit_count(sample)
        with local_engine(file) as engine:
            spent = measure_units(sample, prepared.plan, tuple(prepared.measures), range(units), engine, events)
        found = _forecast(prepared, sample, whole, measured, sum(spent.values()))
        if not (prepared.captions or prepared.checks):
            return found
        workers = file.recipe.engine.workers_here
        write_json(sample.stage_file(RAW), {"stage": RAW, "fingerprint": _raw(measured), "kept": measured})
        decide_stage(file, sample, prepared.measures, prepared.rules, [], prepared.orders, {}, units)
        with local_model_engine(file) as engine:
            models = plan_models(
                prepared.captions,
                prepared.checks,
                prepared.rules,
                sample,
                units,
                whole / max(1, measured),
                engine,
                events,
                workers=workers,
                ask=ask,
            )
        seconds = found.seconds + models.captioning + (models.embedding or 0.0) / workers
        core_hours = found.core_hours + (models.embedding or 0.0) / 3600
        return replace(found, seconds=seconds, core_hours=core_hours, cost=models.cost, models=models)


def _draw(layout: Layout, sample: Layout, seed: int, share: float) -> int:
    """Write the units of the sample: the samples whose seeded hash falls below `share`."""
    measured = 0
    for unit in range(unit_count(layout)):
        samples, items = read_table(layout.samples(unit)), read_table(layout.items(unit))
        chosen = [_number(identity, seed) < share for identity in samples.column("id").to_pylist()]
        mask = pc.and_(pa.array(chosen), pc.is_null(samples.column("failure_class")))
        samples = samples.filter(mask)
        items = items.filter(pc.is_in(items.column("id"), samples.column("id").combine_chunks()))
        measured += samples.num_rows
        write_table(sample.samples(unit), samples)
        write_table(sample.items(unit), items)
    return measured


def _number(identity: str, seed: int) -> float:
    """A number from 0 to 1 for the sample, always the same."""
    return int.from_bytes(blake2b(f"{seed} {identity}".encode(), digest_size=8).digest(), "big") / 2**64


def _forecast(prepared: Prepared, sample: Layout, whole: int, measured: int, spent: float) -> Plan:
    write_rows(sample, prepared.measures, unit_count(sample), _raw(measured))
    config = prepared.file.recipe.filter.duplicates
    facts: CorpusFacts = load_corpus(sample, config)  # nothing: no corpus step has seen the sample
    judgement = judge(sample, prepared.rules, config, facts)
    severity = judgement.decision.severity
    verdicts = {
        name: _wilson(int((severity == number).sum()), measured)
        for number, name in enumerate(("kept", "held", "rejected", "failed"))
    }
    said = yields(judgement)
    rules = {rule.rule.name: _wilson(said[rule.rule.name]["samples"], measured) for rule in prepared.rules}
    scale = whole / max(1, measured)
    kept_bytes = _bytes_kept(sample, severity == 0, judgement.facts.first) * scale
    tables = sum(path.stat().st_size for path in sample.root.rglob("*.parquet")) * scale
    disk = {pack.format: kept_bytes for pack in prepared.file.recipe.pack} | {"tables": tables}
    seconds = 1.1 * spent * scale / (prepared.file.recipe.engine.workers_here)  # and packing
    return Plan(
        whole, measured, verdicts["kept"], verdicts, rules, seconds, spent * scale / 3600, disk, 0.0, _NO_MODELS
    )


def _raw(measured: int) -> str:
    return fingerprint("plan", str(measured))


def _bytes_kept(sample: Layout, kept: Any, first: Any) -> float:
    columns = pq.read_schema(sample.rows).names
    if "bytes" not in columns:
        return 0.0
    sizes = pc.fill_null(read_table(sample.rows, columns=["bytes"]).column("bytes"), 0).to_numpy()
    return float(np.sum(sizes[first][kept]))


def _wilson(count: int, total: int) -> Forecast:
    """Share `count / total` with its 95% interval (E. B. Wilson, 1927)."""
    if not total:
        return Forecast(0.0, 0.0, 1.0)
    share = count / total
    middle = share + _Z**2 / (2 * total)
    spread = _Z * math.sqrt(share * (1 - share) / total + _Z**2 / (4 * total**2))
    scale = 1 + _Z**2 / total
    return Forecast(share, max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale))


def _duration(seconds: float) -> str:
    """Seconds as a person says them.

    >>> _duration(4000)
    '1 h 7 min'
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
