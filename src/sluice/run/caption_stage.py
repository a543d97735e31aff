"""02_captioned, conducted: which samples keep their captions, which get new ones, which are not worth any.

New captions stand beside the old ones as items of their own; 03_quality_checked judges all of them alike.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pyarrow as pa

from sluice.caption.config import CaptionerConfig
from sluice.engine import Engine, Task
from sluice.errors import RunError
from sluice.measures.base import Measure
from sluice.run.calibrating import calibrate_run
from sluice.run.captioning import (
    CAPTION_UNIT,
    CaptionCost,
    CaptionJob,
    CaptionPlan,
    caption_folders,
    captioned_for,
    known_folders,
)
from sluice.run.captions_config import CaptionsConfig
from sluice.run.checking import Checks
from sluice.run.corpus_steps import BOILERPLATE, NO_CORPUS, SAME_CAPTION
from sluice.run.decide import KEPT
from sluice.run.embedding import KEPT_COLUMNS, Chosen, embed_units, encoder_facts, entering
from sluice.run.events import Events
from sluice.run.filtering import compile_route
from sluice.run.judging import Judging, judge
from sluice.run.locked import NO_DUPLICATES
from sluice.run.measure_plan import MeasurePlan
from sluice.run.pair_rules import compile_pair_rules, counted_pairs
from sluice.run.quality_rows import ALIGNMENT, RowsOf, write_quality_rows
from sluice.run.recipe import RecipeFile
from sluice.run.recording import record
from sluice.run.rows import stored_grains
from sluice.run.rules.rule import CompiledRule
from sluice.run.stage import decided_by, done, finish, reopen, stage_seconds
from sluice.run.takedown import taken_down
from sluice.run.varying import absolute
from sluice.table.arrays import numbers
from sluice.table.commit import write_table
from sluice.table.compute import pc
from sluice.table.ids import fingerprint
from sluice.table.layout import CAPTIONED, FILTERED, Layout
from sluice.table.read import read_table

_FAILURES: Final = ("id", "captioner", "failure_class", "failure_kind", "failure", "attempts")


@dataclass(frozen=True)
class Captions:
    """The `captions` of a recipe, after every check that needs no data."""

    config: CaptionsConfig
    plan: CaptionPlan
    recaption: Sequence[CompiledRule]
    reject: Sequence[CompiledRule]
    known: Sequence[str]  # who writes them, as far as that is known without loading a model


def prepare_captions(
    file: RecipeFile,
    schema: pa.Schema,
    plan: MeasurePlan,
    measures: Mapping[str, Measure],
    checks: Checks | None,
) -> Captions | None:
    """Check the recipe's `captions` against the columns; None where it has none."""
    config = file.recipe.captions
    if config is None:
        return None
    run = file.layout
    cache, scope = run.state.absolute() / "answers.sqlite", str(run.root.absolute())
    captioners = tuple(_absolute(one, file) for one in config.captioners)
    variations = config.variations and absolute(config.variations, file.base)
    rules = compile_pair_rules(file, measures)
    asked = CaptionPlan(captioners, plan, str(cache), scope, False, config.consensus, variations, rules)
    columns = pa.schema([*schema, *(ALIGNMENT if checks else [])])
    recaption = compile_route(file, "recaption", config.recaption, columns)
    reject = compile_route(file, "reject", config.reject, columns)
    return Captions(config, asked, recaption, reject, known_folders(asked))


def _absolute(config: CaptionerConfig, file: RecipeFile) -> CaptionerConfig:
    """The captioner with its path relative to the recipe made absolute: workers have a folder of their own."""
    path: str | None = getattr(config, "path", None)
    return config if path is None else config.model_copy(update={"path": str((file.base / path).absolute())})


def stage_name(captions: Captions, checks: Checks | None, layout: Layout) -> str:
    """The fingerprint of what the stage follows from."""
    encoding = f"{checks.plan.config.model_dump_json()} {checks.seed}{checks.plan.of_files()}" if checks else ""
    routing = captions.config.model_dump_json(exclude={"captioners", "variations"})
    return fingerprint("captions/2", decided_by(layout, FILTERED), encoding, routing, *captions.known)


