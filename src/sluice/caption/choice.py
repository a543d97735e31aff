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
    """What was chosen. `role` and `weight` are of candidates; `misaligned` and `held` are positions of samples."""

    role: npt.NDArray[np.int8]
    weight: npt.NDArray[np.float32]  # among the kept captions of a sample they add up to 1; 0 for all others
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
    batches, held_rows = _batches(of, scores, by, units, role, count)
    held = np.zeros(count, bool)
    held[of[held_rows]] = True
    return Choice(role, _weights(of, scores, role, count), misaligned, held, batches)


def _places(of: Ints, scores: Floats, by: Ints) -> Ints:
    """The place of each candidate among those of its sample: 0 is the best, no score is last."""
    order = np.lexsort((np.arange(of.size), by, np.where(np.isnan(scores), np.inf, -scores), of))
    ordered = of[order]
    first = np.searchsorted(ordered, ordered)  # where the run of each sample begins
    place = np.empty(of.size, np.int64)
    place[order] = np.arange(of.size) - first
    return place


def _weights(of: Ints, scores: Floats, role: npt.NDArray[np.int8], count: int) -> npt.NDArray[np.float32]:
    kept = role <= ALTERNATIVE
    best = np.full(count, -np.inf)
    np.maximum.at(best, of[kept], scores[kept])
    raw = np.zeros(of.shape)
    raw[kept] = np.exp((scores[kept] - best[of[kept]]) / _TEMPERATURE)
    total = np.bincount(of, raw, minlength=count)
    weight = np.zeros(of.shape)
    weight[kept] = raw[kept] / total[of[kept]]
    return weight.astype(np.float32)


def _batches(
    of: Ints, scores: Floats, by: Ints, units: Ints, role: npt.NDArray[np.int8], count: int
) -> tuple[tuple[Batch, ...], Bools]:
    """Each captioner batch, and which candidates lie in a held one."""
    best_raw = np.full(count, -np.inf)
    raw = (by == RAW) & ~np.isnan(scores)
    np.maximum.at(best_raw, of[raw], scores[raw])

    made = np.flatnonzero(by != RAW)
    names, batch = np.unique(np.stack([by[made], units[made]], axis=1), axis=0, return_inverse=True)
    batch = batch.reshape(-1)
    chosen = _distinct(batch[role[made] == CHOSEN], of[made][role[made] == CHOSEN])
    compared = ~np.isnan(scores[made]) & np.isfinite(best_raw[of[made]])
    rows, in_batch = made[compared], batch[compared]
    order = np.lexsort((-scores[rows], of[rows], in_batch))
    rows, in_batch = rows[order], in_batch[order]
    first = np.ones(rows.size, bool)  # of each sample in each batch: its best
    first[1:] = (in_batch[1:] != in_batch[:-1]) | (of[rows][1:] != of[rows][:-1])
    rows, in_batch = rows[first], in_batch[first]
    samples = np.bincount(in_batch, minlength=len(names))
    with np.errstate(invalid="ignore"):
        before = np.bincount(in_batch, best_raw[of[rows]], minlength=len(names)) / samples
        after = np.bincount(in_batch, scores[rows], minlength=len(names)) / samples
    worse = after < before

    held = np.zeros(of.shape, bool)
    held[made] = worse[batch]
    wins = np.bincount(chosen, minlength=len(names))
    columns = zip(names.tolist(), samples.tolist(), before, after, wins.tolist(), worse, strict=True)
    return tuple(
        Batch(name, unit, compared_of, float(was), float(is_now), won, bool(bad))
        for (name, unit), compared_of, was, is_now, won, bad in columns
    ), held


def _distinct(batch: Ints, of: Ints) -> Ints:
    """The batch of each pair of batch and sample, once."""
    return np.unique(np.stack([batch, of], axis=1), axis=0)[:, 0]
