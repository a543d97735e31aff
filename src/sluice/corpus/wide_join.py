"""The join of hashes of several words in plain NumPy: without native kernels, and what those are held against.

As `sorted_join`, for each combination of blocks those hashes are compared that agree on it; but hashes stay where they
are and their places are sorted. It is exact, and slow: the native kernels are meant for more than some 10^5 hashes.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Final

import numpy as np
import numpy.typing as npt

from sluice.corpus.blocks import Hashes, dealt, information

Indices = npt.NDArray[np.int64]
Take = Callable[[Indices, Indices, npt.NDArray[np.uint16]], None]

_CHUNK: Final = 65_536  # places
_TWO: Final = 200_000  # hashes from which two blocks must agree instead of one


def wide_join(hashes: Hashes, reference: Hashes | None, k: int, take: Take) -> None:
    """Give `take` the places of all pairs within `k` bits of `hashes`, or of one and one of `reference`, once each."""
    larger = hashes if reference is None or len(reference) < len(hashes) else reference
    agree = 2 if len(larger) > _TWO and k + 2 <= 64 * hashes.shape[1] else 1
    blocks = [_mask(block, hashes.shape[1]) for block in dealt(information(larger), k + agree)]
    for combination in combinations(range(len(blocks)), agree):
        key = np.bitwise_or.reduce([blocks[block] for block in combination])
        lower = [blocks[block] for block in range(combination[-1]) if block not in combination]
        others = hashes if reference is None else reference
        code, other_code = _codes(hashes, others, key)
        order = np.argsort(other_code, kind="stable")
        ordered = other_code[order]
        ends = np.searchsorted(ordered, code, side="right")
        if reference is None:
            starts = np.empty(len(hashes), np.int64)
            starts[order] = np.arange(1, len(hashes) + 1)  # each with those after it in its run
        else:
            starts = np.searchsorted(ordered, code)
        for chunk in range(0, len(hashes), _CHUNK):
            row = np.arange(chunk, min(chunk + _CHUNK, len(hashes)))
            place, end = starts[row], ends[row]
            while (alive := place < end).any():
                row, place, end = row[alive], place[alive], end[alive]
                unlike = hashes[row] ^ others[order[place]]
                bits = np.bitwise_count(unlike).sum(axis=1, dtype=np.uint16)
                new = bits <= k
                for mask in lower:
                    new[new] = (unlike[new] & mask).any(axis=1)
                if new.any():
                    take(row[new], order[place[new]], bits[new])
                place = place + 1


def _mask(block: tuple[int, ...], words: int) -> Hashes:
    bits = sum(1 << bit for bit in block)
    return np.array([bits >> 64 * word & (2**64 - 1) for word in range(words)], np.uint64)


def _codes(hashes: Hashes, others: Hashes, key: Hashes) -> tuple[Indices, Indices]:
    """A number for each hash and each other one, equal where they agree on `key`."""
    together = hashes & key if others is hashes else np.concatenate([hashes & key, others & key])
    order = np.lexsort(together.T)
    new = np.zeros(len(together), np.int64)
    new[order[1:]] = (together[order[1:]] != together[order[:-1]]).any(axis=1)
    code = np.empty(len(together), np.int64)
    code[order] = np.cumsum(new[order])
    return (code, code) if others is hashes else (code[: len(hashes)], code[len(hashes) :])
