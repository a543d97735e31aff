"""The conductor: a recipe carried out, stage by stage, resumable at any instant.

Everything that a run needs is checked before the first byte is read: the recipe, its plugins, its rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from sluice.engine import Engine
from sluice.errors import RecipeError
from sluice.measures.base import Measure
from sluice.pack.formats import packer
from sluice.pack.held import ON_DISKS_ALONE
from sluice.run.balancing import check_balance
from sluice.run.boxes import box_plan
from sluice.run.caption_stage import Captions, asking_again, caption_stage, prepare_captions
from sluice.run.checking import Checks, check_stage, prepare_checks
from sluice.run.corpus_measuring import Orders
from sluice.run.engines import make_engine, make_model_engine
from sluice.run.events import Events, Listener
from sluice.run.filtering import MEASURE_UNIT, compile_filter, decide_stage, measure_units
from sluice.run.final import final_stage
from sluice.run.holding import working_in
from sluice.run.ingest import ingesting, unit_count
from sluice.run.lock import write_lock
from sluice.run.measure_plan import MeasurePlan, measure_plan
from sluice.run.opt_outs import load_opt_outs
from sluice.run.quality_rows import ALIGNMENT
from sluice.run.recipe import RecipeFile
from sluice.run.references import load_references
from sluice.run.reporting import refresh_report
from sluice.run.rows import rows_schema
from sluice.run.rules.order import compile_order
from sluice.run.rules.rule import CompiledRule
from sluice.run.scores import score_fields
from sluice.run.shards import PACK_SHARDS
from sluice.run.stage import stage_record, stage_seconds, unneeded
from sluice.table.commit import sweep
from sluice.table.layout import CAPTIONED, CHECKED, FILTERED, FINAL, RAW, STAGES, Layout
from sluice.table.memory import collect

if TYPE_CHECKING:
    from sluice.run.ledger import Run


@dataclass(frozen=True)
class Prepared:
    """A recipe that has passed every check that needs no data."""

    file: RecipeFile
    plan: MeasurePlan
    measures: dict[str, Measure]  # by identity
    schema: pa.Schema  # the columns that rules may read
    rules: Sequence[CompiledRule]
    orders: Orders  # which member of a cluster is kept
    checks: Checks | None  # of 03_quality_checked
    captions: Captions | None  # of 02_captioned

    @property
    def vectors(self) -> str:
        """The hash of the files that vectors are read from; empty where an encoder makes them."""
        return self.checks.plan.of_files() if self.checks else ""


def prepare(file: RecipeFile) -> Prepared:
    """Check the recipe against the measures it names; RecipeError says what to mend."""
    recipe = file.recipe
    plan = measure_plan(recipe.measures, file)
    measures = plan.load().identities()
    schema = rows_schema(measures.values())
    near = recipe.filter.duplicates.near
    if near is not None and near.hash not in schema.names:
        where = file.where("filter", "duplicates", "near", "hash")
        raise RecipeError(f"{where}: no measure writes the column {near.hash!r}; add `image.{near.hash}` to `measures`")
    keep = near.keep if near else "id"
    order = compile_order(keep, schema, file.where("filter", "duplicates", "near", "keep"))
    text = recipe.filter.duplicates.text
    of_texts = compile_order(
        text.keep_among(schema.names) if text else "id", schema, file.where("filter", "duplicates", "text", "keep")
    )
    rules = compile_filter(file, schema)
    box_plan(file, plan.plugins)
    checks = prepare_checks(file, schema, measures)
    _check_packs(file, pa.schema([*schema, *score_fields(checks.scores)]) if checks else schema)
    captions = prepare_captions(file, schema, plan, measures, checks)
    check_balance(file, pa.schema([*schema, *ALIGNMENT, *score_fields(checks.scores)]) if checks else schema)
    return Prepared(file, plan, measures, schema, rules, Orders(order, of_texts), checks, captions)


def run(file: RecipeFile, *, only: str | None = None, again: bool = False, listener: Listener | None = None) -> Path:
    """Carry out the recipe, or go on with it; the run folder. `only` stops after that stage.

    `again`: captioners ask anew what brought an answer that was none.
    """
    prepared = prepare(file)
    if again and prepared.captions:
        prepared = replace(prepared, captions=asking_again(prepared.captions))
    if only is not None and only not in STAGES:
        raise RecipeError(f"there is no stage {only!r} (there are: {', '.join(STAGES)})")
    for stage, part, asked in ((CAPTIONED, "captions", prepared.captions), (CHECKED, "quality", prepared.checks)):
        if only == stage and not asked:
            raise RecipeError(f"{file.path.name}: has no `{part}`, so there is no stage {only!r}")
    load_opt_outs(file)  # one that cannot be read is said now, not after hours of measuring
    layout = file.layout
    with working_in(layout) as watch, Events(layout, watch(listener)) as events:
        sweep(layout.root)
        write_lock(layout, prepared.file, prepared.plan, prepared.vectors)
        events.tell("run_started", recipe=str(file.path), run=layout.named, engine=file.recipe.engine.type)
        _stages(prepared, layout, events, only)
        events.tell("run_done", **{stage: _counts(layout, stage) for stage in STAGES})
    return layout.root


def _stages(prepared: Prepared, layout: Layout, events: Events, only: str | None) -> None:
    with make_engine(prepared.file) as engine:
        if not stage_record(layout, RAW) and only != RAW:
            engine.warm(MEASURE_UNIT)  # a first run: there will be units to measure
        units = _ingesting(prepared, layout, events)
        if only == RAW:
            for _ in units:
                pass
        else:
            _work(prepared, layout, events, engine, units, only)
        if only is None or only == FINAL:
            engine.release()  # one worker more draws the report's pictures: beside these, all would take more memory
            if refresh_report(prepared.file, layout):
                events.tell("report_written", report=str(layout.report))


def _ingesting(prepared: Prepared, layout: Layout, events: Events) -> Sequence[int] | Iterator[int]:
    """The units of 00_raw; an iterator while they are being written, and the stage is under way until its end."""
    done = events.begin(RAW)
    units = ingesting(prepared.file, layout, events.tell)

    def with_last_words() -> Iterator[int]:
        yield from units
        done(None if isinstance(units, Sequence) else stage_seconds(layout, RAW)["ingest"])
        events.tell("stage_counts", stage=RAW, **_counts(layout, RAW))

    return list(with_last_words()) if isinstance(units, Sequence) else with_last_words()


def _work(
    prepared: Prepared, layout: Layout, events: Events, engine: Engine, units: Iterable[int], only: str | None
) -> None:
    file = prepared.file
    with events.stage(FILTERED):
        spent = measure_units(layout, prepared.plan, tuple(prepared.measures), units, engine, events)
        references = load_references(file, layout, engine, events)
        if spent and (only is None or only == FINAL) and not prepared.captions and not prepared.checks:
            engine.renew(PACK_SHARDS)  # they start while this process decides
        count = unit_count(layout)
        decide_stage(file, layout, prepared.measures, prepared.rules, references, prepared.orders, spent, count, events)
    events.tell("stage_counts", stage=FILTERED, **_counts(layout, FILTERED))
    collect()  # the columns of the whole corpus: packing needs none of them
    if only == FILTERED:
        return
    if prepared.captions:
        with events.stage(CAPTIONED), make_model_engine(file, one_node=True) as models:
            caption_stage(prepared.captions, prepared.checks, prepared.rules, layout, count, models, events)
        events.tell("stage_counts", stage=CAPTIONED, **_counts(layout, CAPTIONED))
    else:
        unneeded(layout, CAPTIONED)
    if only == CAPTIONED:
        return
    if prepared.checks:
        before = CAPTIONED if prepared.captions else FILTERED
        with events.stage(CHECKED), make_model_engine(file) as models:
            check_stage(prepared.checks, layout, before, count, models, events)
        events.tell("stage_counts", stage=CHECKED, **_counts(layout, CHECKED))
    else:
        unneeded(layout, CHECKED)
    if only == CHECKED:
        return
    with events.stage(FINAL):
        final_stage(file, layout, engine, events, prepared.plan, lambda: make_model_engine(file))
    events.tell("stage_counts", stage=FINAL, **_counts(layout, FINAL))


def finish_pack(run: Run) -> int:
    """Bring the shards of a finished run up to date with its takedowns; the number of shards written."""
    prepared = prepare(run.file)
    written: list[str] = []

    def count(event: dict[str, Any]) -> None:
        if event["event"] == "shard_written":
            written.append(event["shard"])

    with Events(run.layout, count) as events, make_engine(run.file) as engine, events.stage(FINAL):
        final_stage(run.file, run.layout, engine, events, prepared.plan, lambda: make_model_engine(run.file))
    refresh_report(run.file, run.layout)  # it shows captions and thumbnails
    return len(written)


def _check_packs(file: RecipeFile, schema: pa.Schema) -> None:
    for place, pack in enumerate(file.recipe.pack):
        if file.layout.store and pack.format in ON_DISKS_ALONE:
            where = file.where("pack", place, "format")
            raise RecipeError(f"{where}: {pack.format} cannot be written into a store: pack it on a disk and copy that")
        packer(pack.format)  # a package that is missing is said now, not when all is measured
        for name in pack.columns or ():
            if name not in schema.names:
                where = file.where("pack", place, "columns")
                raise RecipeError(f"{where}: no measure writes the column {name!r}")


def _counts(layout: Layout, stage: str) -> dict[str, Any]:
    record = stage_record(layout, stage)
    return {name: record[name] for name in ("in", "kept", "rejected", "held", "failed") if name in record}
