"""Where a worker notes which positions it has in hand, readable after its death: 24 bytes of shared memory.

A worker may be killed, or read, between two fields of a note. They are written in such an order, the first position
last, that what is read is then idle, the note before, or the two joined; never a time that is not the position's.
"""

from __future__ import annotations

import math
import mmap
import struct
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_ENTRY: Final = struct.Struct("dqq")  # since, high, low
_IDLE: Final = (math.inf, -1, -1)  # since when: never overdue


@dataclass(frozen=True)
class Entry:
    """Positions `low` to `high` (half-open) in hand since `since` (monotonic seconds); low < 0: none."""

    low: int
    high: int
    since: float


class Journal:
    """A file mapped by the worker and its supervisor; the worker writes, the supervisor reads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            path.write_bytes(_ENTRY.pack(*_IDLE))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _ENTRY.size)

    def mark(self, low: int, high: int | None = None) -> None:
        """Note that position `low` (or `low` to `high`, half-open) is in hand from now on."""
        _ENTRY.pack_into(self._map, 0, time.monotonic(), low + 1 if high is None else high, low)

    def clear(self) -> None:
        """Note that nothing is in hand."""
        _ENTRY.pack_into(self._map, 0, *_IDLE)

    def read(self) -> Entry:
        """What is in hand, as last noted."""
        since, high, low = _ENTRY.unpack_from(self._map, 0)
        return Entry(low, high if low < 0 else max(high, low + 1), since)

    def close(self) -> None:
        """Unmap and remove the file."""
        self._map.close()
        self.path.unlink(missing_ok=True)
