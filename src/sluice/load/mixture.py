"""How sources are mixed: which source the n-th sample of an epoch comes from, as a pure function of n.

Each source is due a share of what was served so far; its k-th sample comes when that share reaches k + 1/2 (the
divisor method of Webster and Sainte-Lague). So any stretch holds each source's share but for a sample or two,
nothing is drawn at random, and where to go on at step 10^7 is worked out without going through the steps before.

| a source that ends | |
| --- | --- |
| `repeat` | begins again in another order, until every source was served whole (or for `samples`) |
| `stop` | ends the epoch |
| `rebalance` | leaves its share to the others, until every sample was served once |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from sluice.errors import RecipeError

Numbers = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]

ENDS: Final = ("repeat", "stop", "rebalance")
_ENDLESS: Final = 2**62


@dataclass(frozen=True)
class Phase:
    """From sample `start` of the epoch on, these weights: one phase is a mixture, several are a curriculum."""

    start: int
    weights: tuple[float, ...]


@dataclass(frozen=True)
class Drawn:
    """Samples of an epoch: the source of each, and how many of that source came before it in the epoch."""

    sources: Numbers
    counts: Numbers


def tempered(sizes: Sequence[int], temperature: float) -> tuple[float, ...]:
    """Weights by size: in proportion at temperature 1, ever more alike as it grows.

    >>> tempered([900, 100], 1.0), tempered([900, 100], 2.0)
    ((0.9, 0.1), (0.75, 0.25))
    """
    if temperature <= 0:
        raise RecipeError(f"a temperature is above 0, not {temperature}: 1 mixes by size, more evens it out")
    raised = [size ** (1 / temperature) for size in sizes]
    return tuple(one / sum(raised) for one in raised)


class Mixture:
    """The mixture of an epoch over sources of `sizes` samples.

    >>> mixture = Mixture([100, 100], [Phase(0, (3, 1))], ends="stop")
    >>> mixture.draw(0, 8).sources.tolist(), len(mixture)
    ([0, 0, 1, 0, 0, 0, 1, 0], 133)
    """

    def __init__(
        self, sizes: Sequence[int], phases: Sequence[Phase], ends: str = "repeat", samples: int | None = None
    ) -> None:
        _check(sizes, phases, ends, samples)
        self.sizes = tuple(sizes)
        self._times, self._shares, self._rates = _walk(self.sizes, phases, ends)
        self._length = self._epoch(ends, samples)

    def __len__(self) -> int:
        return self._length

    def draw(self, start: int, stop: int) -> Drawn:
        """The samples from `start` to before `stop` of the epoch, in order."""
        if not 0 <= start <= stop <= len(self):
            raise IndexError(f"samples {start} to {stop} of an epoch of {len(self)}")
        spare = len(self.sizes) / 2 + 1  # due dates and places differ by half a sample for each source at most
        low, high = start - spare, stop + spare
        sources: list[Numbers] = []
        counts: list[Numbers] = []
        dates: list[Reals] = []
        before = 0
        for source in range(len(self.sizes)):
            first, last = (max(0, int(np.floor(self._share(source, date) + 0.5))) for date in (low, high))
            count = np.arange(first, last, dtype=np.int64)
            sources.append(np.full(len(count), source, np.int64))
            counts.append(count)
            dates.append(self._date(source, count))
            before += first
        order = np.lexsort((np.concatenate(sources), np.concatenate(dates)))[start - before : stop - before]
        return Drawn(np.concatenate(sources)[order], np.concatenate(counts)[order])

    def _share(self, source: int, time: float) -> float:
        """What a source is due once `time` samples were served."""
        at = max(0, int(np.searchsorted(self._times, time, side="right")) - 1)
        return float(self._shares[source, at] + self._rates[source, at] * (time - self._times[at]))

    def _date(self, source: int, counts: Numbers) -> Reals:
        """When the samples of a source are due; infinity where that is never."""
        shares, rates = self._shares[source], self._rates[source]
        at = np.searchsorted(shares, counts + 0.5, side="left") - 1  # a stretch without a share is passed over
        with np.errstate(divide="ignore"):
            return self._times[at] + (counts + 0.5 - shares[at]) / rates[at]

    def _before(self, source: int, count: int) -> int:
        """How many samples come before this one of `source`; a date that two share is the earlier source's."""
        date = float(self._date(source, np.array([count]))[0])
        if not np.isfinite(date):
            return _ENDLESS
        total = 0
        for other in range(len(self.sizes)):
            surely = max(0, int(np.floor(self._share(other, date))) - 1)
            dates = self._date(other, np.arange(surely, surely + 4, dtype=np.int64))
            total += surely + int(((dates <= date) if other < source else (dates < date)).sum())
        return total

    def _epoch(self, ends: str, samples: int | None) -> int:
        """How many samples an epoch has."""
        asked = _ENDLESS if samples is None else samples
        if ends == "rebalance":
            return min(asked, int(np.floor(self._shares[:, -1] + 0.5).sum()))
        if ends == "stop":
            asked = min(asked, *(self._before(source, size) for source, size in enumerate(self.sizes)))
        elif samples is None:
            asked = max(self._before(source, size - 1) + 1 for source, size in enumerate(self.sizes))
        if asked >= _ENDLESS:
            raise RecipeError(
                "a source ends with weight 0 before it was served whole, so the epoch has no end: "
                "say how many `samples` it has"
            )
        return asked


