"""Judging: every sample decided from the stored columns alone. A run and `what-if` both come through here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pyarrow as pa

from sluice.run import corpus_steps
from sluice.run.corpus_steps import CorpusFacts, Duplicates
from sluice.run.decide import HELD, KEPT, REJECTED, Decision, RowFacts, Speaker, decide, speaker_of
from sluice.run.recipe import DuplicatesConfig, FilterConfig
from sluice.run.rows import stored_grains
from sluice.run.rules.rule import CompiledRule, Rule, evaluate
from sluice.run.takedown import kept_until
from sluice.table.compute import pc
from sluice.table.layout import Layout
from sluice.table.read import read_table

_NULLS: Final = {"held": HELD, "rejected": REJECTED, "pass": KEPT}
_EFFECTS: Final = {"held": HELD, "rejected": REJECTED}


def rules_of(config: FilterConfig) -> list[Rule]:
    """The rules of a recipe, rejecting ones first, in the order written."""
    return [Rule(name, rule.when, "rejected", rule.null) for name, rule in config.reject.items()] + [
        Rule(name, rule.when, "held", rule.null) for name, rule in config.hold.items()
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
