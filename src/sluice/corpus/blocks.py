"""How 64 bits are cut into blocks for a block-combination join, and how chosen blocks are brought to the top.

Two hashes that differ in at most k bits agree on at least b - k of any b blocks (k flipped bits spoil at most k
blocks). So every pair within k is found among the pairs that agree on some combination of m = b - k blocks. More
blocks mean longer keys, so fewer candidates, but more combinations to sort by: `plan` weighs the two.

Permuting bits keeps Hamming distances, so a combination is *sorted by* rather than looked up: its blocks are moved
to the top bits, the array is sorted in place, and the candidates stand side by side. No index is carried along.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]

BITS = 64
CHUNK = 32_768  # hashes: three buffers of it stay in a core's own cache
_SORT_NS = 45.0  # a hash of one combination: moved, sorted, compared with its neighbour (10^6 of them, one core)
_PAIR_NS = 4.5  # a candidate
_COMBINATION_NS = 200_000.0  # what a combination costs however few the hashes


@dataclass(frozen=True)
class Plan:
    """`blocks` blocks of the widths (bits) given, of which `agree` must be equal."""

    widths: tuple[int, ...]
    agree: int

    @property
    def blocks(self) -> int:
        """The number of blocks."""
        return len(self.widths)

    def combinations(self) -> Iterator[tuple[int, ...]]:
        """Every choice of `agree` blocks, in lexicographic order."""
        return combinations(range(self.blocks), self.agree)


def plan(count: int, distance: int) -> Plan:
    """The cheapest plan that misses no pair within `distance` bits among `count` hashes, if they are spread evenly.

    >>> plan(1_000_000, 8)
    Plan(widths=(6, 6, 6, 6, 6, 6, 6, 6, 6, 5, 5), agree=3)
    """
    plans = [Plan(_widths(distance + agree), agree) for agree in range(1, min(8, BITS - distance) + 1)]
    return min(plans, key=lambda each: _nanoseconds(each, count))


def _widths(blocks: int) -> tuple[int, ...]:
    return tuple(BITS // blocks + (place < BITS % blocks) for place in range(blocks))


def _nanoseconds(each: Plan, count: int) -> float:
    key_bits = BITS * each.agree / each.blocks
    candidates = count * count / 2 / 2**key_bits
    return comb(each.blocks, each.agree) * (_COMBINATION_NS + _SORT_NS * count + _PAIR_NS * candidates)


class Arrangement:
    """Hashes whose blocks stand in some order, the first in the top bits; blocks are moved in place.

    >>> hashes = np.array([0x0011_2233_4455_6677], np.uint64)
    >>> arranged = Arrangement(hashes, (16, 16, 16, 16))
    >>> arranged.bring_to_top((2,))
    >>> hex(int(hashes[0])), arranged.order
    ('0x4455001122336677', [2, 0, 1, 3])
    >>> hex(int(arranged.restored(hashes)[0]))
    '0x11223344556677'
    """

    def __init__(self, hashes: Hashes, widths: tuple[int, ...]) -> None:
        self.hashes = hashes
        self.order = list(range(len(widths)))
        self._widths = widths
        self._buffers = np.empty((2, min(CHUNK, max(1, hashes.size))), np.uint64)

    def bring_to_top(self, blocks: tuple[int, ...]) -> None:
        """Move `blocks` to the top, in the order given; all others keep theirs."""
        for place, block in enumerate(blocks):
            if self.order[place] != block:
                self._move(block, place)

    def key_mask(self, blocks: int) -> np.uint64:
        """The bits of the first `blocks` blocks."""
        low = BITS - sum(self._widths[block] for block in self.order[:blocks])
        return _mask(low, BITS - low)

    def mask(self, block: int) -> np.uint64:
        """The bits where `block` stands now."""
        return _mask(self._low(block), self._widths[block])

    def restored(self, hashes: Hashes) -> Hashes:
        """`hashes`, arranged as these are, with their blocks in the original order."""
        original = np.zeros_like(hashes)
        low = BITS
        for block, width in enumerate(self._widths):
            low -= width
            original |= ((hashes >> np.uint64(self._low(block))) & _mask(0, width)) << np.uint64(low)
        return original

    def _low(self, block: int) -> int:
        return BITS - sum(self._widths[each] for each in self.order[: self.order.index(block) + 1])

    def _move(self, block: int, place: int) -> None:
        """Move `block` up to `place`: those between go down by its width."""
        width, low = self._widths[block], self._low(block)
        between = sum(self._widths[each] for each in self.order[place : self.order.index(block)])
        risen, sunk, kept = _mask(low, width), _mask(low + width, between), ~_mask(low, width + between)
        for start in range(0, self.hashes.size, CHUNK):
            chunk = self.hashes[start : start + CHUNK]
            up, down = self._buffers[:, : chunk.size]
            np.bitwise_and(chunk, risen, out=up)
            np.left_shift(up, np.uint64(between), out=up)
            np.bitwise_and(chunk, sunk, out=down)
            np.right_shift(down, np.uint64(width), out=down)
            np.bitwise_or(up, down, out=up)
            np.bitwise_and(chunk, kept, out=chunk)
            np.bitwise_or(chunk, up, out=chunk)
        self.order.remove(block)
        self.order.insert(place, block)


def _mask(low: int, width: int) -> np.uint64:
    return np.uint64(((1 << width) - 1) << low)
