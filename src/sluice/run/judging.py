"""Judging: every sample decided from the stored columns alone. A run and `what-if` both come through here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.run import corpus_steps
from sluice.run.alike_step import AlikeFound, find_alike
from sluice.run.corpus_steps import CorpusFacts, Duplicates, DuplicatesAsked
from sluice.run.decide import FAILED, HELD, KEPT, REJECTED, Decision, RowFacts, Speaker, decide, speaker_of
from sluice.run.rights_gate import rights_rules
from sluice.run.rows import stored_grains
from sluice.run.rules.rule import CompiledRule, Rule, evaluate
from sluice.run.takedown import kept_until
from sluice.table.arrays import numbers, three_valued, valid
from sluice.table.compute import pc
from sluice.table.footer import counts_up, one_value, parts
from sluice.table.layout import FILTERED, Layout
from sluice.table.read import read_table

if TYPE_CHECKING:
    from sluice.run.recipe import FilterConfig, RulesConfig

_NULLS: Final = {"held": HELD, "rejected": REJECTED, "pass": KEPT}
_EFFECTS: Final = {"held": HELD, "rejected": REJECTED}


MoreSpeakers = Callable[[Path, RowFacts, Sequence[Speaker]], list[Speaker]]
"""Who speaks on rows (their file, their facts) beside the rules and the corpus, having heard these."""


def filter_rules(config: FilterConfig) -> list[Rule]:
    """The rules of 01_filtered: those of the rights gate, then those that are written."""
    return rights_rules(config.rights) + rules_of(config)


def rules_of(config: RulesConfig) -> list[Rule]:
    """The rules of a stage: the rejecting ones, then the holding ones, in the order written."""
    return [
        *(Rule(name, rule.when, "rejected", rule.null) for name, rule in config.reject.items()),
        *(Rule(name, rule.when, "held", rule.null) for name, rule in config.hold.items()),
    ]


@dataclass(frozen=True)
class Judgement:
    """Everything that deciding came to, before it is written down."""

    facts: RowFacts
    rules: Sequence[CompiledRule]
    speakers: Sequence[Speaker]  # one a rule, in their order, then those of the corpus
    decision: Decision
    duplicates: Duplicates
    corpus: CorpusFacts
    sought_duplicates: bool
    alike: AlikeFound | None = None

    @property
    def kept(self) -> Any:
        """Which samples stay, as a boolean array."""
        return (self.decision.severity == KEPT) & ~self.duplicates.by_bytes & ~self.duplicates.by_hash


def judge(
    layout: Layout,
    rules: Sequence[CompiledRule],
    config: DuplicatesAsked,
    corpus: CorpusFacts,
    stage: str = FILTERED,
    more: MoreSpeakers | None = None,
) -> Judgement:
    """Decide on every sample that entered `stage` from the stored columns alone."""
    path = layout.rows_of(stage)
    facts = row_facts(path)
    kinds = stored_grains(path)
    results = evaluate(rules, str(path))
    speakers: list[Speaker] = []
    any_failed = bool(facts.failed.any())
    for rule, column in zip(rules, results.columns, strict=True):
        said = three_valued(column)
        if any_failed:
            said[facts.failed & (said < 0)] = 0  # the failure says why already
        about_text = any(kinds[name] == "text" for name in rule.columns)
        effect, null = _EFFECTS[rule.rule.effect], _NULLS[rule.rule.null]
        speakers.append(speaker_of(rule.rule.name, said, effect, null, about_text=about_text))
    speakers += corpus_steps.caption_speakers(corpus, config, len(facts.sample))
    contamination = corpus_steps.contamination_speaker(corpus, facts)
    opted_out = corpus_steps.opt_out_speaker(corpus, facts)
    speakers += [speaker for speaker in (contamination, opted_out) if speaker]
    if more is not None:
        speakers += more(path, facts, speakers)
    facts, speakers = _without_gone(layout, path, facts, speakers)
    decision = decide(facts, speakers)
    duplicates = corpus_steps.find_duplicates(corpus, config, decision)
    alike = None
    if corpus.alike is not None and config.alike is not None:
        gone = duplicates.by_bytes | duplicates.by_hash
        alike = find_alike(corpus.alike, config.alike.cluster, facts, decision, gone)
        speakers.append(alike.speaker)
        decision = decide(facts, speakers)
    return Judgement(facts, rules, speakers, decision, duplicates, corpus, stage == FILTERED, alike)


def _without_gone(
    layout: Layout, rows: Path, facts: RowFacts, speakers: list[Speaker]
) -> tuple[RowFacts, list[Speaker]]:
    """Nothing is said of what was kept until it was taken down: its content is gone, its verdict stays."""
    if not layout.takedowns.is_file():
        return facts, speakers
    kept = kept_until(layout)
    gone = numbers(pc.is_in(read_table(rows, columns=["id"]).column("id"), kept))
    silent = [replace(speaker, severity=np.where(gone, np.int8(KEPT), speaker.severity)) for speaker in speakers]
    return replace(facts, failed=facts.failed & ~gone), silent


def row_facts(path: Path) -> RowFacts:
    """What deciding needs of the rows beside the rules' columns; what the file's footer tells is not read."""
    with pq.ParquetFile(path, pre_buffer=True) as file:

        def read(name: str) -> pa.ChunkedArray:
            return file.read([name]).column(0)

        rows = file.metadata.num_rows
        failed = np.zeros(rows, np.bool_)
        for name in ("image_error", "text_error", "sample_error"):
            if any(part.nulls != part.rows for part in parts(file, name)):
                failed |= valid(read(name))
        ordinal = np.arange(rows) if counts_up(parts(file, "ordinal")) else numbers(read("ordinal"))
        known = one_value(parts(file, "alternative"))
        alternative = numbers(read("alternative")) if known is None else np.full(rows, known, np.bool_)
    return RowFacts(ordinal, alternative, failed)


def yields(judgement: Judgement) -> dict[str, dict[str, int]]:
    """By rule: the samples it took part in excluding, and those that it alone excluded."""
    severity, spoke = judgement.decision.severity, judgement.decision.spoke
    excluded = (severity > KEPT) & (severity < FAILED)
    together = np.zeros(len(severity), np.uint16)
    for number in range(len(judgement.speakers)):
        together += spoke[:, number]
    alone = excluded & (together == 1)
    result = {
        speaker.name: {
            "samples": int(np.count_nonzero(spoke[:, number] & excluded)),
            "alone": int(np.count_nonzero(spoke[:, number] & alone)),
        }
        for number, speaker in enumerate(judgement.speakers)
    }
    for name, rejected in (
        (corpus_steps.SAME_BYTES, judgement.duplicates.by_bytes),
        (corpus_steps.NEAR, judgement.duplicates.by_hash),
    ):
        if not judgement.sought_duplicates:
            break
        count = int(np.count_nonzero(rejected))
        result[name] = {"samples": count, "alone": count}
    return result