def caption_stage(
    captions: Captions,
    checks: Checks | None,
    rules: Sequence[CompiledRule],
    layout: Layout,
    units: int,
    engine: Engine,
    events: Events,
) -> bool:
    """Route, caption what lacks it, decide; whether there was anything to do. `rules`: those of 01_filtered."""
    started = time.perf_counter()
    filtered = decided_by(layout, FILTERED)
    name = stage_name(captions, checks, layout)
    if done(layout, CAPTIONED, name):
        return False
    reopen(layout, CAPTIONED)
    folders = caption_folders(captions.plan, engine)
    taken = _taken_up(captions, rules, layout)
    encoder = encoder_facts(checks.plan, engine) if checks else None
    chosen = fingerprint(filtered, encoder.store if encoder else "", *taken)
    if checks and encoder:
        embed_units(layout, checks.plan, encoder.store, Chosen(FILTERED, chosen, taken), units, engine, events)
    judged_by = (encoder, calibrate_run(layout, encoder, units, checks.seed)) if checks and encoder else None
    routes = fingerprint("route rows/1", chosen, str(checks.seed) if checks else "")
    write_quality_rows(layout, RowsOf(CAPTIONED, FILTERED, taken), judged_by, units, routes)
    before = read_table(layout.verdicts(FILTERED), [*KEPT_COLUMNS, "unit"])
    entered = entering(before, taken)
    held = pc.not_equal(entered.column("verdict"), "kept").to_numpy()
    sent_out = judge(layout, captions.reject, NO_DUPLICATES, NO_CORPUS, CAPTIONED)
    asked = np.ones(entered.num_rows, np.bool_)
    if captions.recaption:
        asked = judge(layout, captions.recaption, NO_DUPLICATES, NO_CORPUS, CAPTIONED).decision.severity > KEPT
    captioned = (asked | held) & (sent_out.decision.severity == KEPT)
    there = ~numbers(pc.is_in(entered.column("id"), pa.array(sorted(taken_down(layout)), pa.string())))
    ids, unit = entered.column("id"), entered.column("unit")
    write_table(
        layout.routes,
        pa.table(
            {
                "id": ids,
                "unit": unit,
                "captioned": pa.array(captioned & there & bool(captions.config.captioners)),
                "goes_on": pa.array((sent_out.decision.severity == KEPT) & there),
                "held": pa.array(held),
            }
        ),
    )
    costs = _caption(captions, layout, fingerprint(name, *folders), units, engine, events)
    if stopped := next((cost.stopped for cost in costs if cost.stopped), None):
        raise RunError(f"02_captioned stops: {stopped}; what was answered is kept: raise the budget and run again")
    said = _said(layout, folders, units)
    failures = said.filter(pc.is_valid(said.column("failure_class")))
    texts = said.filter(pc.is_valid(said.column("text")))
    made = set(texts.column("id").to_pylist())
    silent = _without_caption(layout)
    lost = {
        row["id"]: (row["failure_class"], f"{row['captioner']}: {row['failure']}")
        for row in failures.to_pylist()
        if row["id"] not in made and row["id"] in {*silent, *ids.filter(pa.array(held)).to_pylist()}
    }
    left_out = _left_out(layout, entered, held)
    judging = Judging(layout, captions.reject, NO_DUPLICATES, NO_CORPUS, CAPTIONED)
    recorded = record(judging, entered.num_rows, left_out, lost)
    write_table(layout.failures(CAPTIONED), _all_failures(failures, read_table(layout.failures(CAPTIONED))))
    facts = {
        **recorded.facts,
        "content": fingerprint(recorded.facts["content"], *_texts(said)),
        "taken_up": int(held.sum()),
        "captioned": int(captioned.sum()),
        "captions": len(texts),
        "discarded": len(said) - said.column("discarded").null_count,
        **counted_pairs(layout, units),
        "failures": dict(sorted(Counter(failures.column("failure_class").to_pylist()).items())),
        "spent": _spent(said),
    }
    earlier = {what: took for what, took in stage_seconds(layout, CAPTIONED).items() if what != "decide"}
    finish(layout, CAPTIONED, name, facts, {**earlier, "decide": time.perf_counter() - started})
    return True


_RENAMED: Final = ("id", "captioner", "class", "kind", "message", "attempts")


