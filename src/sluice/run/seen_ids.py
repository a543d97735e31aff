"""Which ids a run has seen already: 16 bytes each, where a set of Python's own would take a hundred."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

_FRESH: Final = 8_192  # ids that are held as Python's own objects: a megabyte


class SeenIds:
    """Digests of 16 bytes: the latest a set, those before them sorted runs, each twice as long as the next or longer.

    >>> seen = SeenIds()
    >>> seen.add(b"0123456789abcdef"), seen.add(b"0123456789abcdef")
    (True, False)
    """

    def __init__(self, fresh: int = _FRESH) -> None:
        self._limit = fresh
        self._fresh: set[bytes] = set()
        self._runs: list[npt.NDArray[Any]] = []

    def add(self, digest: bytes) -> bool:
        """Take in a digest that is not `among` the earlier ones; False where it was added since."""
        if digest in self._fresh:
            return False
        self._fresh.add(digest)
        return True

    def among(self, digests: Sequence[bytes]) -> list[bool]:
        """Which of some digests were added before this call."""
        wanted = np.array(digests, "S16")
        found = np.fromiter((digest in self._fresh for digest in digests), np.bool_, len(digests))
        for run in self._runs:
            place = np.minimum(np.searchsorted(run, wanted), len(run) - 1)
            found |= run[place] == wanted
        return found.tolist()

    def settle(self) -> None:
        """Move the latest out of the set once they are many; what `among` said before no longer goes with `add`."""
        if len(self._fresh) < self._limit:
            return
        run = np.array(list(self._fresh), "S16")
        run.sort()
        self._fresh.clear()
        while self._runs and len(self._runs[-1]) < 2 * len(run):
            run = np.concatenate([self._runs.pop(), run])
            run.sort(kind="stable")  # which takes two sorted halves as they are
        self._runs.append(run)
