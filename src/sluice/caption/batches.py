"""Batches for a model on this machine: like beside like, and half as many where memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, Generic, TypeVar

A = TypeVar("A")
B = TypeVar("B")

_WINDOW: Final = 16  # batches among which items are sorted: padding falls, and what is held stays small


class OutOfMemoryError(Exception):
    """A batch does not fit into the memory of the device."""


class Batches(Generic[A, B]):
    """Runs a model over a stream. A batch that does not fit is halved, and so are all that follow.

    `weigh` says how large an item is to the model: within a window the largest go first and together, so that few
    are padded, and a size of batch that is too much is found out at once. Results come in the order of the items.

    >>> def double(numbers: list[int]) -> list[int]:
    ...     if len(numbers) > 2:
    ...         raise OutOfMemoryError
    ...     return [2 * number for number in numbers]
    >>> batches = Batches(double, 8, weigh=float, failed=lambda number, error: -1)
    >>> list(batches(range(5))), batches.size, batches.halvings
    ([0, 2, 4, 6, 8], 2, 2)
    """

    def __init__(
        self,
        run: Callable[[list[A]], Sequence[B]],
        size: int,
        *,
        weigh: Callable[[A], float],
        failed: Callable[[A, Exception], B],
    ) -> None:
        self._run = run
        self._weigh = weigh
        self._failed = failed
        self.size = size
        self.halvings = 0

    def __call__(self, items: Iterable[A]) -> Iterator[B]:
        """A result for each item; `failed` makes that of one which the model cannot take even alone."""
        waiting = iter(items)
        while window := list(islice(waiting, _WINDOW * self.size)):
            order = sorted(range(len(window)), key=lambda place: -self._weigh(window[place]))
            done: dict[int, B] = {}
            at = 0
            while at < len(order):
                places = order[at : at + self.size]
                done.update(zip(places, self._batch([window[place] for place in places]), strict=True))
                at += len(places)
            yield from (done[place] for place in range(len(window)))

    def _batch(self, batch: list[A]) -> list[B]:
        try:
            given = list(self._run(batch))
        except OutOfMemoryError as error:
            if len(batch) == 1:
                return [self._failed(batch[0], error)]
            half = (len(batch) + 1) // 2
            if half < self.size:
                self.size, self.halvings = half, self.halvings + 1
            return [*self._batch(batch[:half]), *self._batch(batch[half:])]
        except Exception as error:  # whatever a model raises for one odd image must not cost the others
            if len(batch) == 1:
                return [self._failed(batch[0], error)]
            return [one for item in batch for one in self._batch([item])]
        if len(given) != len(batch):
            raise RuntimeError(f"the model gave {len(given)} results for {len(batch)} items")
        return given
