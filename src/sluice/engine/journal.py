"""Where a worker notes which positions it has in hand, readable after its death: 24 bytes of shared memory.

A worker may be killed, or read, between two fields of a note. Each is written at once, and they are written in such an
order, the first position last, and read in the other, that what is read is then idle, the note before, or the two
joined; never a time before the position's. (`struct.pack_into` would clear all fields first: read then, a worker would
have had the first position in hand since the machine was started.)
"""

from __future__ import annotations

import math
import mmap
import struct
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_IDLE: Final = (math.inf, -1, -1)  # since when: never overdue; high, low
_ENTRY: Final = struct.Struct("dqq")


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
        self._since = memoryview(self._map)[:8].cast("d")
        self._places = memoryview(self._map)[8:].cast("q")  # high, low

    def mark(self, low: int, high: int | None = None) -> None:
        """Note that position `low` (or `low` to `high`, half-open) is in hand from now on."""
        self._write(time.monotonic(), low + 1 if high is None else high, low)

    def clear(self) -> None:
        """Note that nothing is in hand."""
        self._write(*_IDLE)

    def read(self) -> Entry:
        """What is in hand, as last noted."""
        low = self._places[1]
        high = self._places[0]
        since = self._since[0]
        return Entry(low, high if low < 0 else max(high, low + 1), since)

    def close(self) -> None:
        """Unmap and remove the file."""
        self._since.release()
        self._places.release()
        self._map.close()
        self.path.unlink(missing_ok=True)

    def _write(self, since: float, high: int, low: int) -> None:
        self._since[0] = since
        self._places[0] = high
        self._places[1] = low