def _check(sizes: Sequence[int], phases: Sequence[Phase], ends: str, samples: int | None) -> None:
    if ends not in ENDS:
        raise RecipeError(f"a source that ends can {', '.join(ENDS)}; not {ends!r}")
    if not sizes or min(sizes) < 1:
        raise RecipeError("every source of a mixture needs a sample at least")
    if samples is not None and samples < 1:
        raise RecipeError(f"an epoch has a sample at least, not {samples}")
    starts = [phase.start for phase in phases]
    if not starts or starts[0] != 0 or sorted(set(starts)) != starts:
        raise RecipeError(f"the phases of a curriculum begin at sample 0 and follow each other, not at {starts}")
    for phase in phases:
        if len(phase.weights) != len(sizes):
            raise RecipeError(f"{len(sizes)} sources, {len(phase.weights)} weights")
        if min(phase.weights) < 0 or not np.isfinite(phase.weights).all() or not sum(phase.weights):
            raise RecipeError(f"weights are numbers from 0 on, one of them above it, not {list(phase.weights)}")


def _walk(sizes: Sequence[int], phases: Sequence[Phase], ends: str) -> tuple[Reals, Reals, Reals]:
    """When the rates of the sources change, what each is due by then, and its rate from then on: a column a change."""
    limits = np.array(sizes, np.float64) if ends == "rebalance" else np.full(len(sizes), np.inf)
    time, due = 0.0, np.zeros(len(sizes))
    changes: list[tuple[float, Reals, Reals]] = []
    for phase, following in zip(phases, [*phases[1:], None], strict=True):
        end = np.inf if following is None else float(following.start)
        while time < end:
            served = np.where(due < limits, phase.weights, 0.0)
            if not served.any():  # all that this phase wants have ended: the next begins at once
                break
            rate = served / served.sum()
            changes.append((time, due, rate))
            with np.errstate(divide="ignore", invalid="ignore"):
                ended = np.where(rate > 0, time + (limits - due) / rate, np.inf)
            later = min(end, float(ended.min()))
            if not np.isfinite(later):
                break
            # What has ended has ended exactly, whatever was rounded on the way.
            due = np.where(ended <= later, limits, due + rate * (later - time))
            time = later
    if ends == "rebalance":
        changes.append((time, due, np.zeros(len(sizes))))
    times, shares, rates = zip(*changes, strict=True)
    return np.array(times), np.array(shares).T, np.array(rates).T
