"""The steps of an epoch: which samples each global batch holds, in which sequences, and which of them are a rank's."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from sluice.errors import RecipeError
from sluice.load.epoch import Epoch, Stretch
from sluice.load.global_batches import BatchSettings, WindowPlan, plan_window
from sluice.load.philox import derive

Numbers: TypeAlias = npt.NDArray[np.int64]
Lengths: TypeAlias = Callable[[Stretch], Numbers]

LASTS: Final = ("keep", "drop")
PLANNED: Final = 8_192  # samples that are cut into batches together: a few milliseconds


@dataclass(frozen=True)
class Step:
    """A global batch: its samples, and how many of them each sequence has."""

    samples: Stretch
    sizes: Numbers
    too_long: Stretch  # samples that no batch can hold, told with the first step of those they came among

    def part(self, rank: int, world: int) -> Step:
        """The sequences of a rank, as many as any other has but for one.

        A run of them: the sources of a mixture come by turns, and of every so manieth all might be of one source.
        """
        each, over = divmod(len(self.sizes), world)
        start = rank * each + min(rank, over)
        mine = self.sizes[start : start + each + (rank < over)]
        first = int(self.sizes[:start].sum())
        return Step(self.samples.take(slice(first, first + int(mine.sum()))), mine, self.too_long)


class Steps(Protocol):
    """The steps of one epoch."""

    def __len__(self) -> int: ...

    def has(self, number: int) -> bool:
        """Whether there is such a step; may look ahead no further than it."""
        ...

    def step(self, number: int) -> Step:
        """A step, whatever was asked before."""
        ...

    def start(self, number: int) -> int:
        """The samples of the epoch from here on are needed from this step on."""
        ...

    def place(self, number: int) -> list[int]:
        """Where to look for the step in another process: what `begin` takes."""
        ...


class FixedSteps:
    """So many samples a step; the last is kept though it is short, or dropped."""

    def __init__(self, epoch: Epoch, size: int, last: str) -> None:
        if size < 1:
            raise RecipeError(f"a batch has a sample at least, not {size}")
        if last not in LASTS:
            raise RecipeError(f"the last batch is one of {', '.join(LASTS)}; not {last!r}")
        self._epoch, self._size, self._last = epoch, size, last

    def __len__(self) -> int:
        samples = len(self._epoch)
        return samples // self._size if self._last == "drop" else -(-samples // self._size)

    def has(self, number: int) -> bool:
        """Whether there is such a step."""
        return number < len(self)

    def step(self, number: int) -> Step:
        """A step, whatever was asked before."""
        start = number * self._size
        samples = self._epoch.locate(start, min(start + self._size, len(self._epoch)))
        return Step(samples, np.ones(len(samples), np.int64), samples.take(np.empty(0, np.int64)))

    def start(self, number: int) -> int:
        """The first sample of the step."""
        return number * self._size

    def place(self, number: int) -> list[int]:
        """Steps of one size need no place to begin at."""
        return []


class PlannedSteps:
    """Steps by a token budget: the epoch is cut in stretches of `PLANNED` samples, and each into batches by itself.

    How many steps the stretches before have is known once they were planned; `begin`, from a state, spares that.
    """

    def __init__(self, epoch: Epoch, settings: BatchSettings, lengths: Lengths, begin: list[int] | None = None) -> None:
        self._epoch, self._settings, self._lengths = epoch, settings, lengths
        self._windows = -(-len(epoch) // PLANNED)
        self._first, before = begin or (0, 0)
        self._before = [before]  # steps before each stretch from `_first` on; the last: before what is not yet planned
        self._held: tuple[int, Stretch, WindowPlan] | None = None

    def __len__(self) -> int:
        if self._first:  # counted from the beginning, whatever a state spared
            return len(PlannedSteps(self._epoch, self._settings, self._lengths))
        while self._more():
            pass
        return self._before[-1]

    def has(self, number: int) -> bool:
        """Whether there is such a step."""
        while self._before[-1] <= number:
            if not self._more():
                return False
        return True

    def step(self, number: int) -> Step:
        """A step, whatever was asked before."""
        if number < self._before[0]:
            self._first, self._before = 0, [0]
        if not self.has(number):
            raise IndexError(f"step {number} of {self._before[-1]}")
        at = bisect_right(self._before, number) - 1
        samples, plan = self._plan(self._first + at)
        batch = plan.batches[number - self._before[at]]
        too_long = plan.too_long if number == self._before[at] else plan.too_long[:0]
        sizes = np.array([len(sequence) for sequence in batch.sequences], np.int64)
        return Step(samples.take(batch.places), sizes, samples.take(too_long))

    def start(self, number: int) -> int:
        """The first sample of the stretch that the step is cut from."""
        place = self.place(number)
        return place[0] * PLANNED if place else 0

    def place(self, number: int) -> list[int]:
        """The stretch of a step, and the steps before it."""
        if number < self._before[0] or not self.has(number):
            return []
        at = bisect_right(self._before, number) - 1
        return [self._first + at, self._before[at]]

    def _more(self) -> bool:
        """Plan one stretch more; whether there was one."""
        window = self._first + len(self._before) - 1
        if window >= self._windows:
            return False
        self._before.append(self._before[-1] + len(self._plan(window)[1].batches))
        return True

    def _plan(self, window: int) -> tuple[Stretch, WindowPlan]:
        if self._held is None or self._held[0] != window:
            samples = self._epoch.locate(window * PLANNED, min((window + 1) * PLANNED, len(self._epoch)))
            key = derive(self._epoch.key, window)
            plan = plan_window(self._lengths(samples), self._settings, key, sources=samples.sources)
            self._held = window, samples, plan
        return self._held[1], self._held[2]
