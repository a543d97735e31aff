"""The samples of an epoch in their order: sources mixed, each in passes of its own."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from sluice.load.folder import PackFolder
from sluice.load.mixture import Mixture
from sluice.load.order import PassOrder
from sluice.load.philox import derive
from sluice.table.arrays import distinct_numbers

Numbers = npt.NDArray[np.int64]

_PASSES: Final = 4  # orders held: a stretch touches two passes of a source at most, unless it is tiny


@dataclass(frozen=True)
class Stretch:
    """Samples of an epoch: which source, which of its blocks, which place in that; and in which turn of the source."""

    sources: Numbers
    blocks: Numbers
    places: Numbers
    turns: Numbers

    def __len__(self) -> int:
        return len(self.sources)

    def take(self, at: Numbers | slice) -> Stretch:
        """Some of them, in that order."""
        return Stretch(self.sources[at], self.blocks[at], self.places[at], self.turns[at])


class Epoch:
    """One epoch of a mixture: a pure function of the folders, the mixture, the key and the epoch's number."""

    def __init__(self, folders: Sequence[PackFolder], mixture: Mixture, key: int, number: int, window: int) -> None:
        self._folders = folders
        self._mixture = mixture
        self.key = derive(key, number)
        self._window = window
        self._passes: OrderedDict[tuple[int, int], PassOrder] = OrderedDict()

    def __len__(self) -> int:
        return len(self._mixture)

    def locate(self, start: int, stop: int) -> Stretch:
        """The samples from `start` to before `stop`."""
        drawn = self._mixture.draw(start, stop)
        blocks = np.empty(stop - start, np.int64)
        places = np.empty(stop - start, np.int64)
        turns = np.empty(stop - start, np.int64)
        for source in distinct_numbers(drawn.sources).tolist():
            mine = np.flatnonzero(drawn.sources == source)
            counts = drawn.counts[mine]
            size = self._mixture.sizes[source]
            for turn in distinct_numbers(counts // size).tolist():
                here = mine[counts // size == turn]
                first = int(drawn.counts[here[0]]) - turn * size
                found = self._order(source, turn).locate(first, first + len(here))
                blocks[here], places[here], turns[here] = found.blocks, found.places, turn
        return Stretch(drawn.sources, blocks, places, turns)

    def _order(self, source: int, turn: int) -> PassOrder:
        name = source, turn
        if name not in self._passes:
            self._passes[name] = PassOrder(self._folders[source].sizes, derive(self.key, source, turn), self._window)
            if len(self._passes) > _PASSES * len(self._folders):
                self._passes.popitem(last=False)
        self._passes.move_to_end(name)
        return self._passes[name]
