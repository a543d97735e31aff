"""01_filtered: measure what is missing, then decide."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pyarrow as pa

from sluice.engine import Engine, Task
from sluice.measures.base import Measure
from sluice.run import corpus_steps
from sluice.run.corpus_steps import CorpusFacts, Duplicates, Reference
from sluice.run.decide import HELD, KEPT, REJECTED, Decision, RowFacts, Speaker, decide, speaker_of
from sluice.run.events import Events
from sluice.run.measure_plan import MeasurePlan
from sluice.run.measuring import MeasureJob, UnitCost
from sluice.run.order import Order
from sluice.run.recipe import DuplicatesConfig, FilterConfig, RecipeFile
from sluice.run.rows import IDENTITY, rows_schema, stored_grains, write_rows
from sluice.run.rules import CompiledRule, Rule, compile_rule, evaluate, observed
from sluice.run.stage import done, finish, law_of_counts, reopen, stage_record
from sluice.run.takedown import kept_until
from sluice.run.verdicts import failure_table, verdict_table
from sluice.table.commit import write_table
from sluice.table.compute import pc
from sluice.table.ids import fingerprint
from sluice.table.layout import FILTERED, RAW, Layout
from sluice.table.read import read_table

MEASURE_UNIT: Final = "sluice.run.measuring:measure_unit"
_NULLS = {"held": HELD, "rejected": REJECTED, "pass": KEPT}
_EFFECTS = {"held": HELD, "rejected": REJECTED}


def compile_filter(file: RecipeFile, schema: pa.Schema) -> list[CompiledRule]:
    """The recipe's rules, each checked against the columns before anything runs."""
    config = file.recipe.filter
    return [
        compile_rule(rule, schema, file.where("filter", "hold" if rule.effect == "held" else "reject", rule.name))
        for rule in rules_of(config)
    ]


def rules_of(config: FilterConfig) -> list[Rule]:
    """The rules of a recipe, rejecting ones first, in the order written."""
    return [Rule(name, rule.when, "rejected", rule.null) for name, rule in config.reject.items()] + [
        Rule(name, rule.when, "held", rule.null) for name, rule in config.hold.items()
    ]


def measure_units(
    layout: Layout, plan: MeasurePlan, identities: Sequence[str], units: int, engine: Engine, events: Events
) -> dict[str, float]:
    """Measure what is missing; return the seconds spent, by measure, over all workers."""
    seconds: Counter[str] = Counter()
    jobs: list[Task] = []
    for unit in range(units):
        missing = tuple(name for name in identities if not layout.measured(name, unit).is_file())
        if missing:
            jobs.append(Task(unit, MeasureJob(unit, missing)))
    if not jobs:
        return {}
    events.tell("measuring", units=units, missing=len(jobs))
    for outcome in engine.run(MEASURE_UNIT, (layout, plan), jobs):
        cost: UnitCost = outcome.result
        seconds.update(cost.seconds)
        events.tell(
            "unit_measured",
            unit=cost.unit,
            samples=cost.samples,
            failed=cost.failed,
            bytes=cost.bytes_read,
            deaths=outcome.deaths,
        )
    return dict(seconds)


@dataclass(frozen=True)
class Judgement:
    """Everything that deciding came to, before it is written down."""

    facts: RowFacts
    rules: Sequence[CompiledRule]
    speakers: Sequence[Speaker]  # one a rule, in their order, then those of the corpus
    decision: Decision
    duplicates: Duplicates
    corpus: CorpusFacts

    @property
    def kept(self) -> Any:
        """Which samples stay, as a boolean array."""
        return (self.decision.severity == KEPT) & ~self.duplicates.by_bytes & ~self.duplicates.by_hash


def judge(
    layout: Layout,
    rules: Sequence[CompiledRule],
    config: DuplicatesConfig,
    corpus: CorpusFacts,
) -> Judgement:
    """Decide on every sample from the stored columns alone."""
    facts = row_facts(layout)
    kinds = stored_grains(layout)
    results = evaluate(rules, str(layout.rows))
    speakers: list[Speaker] = []
    for rule, column in zip(rules, results.columns, strict=True):
        three_valued = pc.fill_null(column.cast(pa.int8()), -1).to_numpy()
        three_valued = np.where(facts.failed & (three_valued < 0), 0, three_valued)  # the failure says why already
        about_text = any(kinds[name] == "text" for name in rule.columns)
        effect, null = _EFFECTS[rule.rule.effect], _NULLS[rule.rule.null]
        speakers.append(speaker_of(rule.rule.name, three_valued, effect, null, about_text=about_text))
    speakers += corpus_steps.caption_speakers(corpus, config, len(facts.sample))
    contamination = corpus_steps.contamination_speaker(corpus, facts)
    speakers += [contamination] if contamination else []
    facts, speakers = _without_gone(layout, facts, speakers)
    decision = decide(facts, speakers)
    return Judgement(facts, rules, speakers, decision, corpus_steps.find_duplicates(corpus, config, decision), corpus)


