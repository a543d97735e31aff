"""Deciding: from what was measured to one verdict a sample. Pure: arrays in, arrays out.

`what-if` and a real run call the same functions on the same stored columns, so they cannot disagree.

A *speaker* is whatever may say something about rows: a rule, or a corpus step that marks captions. A caption is
an alternative, so a speaker about texts excludes a sample only when each of its captions is spoken against, by it
or by others; images and other texts are parts, so one is enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

Indices: TypeAlias = npt.NDArray[np.int64]
Flags: TypeAlias = npt.NDArray[np.bool_]
Severities: TypeAlias = npt.NDArray[np.int8]

KEPT: Final = 0
HELD: Final = 1
REJECTED: Final = 2
FAILED: Final = 3
VERDICT_NAMES: Final = ("kept", "held", "rejected", "failed")  # by severity


@dataclass(frozen=True)
class RowFacts:
    """What deciding needs to know of the rows beside what speakers say of them."""

    sample: Indices  # ordinal of each row's sample: 0, 0, 1, 2, 2, ...
    alternative: Flags  # the row's text is a caption
    failed: Flags  # some measure failed on the row

    @property
    def samples(self) -> int:
        """Number of samples."""
        return int(self.sample[-1]) + 1 if len(self.sample) else 0

    @property
    def first(self) -> Indices:
        """The first row of each sample."""
        return np.flatnonzero(np.diff(self.sample, prepend=-1))


@dataclass(frozen=True)
class Speaker:
    """What one rule says of every row."""

    name: str
    severity: Severities  # KEPT (it is silent), HELD or REJECTED, by row
    about_text: bool


@dataclass(frozen=True)
class Decision:
    """What was decided on every sample."""

    severity: Severities  # by sample
    spoke: Flags  # (samples, speakers): took part in excluding the sample
    left_out: Flags  # by row: this caption is not packed


def decide(facts: RowFacts, speakers: Sequence[Speaker]) -> Decision:
    """One verdict a sample: failed over rejected over held over kept.

    >>> facts = RowFacts(np.array([0, 0, 1]), np.array([True, True, True]), np.zeros(3, np.bool_))
    >>> rule = Speaker("short", np.array([2, 0, 2], np.int8), about_text=True)
    >>> decide(facts, [rule]).severity.tolist()   # sample 0 has another caption that is fine
    [0, 2]
    """
    first = facts.first
    samples = facts.samples
    spoke = np.zeros((samples, len(speakers)), np.bool_)
    if not samples:
        return Decision(np.zeros(0, np.int8), spoke, np.zeros(0, np.bool_))
    severity = np.where(_by_sample(np.maximum, facts.failed.astype(np.int8), first) > 0, FAILED, KEPT).astype(np.int8)
    bad_caption = np.zeros(len(facts.sample), np.int8)
    for number, speaker in enumerate(speakers):
        about_caption = facts.alternative if speaker.about_text else np.zeros_like(facts.alternative)
        of_part = _by_sample(np.maximum, np.where(about_caption, 0, speaker.severity), first)
        spoke[:, number] = of_part > KEPT
        severity = np.maximum(severity, of_part)
        if speaker.about_text:
            bad_caption = np.maximum(bad_caption, np.where(facts.alternative, speaker.severity, 0))
    best_caption = _by_sample(np.minimum, np.where(facts.alternative, bad_caption, FAILED), first)
    excluded = np.where(best_caption == FAILED, KEPT, best_caption).astype(np.int8)  # FAILED: it has no caption
    for number, speaker in enumerate(speakers):
        if speaker.about_text:
            on_caption = _by_sample(np.maximum, np.where(facts.alternative, speaker.severity, 0), first)
            spoke[:, number] |= (on_caption > KEPT) & (excluded > KEPT)
    left_out = (bad_caption > KEPT) & (excluded[facts.sample] == KEPT)
    return Decision(np.maximum(severity, excluded), spoke, left_out)


def _by_sample(reduce: np.ufunc, values: Severities, first: Indices) -> Severities:
    """`reduce` over the rows of each sample; nothing to do where every sample has one row, as most have."""
    return values if len(first) == len(values) else reduce.reduceat(values, first)


def speaker_of(name: str, result: npt.NDArray[np.int8], effect: int, null: int, *, about_text: bool) -> Speaker:
    """The speaker for a rule's three-valued `result` by row: 1 true, 0 false, -1 NULL.

    >>> speaker_of("tiny", np.array([1, 0, -1], np.int8), REJECTED, HELD, about_text=False).severity.tolist()
    [2, 0, 1]
    """
    severity = np.select([result == 1, result == -1], [effect, null], KEPT).astype(np.int8)
    return Speaker(name, severity, about_text)
