"""What a worker has finished of its task, for the next process to take over should this one die.

A file without a name that a slot of the pool and the worker in it hold open: it goes when they go, whatever they die
of. A record is one write, with its length and checksum before it, so that one cut off by a death is told from a whole
one. Each holds the pieces of some seconds: a unit that takes no longer is not written at all, and what it has to
write costs a slow one little (0.2% at the most; piece by piece it was 0.9% of measuring small images).
"""

from __future__ import annotations

import os
import pickle
import struct
import time
import zlib
from typing import Any, Final

_HEAD: Final = struct.Struct("<QI")  # bytes of the record's pieces, their CRC-32
_EVERY: Final = 5.0  # seconds of work that a first death may cost


class Spool:
    """The pieces in the open file `descriptor`, oldest first."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._end = 0  # where the next record goes
        self._full = False  # the disk is: no more is kept
        self._every = _EVERY
        self._waiting: list[Any] = []
        self._written = time.monotonic()

    def read(self, *, every: float = _EVERY) -> list[Any]:
        """The pieces of all whole records. What stands after them is cut off, and records are added there.

        From here on pieces are written after `every` seconds, in one record; 0: each at once.
        """
        data = memoryview(os.pread(self.descriptor, os.fstat(self.descriptor).st_size, 0))
        pieces: list[Any] = []
        end = 0
        while len(data) - end >= _HEAD.size:
            size, checksum = _HEAD.unpack_from(data, end)
            body = data[end + _HEAD.size :][:size]
            if len(body) < size or zlib.crc32(body) != checksum:
                break
            pieces += pickle.loads(body)
            end += _HEAD.size + size
        os.ftruncate(self.descriptor, end)
        self._end, self._full, self._every = end, False, every
        self._waiting, self._written = [], time.monotonic()
        return pieces

    def add(self, piece: Any) -> None:
        """Keep `piece`, which must not change any more."""
        if self._full:
            return
        self._waiting.append(piece)
        if time.monotonic() - self._written >= self._every:
            self._write()

    def _write(self) -> None:
        """Write what waits. Where the disk has no room, the next try has more to do again: slower, and as right."""
        body = pickle.dumps(self._waiting, pickle.HIGHEST_PROTOCOL)
        record = _HEAD.pack(len(body), zlib.crc32(body)) + body
        try:
            written = os.pwrite(self.descriptor, record, self._end)
        except OSError:
            written = 0
        self._full = written < len(record)
        self._end += written
        self._waiting, self._written = [], time.monotonic()

    def clear(self) -> None:
        """Forget all pieces."""
        os.ftruncate(self.descriptor, 0)
        self.read()
