"""The local engine: worker processes on this machine, each with one unit in hand."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from sluice.engine.base import Outcome, Task
from sluice.engine.slot import TICK, WorkerSlot
from sluice.engine.trials import TrialQueue
from sluice.engine.worker import Setup
from sluice.table.cores import available_cores


class LocalEngine:
    """A pool of `workers` processes that outlives the death of any of them; a context manager that ends them.

    `seconds` is the time one position may take, `memory` the bytes of data one worker may hold. A process starts
    with the first task it is given and stays for the runs that follow, until it is renewed.
    """

    def __init__(self, workers: int | None = None, *, seconds: float = 30.0, memory: int | None = None) -> None:
        self.seconds = seconds
        self._memory = memory
        self._journals = tempfile.TemporaryDirectory(prefix="sluice-journal-")
        folder = Path(self._journals.name)
        self._pool = [WorkerSlot(folder / str(number)) for number in range(workers or available_cores())]

    def __enter__(self) -> LocalEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers, whatever they have in hand."""
        for worker in self._pool:
            worker.kill()
            worker.close()
        self._journals.cleanup()

    def warm(self, function: str) -> None:
        """Start the workers and have them import `function`, while this process does something else."""
        for worker in self._pool:
            worker.set_up(Setup(function, None, self._memory))

    def renew(self, function: str) -> None:
        """Start other processes: those there are keep the modules and the gaps of what they did, 15 MB each."""
        self.release()
        self.warm(function)

    def release(self) -> None:
        """End the workers; others start with the next tasks."""
        for worker in self._pool:
            worker.kill()

    def run(self, function: str, shared: Any, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Yield an outcome for each task as it ends. Left early, the tasks in hand are dropped."""
        queue = TrialQueue(tasks, ahead=len(self._pool))
        busy: list[WorkerSlot] = []
        try:
            for worker, trial in zip(self._pool, queue, strict=False):
                busy.append(worker)
                worker.set_up(Setup(function, shared, self._memory))
                worker.give(trial)
            yield from self._supervise(busy, queue)
            for worker in busy:
                worker.rest()
        finally:
            for worker in busy:
                if worker.trial:
                    worker.kill()
                    worker.trial = None

    def _supervise(self, pool: list[WorkerSlot], queue: TrialQueue) -> Iterator[Outcome]:
        while busy := [worker for worker in pool if worker.trial]:
            queue.look_ahead()
            ready = set(wait([worker.connection for worker in busy], timeout=TICK))
            for worker in busy:
                if outcome := worker.look(ready=worker.connection in ready, seconds=self.seconds):
                    yield outcome
                    if trial := next(queue, None):
                        worker.give(trial)