def _without_gone(layout: Layout, facts: RowFacts, speakers: list[Speaker]) -> tuple[RowFacts, list[Speaker]]:
    """Nothing is said of what was kept until it was taken down: its content is gone, its verdict stays."""
    kept = kept_until(layout)
    if not len(kept):
        return facts, speakers
    gone = pc.is_in(read_table(layout.rows, columns=["id"]).column("id"), kept).to_numpy()
    silent = [replace(speaker, severity=np.where(gone, np.int8(KEPT), speaker.severity)) for speaker in speakers]
    return replace(facts, failed=facts.failed & ~gone), silent


def row_facts(layout: Layout) -> RowFacts:
    """What deciding needs of the rows beside the rules' columns."""
    table = read_table(layout.rows, columns=["ordinal", "alternative", "image_error", "text_error", "sample_error"])
    failed = np.zeros(table.num_rows, np.bool_)
    for name in ("image_error", "text_error", "sample_error"):
        column = table.column(name)
        if column.null_count < table.num_rows:
            failed |= pc.is_valid(column).to_numpy()
    alternative = table.column("alternative").to_numpy()
    return RowFacts(table.column("ordinal").to_numpy(), alternative, failed)


def filter_fingerprint(rows: str, config: FilterConfig, references: Sequence[Reference], order: Order) -> str:
    """What 01_filtered was decided from."""
    sets = [fingerprint(ref.name, ref.hashes.tobytes().hex(), *ref.keys) for ref in references]
    return fingerprint("filter/1", rows, config.model_dump_json(), order.sql, *sets)


def decide_stage(
    file: RecipeFile,
    layout: Layout,
    measures: Mapping[str, Measure],
    rules: Sequence[CompiledRule],
    references: list[Reference],
    order: Order,
    spent: Mapping[str, float],
    units: int,
) -> bool:
    """Bring rows and verdicts up to date with the measurements and the rules; whether there was anything to do."""
    started = time.perf_counter()
    config = file.recipe.filter
    raw = stage_record(layout, RAW)
    rows_name = write_rows(layout, measures, units, raw["fingerprint"])
    name = filter_fingerprint(rows_name, config, references, order)
    if done(layout, FILTERED, name):
        return False
    reopen(layout, FILTERED)
    corpus = corpus_steps.measure_corpus(layout, config.duplicates, order, references, rows_name)
    judgement = judge(layout, rules, config.duplicates, corpus)
    wanted = {column for rule in rules for column in rule.columns} | set(IDENTITY.names)
    rows = read_table(layout.rows, columns=[name for name in rows_schema(measures.values()).names if name in wanted])
    verdicts = verdict_table(
        rows,
        judgement.facts,
        judgement.decision,
        judgement.speakers,
        judgement.duplicates,
        corpus,
        lambda number, seen: observed(rules[number], seen),
    )
    write_table(layout.verdicts(FILTERED), verdicts)
    failures = failure_table(rows)
    write_table(layout.failures(FILTERED), failures)
    clusters = corpus_steps.cluster_table(corpus, judgement.duplicates, verdicts.column("id").combine_chunks())
    write_table(layout.corpus("clusters"), clusters)
    counts = law_of_counts(verdicts, raw["kept"], FILTERED)
    seconds = {**spent, "decide": time.perf_counter() - started}
    finish(layout, FILTERED, name, {**counts, **summary(judgement, failures, clusters)}, seconds)
    return True


def summary(judgement: Judgement, failures: pa.Table, clusters: pa.Table) -> dict[str, Any]:
    """What `stage.json` says beside the counts: reasons, failures by class, duplicates, captions left out."""
    by_class = Counter(failures.column("class").to_pylist())
    return {
        "rules": yields(judgement),
        "failures": dict(sorted(by_class.items())),
        "captions_left_out": int(judgement.decision.left_out.sum()),
        "clusters": {
            "count": clusters.num_rows,
            "largest": pc.max(clusters.column("size")).as_py() or 0,
            "diameter": pc.max(clusters.column("diameter")).as_py() or 0,
        },
        "references": dict(sorted(Counter(judgement.corpus.contaminated.column("reference").to_pylist()).items())),
    }


def yields(judgement: Judgement) -> dict[str, dict[str, int]]:
    """By rule: the samples it took part in excluding, and those that it alone excluded."""
    spoke = judgement.decision.spoke
    excluded = (judgement.decision.severity > KEPT) & (judgement.decision.severity < 3)
    together = spoke.sum(axis=1)
    result = {
        speaker.name: {
            "samples": int((spoke[:, number] & excluded).sum()),
            "alone": int((spoke[:, number] & excluded & (together == 1)).sum()),
        }
        for number, speaker in enumerate(judgement.speakers)
    }
    for name, rejected in (
        (corpus_steps.SAME_BYTES, judgement.duplicates.by_bytes),
        (corpus_steps.NEAR, judgement.duplicates.by_hash),
    ):
        count = int(rejected.sum())
        result[name] = {"samples": count, "alone": count}
    return result
