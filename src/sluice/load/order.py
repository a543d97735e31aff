"""The order of one pass over a pack: blocks are permuted, read in windows, and shuffled within the window.

A block is what is read as a whole: a shard of a tar, a row group of a Parquet file. Only the blocks are held, never
the samples: an order of 10^8 samples is a few kilobytes and the permutation of the window at hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from sluice.load.philox import derive, permutation

Places = npt.NDArray[np.int64]

_BLOCKS: Final = 0
_WINDOWS: Final = 1


@dataclass(frozen=True)
class Located:
    """Where samples lie: the block of each, and its place in the block."""

    blocks: Places
    places: Places

    def __len__(self) -> int:
        return len(self.blocks)


class PassOrder:
    """One pass: every sample once.

    `sizes` are the samples of each block, `window` how many samples are shuffled together: whole blocks, so some
    more or fewer; 0 keeps the order as it lies.

    >>> order = PassOrder(np.array([3, 3, 3]), key=5, window=6)
    >>> found = order.locate(0, 9)
    >>> sorted(zip(found.blocks.tolist(), found.places.tolist()))[:4]
    [(0, 0), (0, 1), (0, 2), (1, 0)]
    """

    def __init__(self, sizes: Places, key: int, window: int) -> None:
        self.key, self._shuffled = key, window > 0
        count = len(sizes)
        self.blocks = permutation(derive(key, _BLOCKS), count) if self._shuffled else np.arange(count, dtype=np.int64)
        self._starts = np.concatenate([[0], np.cumsum(sizes[self.blocks], dtype=np.int64)])
        # A block belongs to the window in which it starts: windows are whole blocks, known without any search.
        numbers = self._starts[:-1] // max(window, 1) if self._shuffled else np.arange(count, dtype=np.int64)
        self._first_blocks = np.concatenate([np.flatnonzero(np.diff(numbers, prepend=-1)), [count]]).astype(np.int64)
        self._window_starts = self._starts[self._first_blocks]
        self._held: tuple[int, Places] = (-1, np.empty(0, np.int64))

    def __len__(self) -> int:
        return int(self._starts[-1])

    def locate(self, start: int, stop: int) -> Located:
        """The samples at the positions from `start` to before `stop` of the pass."""
        if not 0 <= start <= stop <= len(self):
            raise IndexError(f"positions {start} to {stop} of a pass of {len(self)}")
        parts: list[Places] = []
        window = self._window_of(start)
        while start < stop:
            begin, end = int(self._window_starts[window]), int(self._window_starts[window + 1])
            upto = min(stop, end)
            parts.append(begin + self._shuffle(window, end - begin)[start - begin : upto - begin])
            start, window = upto, window + 1
        positions = np.concatenate(parts) if parts else np.empty(0, np.int64)
        rank = np.searchsorted(self._starts, positions, side="right") - 1
        return Located(self.blocks[rank], positions - self._starts[rank])

    def blocks_of(self, position: int) -> Places:
        """The blocks of the window that holds `position`: what a reader needs at hand, and may fetch ahead."""
        window = self._window_of(position)
        return self.blocks[self._first_blocks[window] : self._first_blocks[window + 1]]

    def _window_of(self, position: int) -> int:
        return int(np.searchsorted(self._window_starts, position, side="right")) - 1

    def _shuffle(self, window: int, size: int) -> Places:
        if not self._shuffled:
            return np.arange(size, dtype=np.int64)
        if self._held[0] != window:
            self._held = (window, permutation(derive(self.key, _WINDOWS, window), size))
        return self._held[1]
