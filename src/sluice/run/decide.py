"""Deciding: from what was measured to one verdict a sample. Pure: arrays in, arrays out.

`what-if` and a real run call the same functions on the same stored columns, so they cannot disagree.

A *speaker* is whatever may say something about rows: a rule, or a corpus step that marks captions. A caption is
an alternative, so a speaker about texts excludes a sample only when each of its captions is spoken against, by it
or by others; images and other texts are parts, so one is enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
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

    @cached_property
    def first(self) -> Indices:
        """The first row of each sample."""
        if self.samples == len(self.sample):  # a row each, as most have
            return self.sample
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
    spoke = np.zeros((len(speakers), samples), np.bool_).T  # what one speaker says lies side by side
    if not samples:
        return Decision(np.zeros(0, np.int8), spoke, np.zeros(0, np.bool_))
    caption = facts.alternative.view(np.int8)  # 1 where the row's text is one: to multiply by, as `part` is
    part = 1 - caption
    severity = _by_sample(np.maximum, facts.failed.view(np.int8), first) * np.int8(FAILED)
    bad_caption = np.zeros(len(facts.sample), np.int8)
    for number, speaker in enumerate(speakers):
        of_part = speaker.severity * part if speaker.about_text else speaker.severity
        of_part = _by_sample(np.maximum, of_part, first)
        np.greater(of_part, KEPT, out=spoke[:, number])
        np.maximum(severity, of_part, out=severity)
        if speaker.about_text:
            np.maximum(bad_caption, speaker.severity * caption, out=bad_caption)
    best_caption = _by_sample(np.minimum, bad_caption + part * np.int8(FAILED), first)
    excluded = best_caption * (best_caption < FAILED)  # FAILED: it has no caption
    for number, speaker in enumerate(speakers):
        if speaker.about_text:
            on_caption = _by_sample(np.maximum, speaker.severity * caption, first)
            spoke[:, number] |= (on_caption > KEPT) & (excluded > KEPT)
    left_out = (bad_caption > KEPT) & (_of_rows(excluded, facts) == KEPT)
    return Decision(np.maximum(severity, excluded), spoke, left_out)


def _of_rows(by_sample: Severities, facts: RowFacts) -> Severities:
    """What is so of each row's sample."""
    return by_sample if facts.samples == len(facts.sample) else by_sample[facts.sample]


def _by_sample(reduce: np.ufunc, values: Severities, first: Indices) -> Severities:
    """`reduce` over the rows of each sample; nothing to do where every sample has one row, as most have."""
    return values if len(first) == len(values) else reduce.reduceat(values, first)


def speaker_of(name: str, result: npt.NDArray[np.int8], effect: int, null: int, *, about_text: bool) -> Speaker:
    """The speaker for a rule's three-valued `result` by row: 1 true, 0 false, -1 NULL.

    >>> speaker_of("tiny", np.array([1, 0, -1], np.int8), REJECTED, HELD, about_text=False).severity.tolist()
    [2, 0, 1]
    """
    severity = (result > 0) * np.int8(effect)
    severity[result < 0] = null
    return Speaker(name, severity, about_text)
