"""01_filtered: measure what is missing, then decide."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from sluice.corpus.opt_out import OptOut
from sluice.engine import Engine, Task
from sluice.measures.base import Measure
from sluice.run import corpus_steps
from sluice.run.alike_step import write_clusters
from sluice.run.corpus_measuring import Orders, Reference, measure_corpus
from sluice.run.corpus_steps import CorpusFacts
from sluice.run.events import Events, compared
from sluice.run.filter_config import FilterConfig
from sluice.run.judging import Judging, filter_rules, rules_of
from sluice.run.measure_plan import MeasurePlan
from sluice.run.measuring import MeasureJob
from sluice.run.opt_outs import check_opt_outs, load_opt_outs, measure_opt_outs
from sluice.run.recipe import RecipeFile
from sluice.run.recording import record
from sluice.run.rights_gate import NAMES
from sluice.run.rows import write_rows
from sluice.run.rule_config import RuleConfig, RulesConfig
from sluice.run.rules.rule import CompiledRule, Rule, compile_rule
from sluice.run.stage import done, finish, reopen, stage_record, stage_seconds
from sluice.run.units import run_units
from sluice.table.commit import write_table
from sluice.table.compute import pc
from sluice.table.ids import fingerprint
from sluice.table.layout import FILTERED, RAW, Layout
from sluice.table.memory import give_back

MEASURE_UNIT: Final = "sluice.run.measuring:measure_unit"


def compile_filter(file: RecipeFile, schema: pa.Schema) -> list[CompiledRule]:
    """The recipe's rules, each checked against the columns before anything runs."""
    check_opt_outs(file, schema)
    return _compiled(file, "filter", filter_rules(file.recipe.filter), schema)


def compile_rules(file: RecipeFile, section: str, config: RulesConfig, schema: pa.Schema) -> list[CompiledRule]:
    """The rules of a section of the recipe, each checked against the columns before anything runs."""
    return _compiled(file, section, rules_of(config), schema)


def compile_route(
    file: RecipeFile, part: str, rules: Mapping[str, RuleConfig], schema: pa.Schema
) -> list[CompiledRule]:
    """The rules of `captions` that send samples one way, each checked against the columns."""
    return [
        compile_rule(Rule(name, rule.when, "rejected", rule.null), schema, file.where("captions", part, name))
        for name, rule in rules.items()
    ]


def _compiled(file: RecipeFile, section: str, rules: Sequence[Rule], schema: pa.Schema) -> list[CompiledRule]:
    return [compile_rule(rule, schema, _where(file, section, rule)) for rule in rules]


def _where(file: RecipeFile, section: str, rule: Rule) -> str:
    if rule.name in NAMES and section == "filter" and file.recipe.filter.rights:
        return file.where("filter", "rights", "allow")
    return file.where(section, "hold" if rule.effect == "held" else "reject", rule.name)


def measure_units(
    layout: Layout, plan: MeasurePlan, identities: Sequence[str], units: Iterable[int], engine: Engine, events: Events
) -> dict[str, float]:
    """Measure what is missing; return the seconds spent, by measure, over all workers.

    `units` may be an iterator that is still making them: each is measured while the next are made.
    """
    tasks = _tasks(layout, identities, units, events)
    shared = (layout, plan)
    return run_units(engine, MEASURE_UNIT, shared, list(tasks) if isinstance(units, Sequence) else tasks, events)


def _tasks(layout: Layout, identities: Sequence[str], units: Iterable[int], events: Events) -> Iterator[Task]:
    """A task for each unit that lacks a measurement; tells when the first is found, and how many there were."""
    seen = lacking = 0
    for unit in units:
        seen += 1
        missing = tuple(name for name in identities if not layout.measured(name, unit).is_file())
        if missing:
            if not lacking:
                events.tell("measuring")
            lacking += 1
            yield Task(unit, MeasureJob(unit, missing))
    if lacking:
        events.tell("units_known", units=seen, missing=lacking)


def filter_fingerprint(
    rows: str, config: FilterConfig, references: Sequence[Reference], opt_outs: Sequence[OptOut], orders: Orders
) -> str:
    """What 01_filtered was decided from."""
    lists = [one.fingerprint for one in opt_outs]
    sets = [fingerprint(ref.name, ref.hashes, *ref.keys) for ref in references]
    return fingerprint("filter/1", rows, config.model_dump_json(), orders.near.sql, orders.text.sql, *sets, *lists)


def decide_stage(
    file: RecipeFile,
    layout: Layout,
    measures: Mapping[str, Measure],
    rules: Sequence[CompiledRule],
    references: list[Reference],
    orders: Orders,
    spent: Mapping[str, float],
    units: int,
    events: Events | None = None,
) -> bool:
    """Bring rows and verdicts up to date with the measurements and the rules; whether there was anything to do."""
    started = time.perf_counter()
    config = file.recipe.filter
    raw = stage_record(layout, RAW)
    rows_name = write_rows(layout, measures, units, raw["fingerprint"])
    opt_outs = load_opt_outs(file)
    give_back()  # after each step what it took: rows, hashes and verdicts of the whole corpus never lie side by side
    name = filter_fingerprint(rows_name, config, references, opt_outs, orders)
    if done(layout, FILTERED, name):
        return False
    reopen(layout, FILTERED)
    measure_opt_outs(layout, opt_outs, rows_name)
    corpus = measure_corpus(layout, config.duplicates, orders, references, rows_name, compared(events))
    give_back()
    recorded = record(Judging(layout, rules, config.duplicates, corpus), raw["kept"])
    clusters = corpus_steps.cluster_table(corpus, recorded.duplicates, recorded.keepers)
    write_table(layout.corpus("clusters"), clusters)
    alike = write_clusters(layout, FILTERED, recorded.alike)
    # What measuring took, over all runs of the folder: this one may have had nothing to measure.
    before = {what: took for what, took in stage_seconds(layout, FILTERED).items() if what != "decide"}
    seconds = {**Counter(before) + Counter(spent), "decide": time.perf_counter() - started}
    finish(layout, FILTERED, name, {**recorded.facts, **_of_duplicates(corpus, clusters), **alike}, seconds)
    return True


def _of_duplicates(corpus: CorpusFacts, clusters: pa.Table) -> dict[str, Any]:
    """What `stage.json` says of duplicates and reference sets."""
    return {
        "clusters": {
            "count": clusters.num_rows,
            "largest": pc.max(clusters.column("size")).as_py() or 0,
            "diameter": pc.max(clusters.column("diameter")).as_py() or 0,
        },
        "references": dict(sorted(Counter(corpus.contaminated.column("reference").to_pylist()).items())),
        "opt_outs": dict(sorted(Counter(corpus.opted_out.column("list").to_pylist()).items())),
    }
