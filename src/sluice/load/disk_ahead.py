"""Tars on a disk read before they are needed: front to back by the system, not as a window's samples are shuffled.

Nothing but the page cache holds what was read, so it is a hint: half as much again from a cold disk, nothing from a
warm one.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

from sluice.load.cache import Needs, NoRoomError
from sluice.load.folder import TARS, PackFolder
from sluice.load.store import LocalStore, StoppedError

_PIECE: Final = 2**21  # bytes a call: more than that the system may cut off
_SHARE: Final = 4  # of the memory of the machine, one part in so many may be read ahead


class DiskAhead:
    """The tars of a folder, each read ahead once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._begun: set[str] = set()
        self._held: deque[tuple[str, int]] = deque()  # what is not read yet, and its bytes, in the order of its need
        self._bytes = 0  # of them
        self._lock = threading.Lock()
        self._most = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // _SHARE

    @staticmethod
    def of(folder: PackFolder) -> DiskAhead | None:
        """For a pack of tars on a disk, where the system takes such hints (macOS does not)."""
        store = folder.store
        if folder.format in TARS and isinstance(store, LocalStore) and hasattr(os, "posix_fadvise"):
            return DiskAhead(Path(store.address))
        return None

    def cached_as(self, name: str) -> str:
        """What a tar is called among all that are looked ahead at."""
        return str(self._folder / name)

    def fetch_ahead(self, name: str, needs: Needs, stopped: Callable[[], bool]) -> None:
        """Have a tar read; NoRoomError where what is needed sooner would have to leave memory for it."""
        path = self.cached_as(name)
        if path in self._begun or "://" in name:  # an index may name tars that lie elsewhere
            return
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            size = os.fstat(descriptor).st_size
            self._make_room(path, size, needs)
            for at in range(0, size, _PIECE):
                if stopped():
                    raise StoppedError
                os.posix_fadvise(descriptor, at, _PIECE, os.POSIX_FADV_WILLNEED)
        finally:
            os.close(descriptor)

    def _make_room(self, path: str, size: int, needs: Needs) -> None:
        with self._lock:
            while self._held and self._held[0][0] not in needs:
                self._bytes -= self._held.popleft()[1]
            if self._bytes + size > self._most:
                raise NoRoomError
            self._begun.add(path)
            self._held.append((path, size))
            self._bytes += size