def _all_failures(of_captioners: pa.Table, of_measures: pa.Table) -> pa.Table:
    """Every failure of the stage: of captioners, and of the encoder, whose failures have no captioner."""
    mine = of_captioners.select(_FAILURES).rename_columns([*_RENAMED])
    columns = [
        of_measures.column(name) if name in ("id", "class", "message") else pa.nulls(len(of_measures), kind)
        for name, kind in zip(mine.schema.names, mine.schema.types, strict=True)
    ]
    return pa.concat_tables([mine, pa.table(columns, schema=mine.schema)])


def asking_again(captions: Captions) -> Captions:
    """The same, asking anew what brought an answer that was none."""
    return replace(captions, plan=replace(captions.plan, again=True))


def _caption(
    captions: Captions, layout: Layout, name: str, units: int, engine: Engine, events: Events
) -> list[CaptionCost]:
    tasks = [Task(unit, CaptionJob(unit, name)) for unit in range(units) if captioned_for(layout, unit) != name]
    if tasks:
        events.tell("captioning", missing=len(tasks))
    costs: list[CaptionCost] = []
    for outcome in engine.run(CAPTION_UNIT, (layout, captions.plan), tasks):
        cost: CaptionCost = outcome.result
        costs.append(cost)
        events.tell("unit_measured", unit=cost.unit, samples=cost.samples, failed=cost.failures, deaths=outcome.deaths)
        if cost.stopped:
            break  # the others would find the budget used up, too
    return costs


def _said(layout: Layout, folders: Sequence[str], units: int) -> pa.Table:
    """All that was said, and where it failed, by unit and captioner."""
    paths = [layout.captions(folder, unit) for unit in range(units) for folder in folders]
    columns = [*_FAILURES, "item", "text", "discarded", "tokens_in", "tokens_out", "cost"]
    return pa.concat_tables([read_table(path, columns) for path in paths])


def _texts(said: pa.Table) -> list[str]:
    """What was said, for a fingerprint."""
    return [f"{row['id']} {row['item']} {row['text']}" for row in said.select(["id", "item", "text"]).to_pylist()]


def _spent(said: pa.Table) -> dict[str, Any]:
    """What the answers took, whoever was asked when: requests, tokens, money."""
    cost: float | None = pc.sum(said.column("cost")).as_py()
    return {
        "requests": pc.sum(said.column("attempts")).as_py() or 0,
        "tokens_in": pc.sum(said.column("tokens_in")).as_py() or 0,
        "tokens_out": pc.sum(said.column("tokens_out")).as_py() or 0,
        "cost": None if cost is None else round(cost, 6),
    }


def _without_caption(layout: Layout) -> set[str]:
    """The samples that entered without any text."""
    rows = read_table(layout.rows_of(CAPTIONED), ["id", "text_item"])
    return set(rows.filter(pc.is_null(rows.column("text_item"))).column("id").to_pylist())


def _left_out(layout: Layout, entered: pa.Table, held: Any) -> pa.ChunkedArray:
    """By sample that entered, its captions that are out: those left out before, all of one that was held for them."""
    rows = read_table(layout.rows_of(CAPTIONED), ["id", "text_item", "alternative"])
    captions: dict[str, list[int]] = {}
    wanted = pa.array(entered.column("id").filter(pa.array(held)).to_pylist(), pa.string())
    for row in rows.filter(pc.is_in(rows.column("id"), wanted)).to_pylist():
        if row["alternative"]:
            captions.setdefault(row["id"], []).append(row["text_item"])
    pairs = zip(entered.column("id").to_pylist(), entered.column("captions_left_out").to_pylist(), strict=True)
    out = [sorted({*out, *captions.get(sample, ())}) for sample, out in pairs]
    return pa.chunked_array([pa.array(out, pa.list_(pa.int16()))])


def _taken_up(captions: Captions, rules: Sequence[CompiledRule], layout: Layout) -> tuple[str, ...]:
    """The rules of 01_filtered that speak of texts alone: what they hold is taken up, and captioned."""
    if not captions.config.take_up or not captions.config.captioners:
        return ()
    grains = stored_grains(layout.rows)
    about_texts = [rule.rule.name for rule in rules if all(grains[name] == "text" for name in rule.columns)]
    return (*about_texts, SAME_CAPTION, BOILERPLATE)
