"""Samples read and decoded in processes of their own: one that dies or hangs costs the sample it had in hand.

The workers are the engine's: each journals which sample it has in hand. After two deaths at the same one (three by
SIGKILL, which may be somebody else's) it is bad, and is replaced as any bad sample is. Results come back through
shared memory. The decoder is pickled; one of the script itself needs the script's `if __name__ == "__main__":`.
"""

from __future__ import annotations

import os
import pickle
import tempfile
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from multiprocessing import spawn
from multiprocessing.connection import Pipe, wait
from pathlib import Path
from typing import Any, Final

from sluice.engine.base import Task, WorkerContext
from sluice.engine.slot import WorkerSlot
from sluice.engine.trials import WorkerTrial
from sluice.engine.worker import Setup
from sluice.errors import FailureClass, RecipeError, RunError, SampleFailure
from sluice.load.fetching import Decode, Fetcher, Place, Served
from sluice.load.folder import PackFolder
from sluice.load.reading import Sample
from sluice.load.slots import Result, Slot, Slots, SlotWriter

_TICK: Final = 0.2  # seconds between two looks for samples that take too long
_ROOM: Final = 256 * 2**10  # bytes of a result's slot for each sample, until larger ones were seen
_SOURCES: Final = 2**44  # samples of a source at most: a sample's number is its row of the manifest and its source

_preparing = False  # this process is a worker that imports the user's script


@dataclass
class _Asked:
    places: Sequence[Place]
    future: Future[list[Served]]


