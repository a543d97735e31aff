"""Global batches: which stretch of an epoch each step is, and which part of it a rank gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from sluice.errors import RecipeError

LASTS: Final = ("keep", "drop")


@dataclass(frozen=True)
class FixedBatches:
    """So many samples a global batch; the last one is kept though it is short, or dropped.

    >>> FixedBatches(4).steps(10), FixedBatches(4, "drop").steps(10), FixedBatches(4).stretch(2, 10)
    (3, 2, (8, 10))
    """

    size: int
    last: str = "keep"

    def __post_init__(self) -> None:
        if self.size < 1:
            raise RecipeError(f"a batch has a sample at least, not {self.size}")
        if self.last not in LASTS:
            raise RecipeError(f"the last batch is one of {', '.join(LASTS)}; not {self.last!r}")

    def steps(self, samples: int) -> int:
        """The steps of an epoch of `samples`."""
        return samples // self.size if self.last == "drop" else -(-samples // self.size)

    def stretch(self, step: int, samples: int) -> tuple[int, int]:
        """The first sample of a step, and the one after its last."""
        return step * self.size, min((step + 1) * self.size, samples)


def part_of(count: int, rank: int, world: int) -> npt.NDArray[np.int64]:
    """The places of a global batch of `count` that are a rank's: every rank as many, but for one.

    >>> [part_of(5, rank, 2).tolist() for rank in range(2)]
    [[0, 2, 4], [1, 3]]
    """
    return np.arange(rank, count, world, dtype=np.int64)
