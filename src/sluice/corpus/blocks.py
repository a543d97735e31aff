"""How 64 bits are cut into blocks for a block-combination join, and how chosen blocks are brought to the top.

Two hashes that differ in at most k bits agree on at least b - k of any b blocks (k flipped bits spoil at most k
blocks). So every pair within k is found among the pairs that agree on some combination of m = b - k blocks. More
blocks mean longer keys, so fewer candidates, but more combinations to sort by: `plan` weighs the two on a sample.

Real hashes are not evenly spread: some bits nearly always agree and tell little. `plan` deals the bits to blocks by
what they tell (-log2 of the chance that two hashes agree on it), so that no block is empty talk.

Permuting bits keeps Hamming distances, so a combination is *sorted by* rather than looked up: its blocks are moved
to the top bits, the array is sorted in place, and the candidates stand side by side. No index is carried along.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Final

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]

BITS: Final = 64
_CHUNK: Final = 32_768  # hashes: three buffers of it stay in a core's own cache
_MOST_AGREE: Final = 6  # blocks; more never paid, up to 10^8 hashes
_SAMPLE: Final = 8_192  # hashes; two of them agreeing by chance once in 3 * 10^7 is seen
_TRIED: Final = 6  # combinations of a plan that are tried on the sample
# Nanoseconds on one core, measured with 10^4 to 10^6 hashes:
_A_HASH: Final = 25.0  # moved, sorted and compared with its neighbours, for each combination
_A_LOOK_UP: Final = 200.0  # a hash looked up among the reference instead
_A_CANDIDATE: Final = 4.0
_A_COMBINATION: Final = 200_000.0  # however few the hashes


@dataclass(frozen=True)
class Plan:
    """Blocks, as the bits (0 is the lowest) each is made of, of which `agree` must be equal."""

    blocks: tuple[tuple[int, ...], ...]
    agree: int

    @property
    def widths(self) -> tuple[int, ...]:
        """The bits in each block."""
        return tuple(len(block) for block in self.blocks)

    def combinations(self) -> Iterator[tuple[int, ...]]:
        """Every choice of `agree` blocks, in lexicographic order."""
        return combinations(range(len(self.blocks)), self.agree)

    def key(self, combination: tuple[int, ...]) -> np.uint64:
        """The bits of the blocks of `combination`, where they stand in a hash."""
        return np.uint64(sum(1 << bit for block in combination for bit in self.blocks[block]))

    def spread(self, hashes: Hashes) -> Hashes:
        """`hashes` with their bits in the order of the blocks, the first block in the top bits.

        >>> two = Plan((tuple(range(0, 64, 2)), tuple(range(1, 64, 2))), agree=1)
        >>> hex(int(two.spread(np.array([0x5555_5555_5555_5555], np.uint64))[0]))
        '0xffffffff00000000'
        """
        return _moved(hashes, [(bit, BITS - 1 - place) for place, bit in enumerate(self._order())])

    def gathered(self, spread: Hashes) -> Hashes:
        """What `spread` was made from."""
        return _moved(spread, [(BITS - 1 - place, bit) for place, bit in enumerate(self._order())])

    def _order(self) -> list[int]:
        return [bit for block in self.blocks for bit in block]


def plan(hashes: Hashes, distance: int, reference: Hashes | None = None) -> Plan:
    """The plan expected to be cheapest of those that miss no pair of `hashes` within `distance` bits.

    With a `reference` the pairs are those of a hash and a reference hash.

    >>> hashes = np.random.default_rng(0).integers(0, 2**64, 20_000, dtype=np.uint64)
    >>> len(plan(hashes, 8).blocks), plan(hashes, 8).agree
    (10, 2)
    """
    sample = hashes[:: max(1, hashes.size // _SAMPLE)][:_SAMPLE]
    tells = information(sample)
    pairs = hashes.size**2 / 2 if reference is None else hashes.size * reference.size
    a_hash = _A_HASH if reference is None else _A_LOOK_UP
    best, least = Plan(dealt(tells, distance + 1), 1), float("inf")
    for agree in range(1, _MOST_AGREE + 1):
        count = comb(distance + agree, agree)
        sorting = count * (_A_COMBINATION + a_hash * hashes.size)
        if sorting > least:
            break  # more combinations cost more still
        each = Plan(dealt(tells, distance + agree), agree)
        candidates = count * _agreeing(each, sample) * pairs
        if sorting + _A_CANDIDATE * candidates < least:
            best, least = each, sorting + _A_CANDIDATE * candidates
    return best


def information(sample: Hashes) -> npt.NDArray[np.float64]:
    """How many bits of information two hashes agreeing on a bit is, for each bit: 1 for an even one, 0 for a fixed.

    `sample` holds hashes of one word, or rows of several.
    """
    places = np.arange(BITS, dtype=np.uint64)
    columns = sample.reshape(len(sample), -1).T
    one = np.array([((column >> place) & np.uint64(1)).mean() for column in columns for place in places])
    return -np.log2(one**2 + (1 - one) ** 2)


def dealt(tells: npt.NDArray[np.float64], blocks: int) -> tuple[tuple[int, ...], ...]:
    """The bits dealt to blocks of nearly equal information: the most telling first, each to the poorest block."""
    dealt: list[list[int]] = [[] for _ in range(blocks)]
    held = [0.0] * blocks
    for bit in np.argsort(-tells, kind="stable").tolist():
        poorest = min(range(blocks), key=lambda block: (held[block], len(dealt[block])))
        dealt[poorest].append(bit)
        held[poorest] += float(tells[bit])
    return tuple(tuple(block) for block in dealt)


def _agreeing(each: Plan, sample: Hashes) -> float:
    """The share of pairs in `sample` that agree on a combination of the plan, over some of its combinations."""
    if sample.size < 2:
        return 0.0
    every = list(each.combinations())
    tried = every[:: max(1, len(every) // _TRIED)]
    agreeing = 0
    for combination in tried:
        _, size = np.unique(sample & each.key(combination), return_counts=True)
        agreeing += int((size * (size - 1)).sum())
    return agreeing / len(tried) / (sample.size * (sample.size - 1))


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
        self._buffers = np.empty((2, min(_CHUNK, max(1, hashes.size))), np.uint64)

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
        for start in range(0, self.hashes.size, _CHUNK):
            chunk = self.hashes[start : start + _CHUNK]
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


def _moved(hashes: Hashes, bits: list[tuple[int, int]]) -> Hashes:
    """`hashes` with each bit moved from one place to another."""
    moved = np.zeros_like(hashes)
    for start in range(0, hashes.size, _CHUNK):
        chunk, out = hashes[start : start + _CHUNK], moved[start : start + _CHUNK]
        for origin, place in bits:
            out |= ((chunk >> np.uint64(origin)) & np.uint64(1)) << np.uint64(place)
    return moved


def _mask(low: int, width: int) -> np.uint64:
    return np.uint64(((1 << width) - 1) << low)