class Processes:
    """`count` worker processes that fetch samples; a thread of this process looks after them.

    A sample that takes longer than `seconds` is bad.
    """

    def __init__(self, count: int, folders: Sequence[PackFolder], decode: Decode | None, seconds: float) -> None:
        if _preparing:
            raise RecipeError(
                "a loader with processes was made while a worker of it imported this script: "
                'put what the script does under `if __name__ == "__main__":`'
            )
        self._owner = os.getpid()
        self._slots = Slots()
        work = Work(self._slots.descriptor, *_pickled(list(folders), decode))
        self._setup = Setup("sluice.load.processes:serve", work, memory=None, gives_back=False)
        self._seconds = seconds
        self._room = _ROOM
        self._asked: deque[_Asked] = deque()
        # What a death taught holds for every later task: a bad sample kills once, not in each epoch.
        self._poison: dict[int, tuple[FailureClass, str]] = {}
        self._strikes: dict[int, int] = {}
        self._closed = False
        self._lock = threading.RLock()
        self._failed: Exception = RunError("the loader was closed")
        self._bell, self._ring = Pipe(duplex=False)
        self._thread = threading.Thread(target=self._run, args=(count,), name="sluice-load-processes", daemon=True)
        self._thread.start()

    def submit(self, places: Sequence[Place]) -> Future[list[Served]]:
        """Have samples fetched, in one process and in this order."""
        future: Future[list[Served]] = Future()
        with self._lock:
            if self._closed:
                raise self._failed
            self._asked.append(_Asked(places, future))
            self._ring.send_bytes(b"")
        return future

    def close(self) -> None:
        """End the processes, whatever they have in hand."""
        if os.getpid() != self._owner:  # a forked child's copy ends nothing
            return
        with self._lock:
            self._closed = True
            self._ring.send_bytes(b"")
        if threading.current_thread() is not self._thread:  # a collection of garbage may call this from anywhere
            self._thread.join()

    def _run(self, count: int) -> None:
        """Start the workers here, for they die with the thread that started them."""
        workers: list[WorkerSlot] = []
        hands: dict[WorkerSlot, tuple[_Asked, Slot]] = {}
        with tempfile.TemporaryDirectory(prefix="sluice-journal-") as journals:
            try:
                for number in range(count):
                    workers.append(WorkerSlot(Path(journals) / str(number), (self._slots.descriptor,)))
                    workers[-1].set_up(self._setup)
                self._supervise(workers, hands)
            except Exception as error:  # whoever waits must hear of it
                self._failed = error
            finally:
                with self._lock:
                    self._closed = True
                for worker in workers:
                    worker.kill()
                    worker.close()
                left = [asked for asked, _ in hands.values()]
                while asked := self._next():
                    left.append(asked)
                for asked in left:
                    asked.future.set_exception(self._failed)
                self._slots.close()

    def _supervise(self, workers: list[WorkerSlot], hands: dict[WorkerSlot, tuple[_Asked, Slot]]) -> None:
        while not self._closed:
            for worker in workers:
                if worker not in hands and (asked := self._next()):
                    slot = self._slots.take(self._room * len(asked.places))
                    hands[worker] = asked, slot
                    task = Task(0, (slot, asked.places))
                    worker.give(WorkerTrial(task, poison=self._poison, strikes=self._strikes))
            ready = set(wait([self._bell, *(worker.connection for worker in hands)], _TICK if hands else None))
            if self._bell in ready:
                self._bell.recv_bytes()
            for worker in list(hands):
                self._look_at(worker, hands, ready=worker.connection in ready)

    def _look_at(self, worker: WorkerSlot, hands: dict[WorkerSlot, tuple[_Asked, Slot]], *, ready: bool) -> None:
        """Take what a worker has done, or have its task done again where it died or hangs."""
        asked, slot = hands[worker]
        try:
            outcome = worker.look(ready=ready, seconds=self._seconds)
            if outcome is None:
                return
            served = self._read(slot, outcome.result, len(asked.places))
        except Exception as error:  # of the decoder, or too many deaths: the loader raises it
            worker.trial = None
            del hands[worker]
            self._slots.drop(slot)
            asked.future.set_exception(error)
            return
        del hands[worker]
        asked.future.set_result(served)

    def _read(self, slot: Slot, result: Result, samples: int) -> list[Served]:
        size = len(result) if isinstance(result, bytes) else result.bytes
        self._room = max(self._room, size // max(1, samples) * 5 // 4)
        return self._slots.read(slot, result)

    def _next(self) -> _Asked | None:
        while self._asked:
            asked = self._asked.popleft()
            if asked.future.set_running_or_notify_cancel():
                return asked
        return None


@dataclass
class Work:
    """What a worker needs: the packs and the decoder, pickled, and the script that the decoder is of."""

    descriptor: int
    pickled: bytes
    script: dict[str, Any]
    _held: tuple[_WatchedFetcher, SlotWriter] | None = field(default=None, repr=False)

    def ready(self) -> tuple[_WatchedFetcher, SlotWriter]:
        """The fetcher and the writer of this process, made when they are first asked for."""
        global _preparing
        if self._held is None:
            try:
                _preparing = True
                if self.script:
                    spawn.prepare(self.script)
                folders, decode = pickle.loads(self.pickled)
            except (AttributeError, ImportError) as error:
                raise RecipeError(f"a worker process cannot import `decode` ({error}): put it in a module") from error
            finally:
                _preparing = False
            self._held = _WatchedFetcher(folders, decode), SlotWriter(self.descriptor)
        return self._held


def serve(work: Work, payload: tuple[Slot, Sequence[Place]], context: WorkerContext) -> Result:
    """In a worker: the samples of `payload`, written to its slot."""
    fetcher, writer = work.ready()
    slot, places = payload
    fetcher.context = context
    served = fetcher.fetch_all(places)
    context.journal.clear()
    return writer.write(slot, served)


class _WatchedFetcher(Fetcher):
    """Notes which sample is in hand, and leaves out those that killed workers."""

    context: WorkerContext

    def read_ahead(self, places: Sequence[Place]) -> list[Sample | None]:
        """None: where reading hangs, it must be known at which sample."""
        return [None] * len(places)

    def begin(self, source: int, row: int) -> None:
        """Note the sample; SampleFailure where it is known to kill."""
        number = source * _SOURCES + row
        if number in self.context.poison:
            raise SampleFailure(*self.context.poison[number])
        self.context.journal.mark(number)


def _pickled(folders: list[PackFolder], decode: Decode | None) -> tuple[bytes, dict[str, Any]]:
    """The packs and the decoder for another process, and which script that process must import before."""
    try:
        of_decode = pickle.dumps(decode)
    except Exception as error:  # whatever a user's object raises when it is pickled
        raise RecipeError(
            f"processes need a `decode` that can be pickled, and {decode!r} cannot ({error}): "
            "give a function or an object of a module, not a lambda or a function within a function, or processes=0"
        ) from error
    script: dict[str, Any] = {}
    if b"__main__" in of_decode:
        data: dict[str, Any] = spawn.get_preparation_data("sluice-load")
        script = {name: data[name] for name in ("init_main_from_name", "init_main_from_path") if name in data}
        if not script:
            raise RecipeError(
                f"`decode` ({decode!r}) is defined in a session that other processes cannot import: put it in a module"
            )
        script["sys_argv"] = data["sys_argv"]
    return pickle.dumps((folders, decode)), script
