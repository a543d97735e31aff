"""Which of a sample's captions is kept: the best that fits its image (CapFilt), as a pure function over arrays.

After CapFilt (Li and others, *BLIP: Bootstrapping Language-Image Pre-training*, 2022): captions of the source and
generated ones compete, and what does not fit its image is dropped, whoever wrote it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]
Bools: TypeAlias = npt.NDArray[np.bool_]

RAW: Final = -1  # the captioner of captions that came with the source
CHOSEN, ALTERNATIVE, LOST, BELOW = 0, 1, 2, 3
"""Roles of a candidate: it won; kept beside the winner; passed the threshold and is not kept; did not pass."""

_TEMPERATURE: Final = 0.05  # of the weights: a caption that is 0.05 of cosine worse has a weight of 1 / e


@dataclass(frozen=True)
class Batch:
    """How one captioner did on the samples of one unit. Means are cosines, over samples that have both captions."""

    captioner: int
    unit: int
    samples: int  # with a score for the best raw caption and for this captioner's
    before: float  # mean of the best raw caption; NaN where there is nothing to compare
    after: float  # mean of this captioner's best
    chosen: int  # samples for which one of its captions won
    held: bool  # after is below before: the batch made things worse


@dataclass(frozen=True)
class Choice:
    """What was chosen. `role`, `weight` and `worse` are of candidates; `misaligned` and `held` of samples."""

    role: npt.NDArray[np.int8]
    weight: npt.NDArray[np.float32]  # among the kept captions of a sample they add up to 1; 0 for all others
    worse: Bools  # of candidates: its captioner batch is held as a whole
    misaligned: Bools  # of samples: no candidate passes
    held: Bools  # of samples: one of its captioner batches is held as a whole
    batches: tuple[Batch, ...]


def choose(
    sample: npt.ArrayLike,
    score: npt.ArrayLike,
    captioner: npt.ArrayLike,
    unit: npt.ArrayLike,
    threshold: float,
    *,
    alternatives: int = 0,
    samples: int | None = None,
) -> Choice:
    """The best candidate of each sample, where it reaches `threshold`; up to `alternatives` more are kept beside it.

    A candidate has the number of its sample (from 0), its alignment score (NaN: none), the number of its captioner
    (`RAW` for captions of the source) and the unit of its sample. Equal scores: the raw caption first, then the
    lower captioner, then the earlier candidate, whatever the order of the arrays' other rows.

    A sample without any candidate is misaligned, if `samples` says that there is one. A captioner batch is all that
    one captioner said of one unit. Where its captions fit worse, in the mean, than the raw ones they are to replace,
    the whole batch is held for a person, even though a few of its captions may have won.

    >>> choice = choose([0, 0, 1], [0.20, 0.31, 0.05], [RAW, 0, RAW], [0, 0, 0], 0.25)
    >>> choice.role.tolist(), choice.misaligned.tolist()
    ([3, 0, 3], [False, True])
    >>> [(batch.captioner, round(batch.before, 2), round(batch.after, 2), batch.held) for batch in choice.batches]
    [(0, 0.2, 0.31, False)]
    """
    of: Ints = np.asarray(sample, np.int64)
    scores: Floats = np.asarray(score, np.float64)
    by: Ints = np.asarray(captioner, np.int64)
    units: Ints = np.asarray(unit, np.int64)
    count = (int(of.max()) + 1 if of.size else 0) if samples is None else samples
    if not of.shape == scores.shape == by.shape == units.shape or of.ndim != 1:
        raise ValueError("sample, score, captioner and unit are one-dimensional and of one length")
    if of.size and (of.min() < 0 or of.max() >= count):
        raise ValueError(f"samples are numbered from 0 to {count - 1}")
    place = _places(of, scores, by)
    passing = scores >= threshold  # never for NaN
    role = np.full(of.shape, BELOW, np.int8)
    role[passing] = np.select([place[passing] == 0, place[passing] <= alternatives], [CHOSEN, ALTERNATIVE], LOST)
    misaligned = np.ones(count, bool)
    misaligned[of[role == CHOSEN]] = False
    batches, worse = _batches(of, scores, by, units, role, count)
    held = np.zeros(count, bool)
    held[of[worse]] = True
    kept = role <= ALTERNATIVE
    weight = np.zeros(of.shape, np.float32)
    weight[kept] = weights(of[kept], scores[kept])
    return Choice(role, weight, worse, misaligned, held, batches)


def weights(sample: npt.ArrayLike, score: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """How much each of the captions that are kept counts among those of its sample: a softmax of their cosines.

    The weights of a sample add up to 1. A caption without a score (NaN) has none: NaN.

    >>> [f"{one:.2f}" for one in weights([0, 0, 1, 1], [0.30, 0.25, 0.2, float("nan")])]
    ['0.73', '0.27', '1.00', 'nan']
    """
    of: Ints = np.asarray(sample, np.int64)
    scores: Floats = np.asarray(score, np.float64)
    count = int(of.max()) + 1 if of.size else 0
    scored = ~np.isnan(scores)
    best = np.full(count, -np.inf)
    np.maximum.at(best, of[scored], scores[scored])
    share = np.full(of.shape, np.nan)
    share[scored] = np.exp((scores[scored] - best[of[scored]]) / _TEMPERATURE)
    total = np.bincount(of[scored], share[scored], minlength=count)
    return (share / total[of]).astype(np.float32)


def _places(of: Ints, scores: Floats, by: Ints) -> Ints:
    """The place of each candidate among those of its sample: 0 is the best, no score is last."""
    order = np.lexsort((by, np.where(np.isnan(scores), np.inf, -scores), of))  # it keeps the order of equal ones
    ordered = of[order]
    begins = np.flatnonzero(np.diff(ordered, prepend=-1))
    place = np.empty(of.size, np.int64)
    place[order] = np.arange(of.size) - np.repeat(begins, np.diff(begins, append=of.size))
    return place


def _batches(
    of: Ints, scores: Floats, by: Ints, units: Ints, role: npt.NDArray[np.int8], count: int
) -> tuple[tuple[Batch, ...], Bools]:
    """Each captioner batch, and which candidates lie in one that made things worse."""
    best_raw = np.full(count, -np.inf)
    raw = (by == RAW) & ~np.isnan(scores)
    np.maximum.at(best_raw, of[raw], scores[raw])

    made = np.flatnonzero(by != RAW)
    captioners, captioner = np.unique(by[made], return_inverse=True)
    places, place = np.unique(units[made], return_inverse=True)
    found, batch = np.unique(captioner * len(places) + place, return_inverse=True)  # one number a pair sorts faster
    won = _once(batch, of[made], role[made] == CHOSEN)[0]
    compared = ~np.isnan(scores[made]) & np.isfinite(best_raw[of[made]])
    in_batch, of_sample, best = _once(batch, of[made], compared, scores[made])
    samples = np.bincount(in_batch, minlength=len(found))
    with np.errstate(invalid="ignore"):
        before = np.bincount(in_batch, best_raw[of_sample], minlength=len(found)) / samples
        after = np.bincount(in_batch, best, minlength=len(found)) / samples
    worse = after < before
    columns = zip(
        captioners[found // len(places)].tolist() if len(found) else (),
        places[found % len(places)].tolist() if len(found) else (),
        samples.tolist(),
        before.tolist(),
        after.tolist(),
        np.bincount(won, minlength=len(found)).tolist(),
        worse.tolist(),
        strict=True,
    )
    spoiled = np.zeros(of.shape, bool)
    spoiled[made] = worse[batch]
    return tuple(Batch(*one) for one in columns), spoiled


def _once(batch: Ints, of: Ints, wanted: Bools, scores: Floats | None = None) -> tuple[Ints, Ints, Floats]:
    """Batch and sample of the `wanted` candidates, each pair once, with its best score."""
    batch, of = batch[wanted], of[wanted]
    best = np.zeros(batch.shape) if scores is None else scores[wanted]
    key = batch * (int(of.max(initial=0)) + 1) + of
    order = np.argsort(key, kind="stable")
    begins = np.flatnonzero(np.diff(key[order], prepend=-1))
    first = order[begins]
    return batch[first], of[first], np.maximum.reduceat(best[order], begins) if len(begins) else best[:0]
