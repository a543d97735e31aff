"""Shards brought before they are needed: in the order of the epoch, by a few threads, from stores and from disks.

What is looked ahead at are two windows: the one that is read and the next. A shard is brought only where there is room
without those that are needed sooner, so the next window never takes the place of this one.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import numpy as np

from sluice.errors import SluiceError
from sluice.load.cache import Needs, NoRoomError
from sluice.load.disk_ahead import DiskAhead
from sluice.load.epoch import Epoch, Stretch
from sluice.load.folder import PackFolder
from sluice.load.store import RemoteStore, StoppedError

_LEAST: Final = 8_192  # samples looked ahead at where windows are tiny
_WINDOWS: Final = 2
_AGAIN: Final = 4  # times a window that it is looked ahead anew
_BLOCK_BITS: Final = 40  # of a number that holds a source and a block of it


@dataclass(frozen=True)
class _Wanted:
    store: RemoteStore | DiskAhead
    shard: str
    needs: Needs  # of all that is looked ahead at


class Downloads:
    """Brings what the samples from `reached` on need, until it is closed. `epoch_of` gives the epochs by number.

    `disks`: tars on this machine are read ahead, too, from the first batch on, which would have to wait for them.
    """

    def __init__(
        self,
        folders: Sequence[PackFolder],
        epoch_of: Callable[[int], Epoch],
        number: int,
        window: int,
        threads: int,
        *,
        disks: bool = False,
    ) -> None:
        self._stores = [_brought_from(folder, disks=disks) for folder in folders]
        self._folders = folders
        self._epoch_of, self._number = epoch_of, number
        self._epochs: list[Epoch] = []
        self._window = max(window, _LEAST)
        self._waiting: deque[_Wanted] = deque()
        self._position, self._look_at = -1, 0
        self._changed = threading.Condition()
        self._busy = 0  # threads that are bringing something
        self._brought = 0  # shards so far
        self._blocked = False  # until one of them is done
        self._closed = False
        self._threads = 0
        if any(isinstance(store, RemoteStore) for store in self._stores):
            self._start(threads)
        self._of_disks = min(1, threads) if any(self._stores) else 0  # one thread: a disk is read front to back

    def first_is_served(self) -> None:
        """Nobody waits for a first batch any more."""
        if not self._threads:
            self._start(self._of_disks)

    def _start(self, threads: int) -> None:
        self._threads = threads
        for _ in range(threads):
            threading.Thread(target=self._work, name="sluice-ahead", daemon=True).start()

    def reached(self, position: int) -> None:
        """The samples of the epoch from `position` on are needed next."""
        self._position = position
        if position >= self._look_at:
            with self._changed:
                self._changed.notify_all()

    def close(self) -> None:
        """Bring nothing more; what is on its way is given up on."""
        self._closed = True
        with self._changed:
            self._changed.notify_all()

    def _work(self) -> None:
        while (wanted := self._next()) is not None:
            fits, brought = True, self._brought
            try:
                wanted.store.fetch_ahead(wanted.shard, wanted.needs, lambda: self._closed)
            except NoRoomError:
                fits = False
            except (StoppedError, SluiceError, OSError):
                pass  # who reads it meets that again, and says it
            finally:
                self._done(wanted, fits, brought)

    def _next(self) -> _Wanted | None:
        """What to bring next; waits until there is something, None once closed."""
        with self._changed:
            while not self._closed:
                if self._look_at <= self._position:
                    self._look_at = self._position + max(1, self._window // _AGAIN)
                    self._waiting.clear()
                    self._blocked = False
                    with suppress(SluiceError, OSError):
                        self._waiting.extend(self._wanted(self._position))
                if self._waiting and not self._blocked:
                    self._busy += 1
                    return self._waiting.popleft()
                self._changed.wait()
            return None

    def _done(self, wanted: _Wanted, fits: bool, brought: int) -> None:
        """Go on with the next; where it did not fit with the same, or not at all until reading has gone on.

        What others bring meanwhile may have to go for it, but not before it is there.
        """
        with self._changed:
            self._busy -= 1
            self._brought += fits
            self._blocked = not fits and self._busy > 0
            if not fits and (self._busy or self._brought > brought):
                self._waiting.appendleft(wanted)
            elif not fits:
                self._waiting.clear()
            self._changed.notify_all()

    def _wanted(self, position: int) -> list[_Wanted]:
        """The shards of the samples from `position` on, into the next epoch, in the order of their first need."""
        wanted: list[_Wanted] = []
        needs: dict[str, int] = {}
        left = _WINDOWS * self._window
        for epoch in self._next_epochs():
            stop = min(position + left, len(epoch))
            if position >= stop:
                break
            for source, block in _first_needs(epoch.locate(position, stop)):
                store, shard = self._stores[source], self._folders[source].blocks[block].shard
                if store is not None and store.cached_as(shard) not in needs:
                    needs[store.cached_as(shard)] = len(wanted)
                    wanted.append(_Wanted(store, shard, needs))
            left -= stop - position
            position = 0
        return wanted

    def _next_epochs(self) -> list[Epoch]:
        """The epoch at hand and the one after; of our own, since an epoch is not for several threads."""
        if not self._epochs:
            self._epochs = [self._epoch_of(self._number), self._epoch_of(self._number + 1)]
        return self._epochs


def _brought_from(folder: PackFolder, *, disks: bool) -> RemoteStore | DiskAhead | None:
    if isinstance(folder.store, RemoteStore):
        return folder.store
    return DiskAhead.of(folder) if disks else None


def _first_needs(samples: Stretch) -> list[tuple[int, int]]:
    """Source and block of samples, each pair once, where it comes first."""
    _, first = np.unique((samples.sources << _BLOCK_BITS) + samples.blocks, return_index=True)
    found = samples.take(np.sort(first))
    return list(zip(found.sources.tolist(), found.blocks.tolist(), strict=True))
