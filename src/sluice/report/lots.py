"""Drawing lots: which of many come first is a pure function of their numbers and the seed."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

_BLOCK: Final = 1 << 18  # numbers at a time


def lots(numbers: npt.NDArray[np.int64], seed: int) -> npt.NDArray[np.uint64]:
    """A lot for each number, by SplitMix64 (Steele, Lea and Flood 2014): the least is drawn first.

    >>> lots(np.array([0, 1]), 0).tolist()
    [16294208416658607535, 7960286522194355700]
    """
    state = (numbers.astype(np.uint64) + np.uint64(seed % 2**32 << 32) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def drawn(wanted: npt.NDArray[np.bool_], seed: int, most: int) -> list[int]:
    """The places of `most` of what is `wanted`, in the order in which they were drawn."""
    best: list[tuple[int, int]] = []
    for start in range(0, len(wanted), _BLOCK):
        places = start + np.flatnonzero(wanted[start : start + _BLOCK])
        mine = lots(places, seed)
        few = np.argsort(mine) if len(mine) <= most else np.argpartition(mine, most)[:most]
        best = sorted([*best, *((int(mine[at]), int(places[at])) for at in few)])[:most]
    return [place for _, place in best]
