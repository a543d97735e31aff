"""Judging: every sample decided from the stored columns alone. A run and `what-if` both come through here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from sluice.run import corpus_steps
from sluice.run.alike_step import AlikeFound, find_alike
from sluice.run.corpus_steps import NEAR, SAME_BYTES, CorpusFacts, Duplicates, DuplicatesAsked
from sluice.run.decide import (
    FAILED,
    HELD,
    KEPT,
    REJECTED,
    VERDICT_NAMES,
    Decision,
    RowFacts,
    Speaker,
    decide,
    speaker_of,
)
from sluice.run.rights_gate import rights_rules
from sluice.run.row_parts import EVERY_ROW, PART_ROWS, RowPart, row_parts
from sluice.run.rows import stored_grains
from sluice.run.rules.rule import CompiledRule, Rule, evaluate
from sluice.run.takedown import kept_until
from sluice.table.arrays import numbers, span, three_valued, valid
from sluice.table.compute import pc
from sluice.table.footer import counts_up, one_value
from sluice.table.layout import FILTERED, Layout

if TYPE_CHECKING:
    from sluice.measures.base import Grain
    from sluice.run.filter_config import FilterConfig
    from sluice.run.rule_config import RulesConfig

_NULLS: Final = {"held": HELD, "rejected": REJECTED, "pass": KEPT}
_EFFECTS: Final = {"held": HELD, "rejected": REJECTED}


MoreSpeakers = Callable[[RowPart, RowFacts, Sequence[Speaker]], list[Speaker]]
"""Who speaks on rows (their part of the table, their facts) beside the rules and the corpus, having heard these."""


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

    @property
    def kept(self) -> Any:
        """Which samples stay, as a boolean array."""
        return (self.decision.severity == KEPT) & ~self.duplicates.lost


@dataclass(frozen=True)
class JudgedPart:
    """What was decided on some of the samples; duplicates are not found yet: those must see all."""

    part: RowPart
    facts: RowFacts  # samples counted from the first of the part
    speakers: Sequence[Speaker]
    decision: Decision


@dataclass(frozen=True)
class Judging:
    """How every sample that entered `stage` is decided from the stored columns alone, part by part."""

    layout: Layout
    rules: Sequence[CompiledRule]
    config: DuplicatesAsked
    corpus: CorpusFacts
    stage: str = FILTERED
    more: MoreSpeakers | None = None
    part_rows: int = PART_ROWS
    alike: AlikeFound | None = None  # who goes of what is alike, once that is known

    @property
    def rows(self) -> Path:
        """The table that is judged."""
        return self.layout.rows_of(self.stage)

    @cached_property
    def _split(self) -> list[RowPart]:
        return row_parts(self.rows, self.part_rows)

    def parts(self) -> Iterator[JudgedPart]:
        """Every part, judged; a table of one part is judged once, however often this is asked."""
        if len(self._split) == 1:
            yield self._only
        else:
            yield from map(self._judged, self._split)

    @cached_property
    def _kinds(self) -> dict[str, Grain]:
        return stored_grains(self.rows)

    @cached_property
    def _only(self) -> JudgedPart:
        return self._judged(self._split[0])

    def _judged(self, part: RowPart) -> JudgedPart:
        facts = row_facts(part)
        kinds = self._kinds
        names = list(dict.fromkeys(column for rule in self.rules for column in rule.columns))
        results = evaluate(self.rules, str(part.path) if part.whole else part.read(names))
        speakers: list[Speaker] = []
        any_failed = bool(facts.failed.any())
        for rule, column in zip(self.rules, results.columns, strict=True):
            said = three_valued(column)
            if any_failed:
                said[facts.failed & (said < 0)] = 0  # the failure says why already
            about_text = any(kinds[name] == "text" for name in rule.columns)
            effect, null = _EFFECTS[rule.rule.effect], _NULLS[rule.rule.null]
            speakers.append(speaker_of(rule.rule.name, said, effect, null, about_text=about_text))
        speakers += corpus_steps.caption_speakers(self.corpus, self.config, part.first_row, part.rows)
        contamination = corpus_steps.contamination_speaker(self.corpus, facts, part.first_sample)
        opted_out = corpus_steps.opt_out_speaker(self.corpus, facts, part.first_sample)
        speakers += [speaker for speaker in (contamination, opted_out) if speaker]
        if self.more is not None:
            speakers += self.more(part, facts, speakers)
        facts, speakers = _without_gone(self.layout, part, facts, speakers)
        if self.alike is not None:
            speakers = [*speakers, self.alike.speaker(part.first_row, part.rows)]
        return JudgedPart(part, facts, speakers, decide(facts, speakers))


def judge(
    layout: Layout,
    rules: Sequence[CompiledRule],
    config: DuplicatesAsked,
    corpus: CorpusFacts,
    stage: str = FILTERED,
    more: MoreSpeakers | None = None,
) -> Judgement:
    """The same of all samples at once, duplicates found: some twenty bytes a row are held."""
    known = told(Judging(layout, rules, config, corpus, stage, more, part_rows=EVERY_ROW))
    (judged,) = known.judging.parts()
    sought = stage == FILTERED
    return Judgement(judged.facts, rules, judged.speakers, judged.decision, known.duplicates, corpus, sought)


@dataclass(frozen=True)
class Told:
    """What must be known of all samples before the verdict on one can be written."""

    judging: Judging  # that also knows who goes of what is alike
    duplicates: Duplicates
    counted: Tally | None  # on the way; None where the judging has learned something since

    @cached_property
    def tally(self) -> Tally:
        """What comes of it in numbers."""
        return self.counted or _tally_of(self.judging)


def told(judging: Judging) -> Told:
    """Judge all parts for who is kept; find the duplicates among them, then who goes of what is alike."""
    tally = Tally()
    corpus, asked = judging.corpus, judging.config.alike
    members = corpus_steps.duplicate_members(corpus)
    alive = np.zeros(len(members), np.bool_)
    rows = corpus.alike.row if corpus.alike is not None else np.empty(0, np.int64)
    speaks, sample = np.zeros(len(rows), np.bool_), np.zeros(len(rows), np.int64)
    for judged in judging.parts():
        facts, decision, part = judged.facts, judged.decision, judged.part
        tally.add(decision, judged.speakers)
        kept = decision.severity == KEPT
        here = span(members, part.first_sample, facts.samples)
        alive[here] = kept[members[here] - part.first_sample]
        here = span(rows, part.first_row, part.rows)
        own = rows[here] - part.first_row
        sample[here] = facts.sample[own] + part.first_sample
        about_text = corpus.alike is not None and corpus.alike.about_text
        speaks[here] = kept[facts.sample[own]] & ~(decision.left_out[own] & about_text)
    duplicates = corpus_steps.find_duplicates(corpus, judging.config, members, alive, tally.samples)
    if corpus.alike is None or asked is None:
        return Told(judging, duplicates, tally)
    found = find_alike(corpus.alike, asked.cluster, speaks & ~duplicates.lost[sample])
    return Told(replace(judging, alike=found), duplicates, None)


def _tally_of(judging: Judging) -> Tally:
    tally = Tally()
    for judged in judging.parts():
        tally.add(judged.decision, judged.speakers)
    return tally


def _without_gone(
    layout: Layout, part: RowPart, facts: RowFacts, speakers: list[Speaker]
) -> tuple[RowFacts, list[Speaker]]:
    """Nothing is said of what was kept until it was taken down: its content is gone, its verdict stays."""
    if not layout.takedowns.is_file():
        return facts, speakers
    kept = kept_until(layout)
    gone = numbers(pc.is_in(part.read(["id"]).column("id"), kept))
    silent = [replace(speaker, severity=np.where(gone, np.int8(KEPT), speaker.severity)) for speaker in speakers]
    return replace(facts, failed=facts.failed & ~gone), silent


def row_facts(part: RowPart) -> RowFacts:
    """What deciding needs of the rows beside the rules' columns; what the file's footer tells is not read."""
    with part.open() as file:

        def read(name: str) -> pa.ChunkedArray:
            return file.read_row_groups(list(part.groups), [name]).column(0)

        failed = np.zeros(part.rows, np.bool_)
        for name in ("image_error", "text_error", "sample_error"):
            if any(of.nulls != of.rows for of in part.footer(name)):
                failed |= valid(read(name))
        if counts_up(part.footer("ordinal"), part.first_sample):
            ordinal = np.arange(part.rows)
        else:
            ordinal = numbers(read("ordinal")) - part.first_sample
        known = one_value(part.footer("alternative"))
        alternative = numbers(read("alternative")) if known is None else np.full(part.rows, known, np.bool_)
    return RowFacts(ordinal, alternative, failed)


def yields(judgement: Judgement) -> dict[str, dict[str, int]]:
    """By rule: the samples it took part in excluding, and those that it alone excluded."""
    tally = Tally()
    tally.add(judgement.decision, judgement.speakers)
    return tally.yields(judgement.duplicates if judgement.sought_duplicates else None)


class Tally:
    """What comes of a judgement in numbers, added up part by part."""

    def __init__(self) -> None:
        self.samples = 0
        self.left_out = 0  # captions
        self._verdicts = np.zeros(len(VERDICT_NAMES), np.int64)
        self._said: dict[str, list[int]] = {}

    def add(self, decision: Decision, speakers: Sequence[Speaker]) -> None:
        """Count a part in."""
        severity, spoke = decision.severity, decision.spoke
        self.samples += len(severity)
        self.left_out += int(np.count_nonzero(decision.left_out))
        self._verdicts += np.bincount(severity, minlength=len(VERDICT_NAMES))
        excluded = (severity > KEPT) & (severity < FAILED)
        together = np.zeros(len(severity), np.uint16)
        for number in range(len(speakers)):
            together += spoke[:, number]
        alone = excluded & (together == 1)
        for number, speaker in enumerate(speakers):
            said = self._said.setdefault(speaker.name, [0, 0])
            said[0] += int(np.count_nonzero(spoke[:, number] & excluded))
            said[1] += int(np.count_nonzero(spoke[:, number] & alone))

    def verdicts(self, duplicates: Duplicates) -> dict[str, int]:
        """Samples by verdict."""
        kept, held, rejected, failed = self._verdicts.tolist()
        repeats = int(np.count_nonzero(duplicates.loses))
        return {"kept": kept - repeats, "rejected": rejected + repeats, "held": held, "failed": failed}

    def yields(self, duplicates: Duplicates | None) -> dict[str, dict[str, int]]:
        """By rule: the samples it took part in excluding, and those that it alone excluded; duplicates if sought."""
        result = {name: {"samples": samples, "alone": alone} for name, (samples, alone) in self._said.items()}
        if duplicates is not None:
            losers = ((SAME_BYTES, duplicates.loses_by_bytes), (NEAR, duplicates.loses_by_hash))
            for name, loses in losers:
                count = int(np.count_nonzero(loses))
                result[name] = {"samples": count, "alone": count}
        return result
