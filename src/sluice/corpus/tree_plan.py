"""How hashes are cut into blocks for the native join (`native/hamming.c`): the plan expected to take least time.

As in `blocks`, two hashes within k bits agree on at least b - k of any b blocks. The native join walks a tree of such
choices and compares a bucket as soon as that costs less than to part it once more; `tree_plan` reckons with the same
decisions, so more blocks are taken when there are more hashes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from sluice.corpus.blocks import Hashes, dealt, information

WORD: Final = 64  # bits
MOST_AGREE: Final = 6  # blocks; more never paid
_WIDEST: Final = 56  # bits of a block that are looked at: what can be read at any place in one go
_DIGIT: Final = 10  # bits by which hashes are parted at a time, at most
_SAMPLE: Final = 8_192  # hashes
# Nanoseconds on one core for hashes of one word, as in native/hamming.c:
_A_MOVE: Final = 2.5
_A_BUCKET: Final = 5.0
_A_PAIR: Final = 0.5
_A_PAIR_WIDE: Final = 0.125  # with 512-bit registers


@dataclass(frozen=True)
class TreePlan:
    """Blocks, as the bits (0 is the lowest of the first word) each is made of, of which `agree` must be equal."""

    blocks: tuple[tuple[int, ...], ...]
    agree: int
    words: int
    nanoseconds: tuple[float, ...]  # expected of one core, by the block that a pair agrees on first

    @property
    def starts(self) -> range:
        """The blocks that can be the first one in common."""
        return range(len(self.blocks) - self.agree + 1)

    def order(self) -> npt.NDArray[np.uint32]:
        """Which bit goes to each place, so that a block's bits lie side by side."""
        inside = [bit for block in self.blocks for bit in block]
        outside = sorted(set(range(self.words * WORD)) - set(inside))
        return np.array(inside + outside, np.uint32)

    def places(self) -> list[tuple[int, int, int, int]]:
        """Of each block where it then stands: byte, bits above the byte's lowest, width, and bits of a digit."""
        places: list[tuple[int, int, int, int]] = []
        start = 0
        for block in self.blocks:
            offset = min(start // 8, 8 * self.words - 8)
            places.append((offset, start - 8 * offset, len(block), _digit(len(block))))
            start += len(block)
        return places


def tree_plan(hashes: Hashes, distance: int, reference: Hashes | None = None, *, wide: bool = True) -> TreePlan:
    """The cheapest plan that misses no pair of `hashes` (rows of words) within `distance`, or of one and a `reference`.

    >>> hashes = np.random.default_rng(0).integers(0, 2**64, (20_000, 1), dtype=np.uint64)
    >>> plan = tree_plan(hashes, 8)
    >>> len(plan.blocks) - plan.agree == 8
    True
    """
    larger = hashes if reference is None or len(reference) < len(hashes) else reference
    tells = information(larger[:: max(1, len(larger) // _SAMPLE)][:_SAMPLE])
    sizes = (len(hashes), len(hashes)) if reference is None else (len(hashes), len(reference))
    words = hashes.shape[1]
    best: TreePlan | None = None
    for agree in range(1, min(MOST_AGREE, words * WORD - distance) + 1):
        blocks = tuple(block[:_WIDEST] for block in dealt(tells, distance + agree))
        telling = float(np.mean([tells[list(block)].sum() for block in blocks]))
        costs = _costs(blocks, agree, telling, sizes, reference is None, words, wide)
        if best is None or sum(costs) < sum(best.nanoseconds):
            best = TreePlan(blocks, agree, words, costs)
    if best is None:
        raise ValueError(f"{words * WORD} bits cannot be told apart at a distance of {distance}")
    return best


def _costs(
    blocks: tuple[tuple[int, ...], ...],
    agree: int,
    telling: float,
    sizes: tuple[int, int],
    alone: bool,
    words: int,
    wide: bool,
) -> tuple[float, ...]:
    """Nanoseconds, by first block in common, if every block is as `telling` (bits of information) as the average."""
    b, width = len(blocks), round(float(np.mean([len(block) for block in blocks])))
    a_pair = (_A_PAIR_WIDE if wide else _A_PAIR) * (1 if words == 1 else (words + 1) // 2 + 0.5)
    a_move = _A_MOVE * (1 if words == 1 else 1 + words / 2)
    rounds, shrink = -(-width // _DIGIT), 2.0**telling

    def parted(level: int) -> tuple[float, float]:
        """Hashes in a node, pairs among them."""
        a, b = sizes[0] / shrink**level, sizes[1] / shrink**level
        return (a, a * a / 2) if alone else (a + b, a * b)

    def parting(level: int) -> float:
        hashes, _ = parted(level)
        return rounds * a_move * hashes + _A_BUCKET * min(2.0**width, 2.0 ** _digit(width) + hashes)

    @cache
    def node(level: int, following: int) -> float:
        hashes, pairs = parted(level)
        compared = a_pair * max(pairs, hashes)
        if level == agree:
            return compared
        last = b - (agree - level)
        choices = last - following + 1
        if compared <= choices * parting(level):
            return compared
        return min(
            compared,
            sum(parting(level) + shrink * node(level + 1, block + 1) for block in range(following, last + 1)),
        )

    return tuple(2 * parting(0) + shrink * node(1, block + 1) for block in range(b - agree + 1))


def _digit(width: int) -> int:
    """Bits by which a block of `width` is parted at a time."""
    return -(-width // -(-width // _DIGIT))
