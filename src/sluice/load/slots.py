"""Results of worker processes in shared memory: written there once, and read where they lie.

One file without a name holds slots of it. A slot is free again when nothing that was read from it is left, so an
array of a batch is good for as long as anybody has it.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import pickle
import tempfile
import weakref
from collections import deque
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

_ALIGNED: Final = 64  # bytes: where arrays begin
_LEAST: Final = 1 << 20  # bytes of a slot: pages that nobody writes take no memory


@dataclass(frozen=True)
class Slot:
    """Where a result may be written: so many bytes of the file from `start` on."""

    start: int
    size: int


@dataclass(frozen=True)
class Written:
    """Where a result lies in its slot: the pickle, and the buffers beside it, as (first byte, bytes)."""

    pickled: tuple[int, int]
    buffers: tuple[tuple[int, int], ...]

    @property
    def bytes(self) -> int:
        """How much of the slot it takes."""
        return sum(self.pickled)


Result: TypeAlias = Written | bytes  # bytes: a pickle that its slot had no room for


class Slots:
    """The reader's side: hands out slots, reads them, and has them back by itself."""

    def __init__(self) -> None:
        self.descriptor = _file_without_name()
        self._end = 0
        self._free: deque[tuple[Slot, mmap.mmap]] = deque()  # finalizers append to it, in whatever thread
        self._taken: dict[Slot, mmap.mmap] = {}

    def take(self, size: int) -> Slot:
        """A slot of `size` bytes at least; smaller ones that are free are done with."""
        size = max(_LEAST, 1 << (size - 1).bit_length())
        while self._free:
            slot, mapped = self._free.popleft()
            if slot.size >= size:
                self._taken[slot] = mapped
                return slot
            if hasattr(mmap, "MADV_REMOVE"):
                mapped.madvise(mmap.MADV_REMOVE)
        slot = Slot(self._end, size)
        self._end += size
        os.ftruncate(self.descriptor, self._end)
        self._taken[slot] = mmap.mmap(self.descriptor, slot.size, offset=slot.start)
        return slot

    def drop(self, slot: Slot) -> None:
        """Have a slot back that was not written, or whose result nobody wants."""
        if slot in self._taken:
            self._free.append((slot, self._taken.pop(slot)))

    def read(self, slot: Slot, result: Result) -> Any:
        """What was written there; the slot comes back when nothing of it is left."""
        if isinstance(result, bytes):
            self.drop(slot)
            return pickle.loads(result)
        mapped = self._taken.pop(slot)
        root = (ctypes.c_ubyte * slot.size).from_buffer(mapped)
        weakref.finalize(root, self._free.append, (slot, mapped)).atexit = False
        view = memoryview(root).cast("B")
        start, size = result.pickled
        return pickle.loads(view[start : start + size], buffers=[view[at : at + size] for at, size in result.buffers])

    def close(self) -> None:
        """Let go of the file; what was read stays good."""
        os.close(self.descriptor)
        self._taken.clear()


class SlotWriter:
    """The writer's side, in another process: `descriptor` is the file that it inherited."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._mapped: dict[Slot, mmap.mmap] = {}

    def write(self, slot: Slot, value: Any) -> Result:
        """Write `value` there, arrays as they are; as a pickle to be sent otherwise where it has no room."""
        buffers: list[pickle.PickleBuffer] = []
        pickled = pickle.dumps(value, 5, buffer_callback=buffers.append)
        raws = [buffer.raw() for buffer in buffers]
        places: list[tuple[int, int]] = []
        end = 0
        for raw in raws:
            places.append((end, raw.nbytes))
            end += raw.nbytes + -raw.nbytes % _ALIGNED
        if end + len(pickled) > slot.size:
            return pickle.dumps(value, 5)
        mapped = self._map(slot)
        for raw, (at, size) in zip(raws, places, strict=True):
            mapped[at : at + size] = raw
        mapped[end : end + len(pickled)] = pickled
        return Written((end, len(pickled)), tuple(places))

    def _map(self, slot: Slot) -> mmap.mmap:
        if slot not in self._mapped:
            for other in [one for one in self._mapped if one.size < slot.size]:  # no more will be asked of those
                self._mapped.pop(other).close()
            self._mapped[slot] = mmap.mmap(self._descriptor, slot.size, offset=slot.start)
        return self._mapped[slot]


def _file_without_name() -> int:
    if hasattr(os, "memfd_create"):  # no limit of /dev/shm, 64 MB in a container, holds for it
        return os.memfd_create("sluice-load")
    with tempfile.TemporaryFile(prefix="sluice-load-") as file:
        return os.dup(file.fileno())
