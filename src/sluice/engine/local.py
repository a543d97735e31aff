"""The local engine: worker processes on this machine, each with one unit in hand."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Final

from sluice.engine.base import Outcome, Task
from sluice.engine.journal import Journal
from sluice.engine.spool import Spool
from sluice.engine.worker import Job, Reply, Setup
from sluice.errors import FailureClass, RunError

_TICK: Final = 0.2  # seconds between two looks at the journals
_STRIKES: Final = 2  # deaths with a position in hand, the last time alone, before it is taken for poison
_STRIKES_KILLED: Final = 3  # ... when it may have been somebody else's SIGKILL
_BLIND_DEATHS: Final = 5  # deaths of one task with nothing in hand before the run gives up
_RANGE_PATIENCE: Final = 4  # a measure over a whole batch may take so many times one sample's limit
_NOTHING: Final = "builtins:print"  # no task is given before another function is
_WORKER: Final = "from sluice.engine.worker import main; main()"
_ENVIRONMENT: Final = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",  # its own allocator keeps 20 to 70 MB of freed memory in each process
}


class LocalEngine:
    """A pool of `workers` processes that outlives the death of any of them; a context manager that ends them.

    `seconds` is the time one position may take, `memory` the bytes of data one worker may hold. A process starts
    with the first task it is given and stays for the runs that follow.
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

    def run(self, function: str, shared: Any, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Yield an outcome for each task as it ends. Left early, the tasks in hand are dropped."""
        queue = _Queue(tasks, ahead=len(self._pool))
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

    def _supervise(self, pool: list[WorkerSlot], queue: _Queue) -> Iterator[Outcome]:
        while busy := [worker for worker in pool if worker.trial]:
            queue.look_ahead()
            ready = set(wait([worker.connection for worker in busy], timeout=_TICK))
            for worker in busy:
                if worker.connection in ready:
                    outcome = worker.take()
                elif worker.overdue(self.seconds):
                    worker.kill()
                    outcome = worker.bury("timeout", f"took longer than {self.seconds:g} s")
                else:
                    continue
                if not outcome:
                    worker.try_again()
                    continue
                yield outcome
                if trial := next(queue, None):
                    worker.give(trial)


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Queue:
    """Trials of tasks that may be made only when asked for: `ahead` of them are kept ready, so that no worker waits."""

    def __init__(self, tasks: Iterable[Task], ahead: int) -> None:
        self._tasks = iter(tasks)
        self._ready: deque[WorkerTrial] = deque()
        self._ahead = ahead

    def __iter__(self) -> Iterator[WorkerTrial]:
        return self

    def __next__(self) -> WorkerTrial:
        return self._ready.popleft() if self._ready else WorkerTrial(next(self._tasks))

    def look_ahead(self) -> None:
        """Have one more trial ready, unless there are enough."""
        if len(self._ready) < self._ahead:
            self._ready.extend(WorkerTrial(task) for task in islice(self._tasks, 1))


@dataclass
class WorkerTrial:
    """A task and what its deaths have taught so far."""

    task: Task
    deaths: list[str] = field(default_factory=list[str])  # the cause of each
    blind_deaths: int = 0
    poison: dict[int, tuple[FailureClass, str]] = field(default_factory=dict[int, "tuple[FailureClass, str]"])
    suspects: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    strikes: dict[int, int] = field(default_factory=dict[int, int])


class WorkerSlot:
    """One slot of the pool: its process is started anew after each death."""

    def __init__(self, journal: Path, inherits: tuple[int, ...] = ()) -> None:
        self._inherits = inherits  # open files that its processes have under the same numbers
        self._setup: Setup | None = None
        self.journal = Journal(journal)
        self._kept = tempfile.TemporaryFile(prefix="sluice-spool-", buffering=0)  # noqa: SIM115 - closed by `close`
        self._spool = Spool(self._kept.fileno())
        self._process: subprocess.Popen[bytes] | None = None
        self.trial: WorkerTrial | None = None

    def set_up(self, setup: Setup) -> None:
        """Say what every task from here on runs."""
        self._setup = setup
        if self._process and self._process.poll() is None:
            with contextlib.suppress(ConnectionError):  # it died meanwhile: `give` starts another
                self.connection.send(setup)
        else:
            self._start()

    def rest(self) -> None:
        """Have the process let go of what it kept for the tasks that are done; it stays for others."""
        if self._process and self._process.poll() is None:
            with contextlib.suppress(ConnectionError):
                self.connection.send(Setup(_NOTHING, None, None))

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        self.journal.clear()
        given = (os.getpid(), theirs.fileno(), self.journal.path, self._spool.descriptor)
        self._process = subprocess.Popen(
            [sys.executable, "-c", _WORKER, *map(str, given)],
            pass_fds=[theirs.fileno(), self._spool.descriptor, *self._inherits],
            stdin=subprocess.DEVNULL,
            process_group=0,  # Ctrl-C reaches us alone, even while this process is still starting
            env={**_ENVIRONMENT, **os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        theirs.close()
        self.connection = Connection(ours.detach())
        self.connection.send(self._setup)

    def give(self, trial: WorkerTrial) -> None:
        """Hand a new task to the process."""
        self._spool.clear()
        self._hand_over(trial)

    def try_again(self) -> None:
        """Hand the task in hand, whose process died, to another: in this slot, which holds what it has finished."""
        assert self.trial is not None
        self._hand_over(self.trial)

    def _hand_over(self, trial: WorkerTrial) -> None:
        self.trial = trial
        if self._process is None or self._process.poll() is not None:
            self._start()
        with contextlib.suppress(ConnectionError):  # it died meanwhile: `take` finds out
            self.connection.send(Job(trial.task.payload, trial.poison, tuple(trial.suspects), bool(trial.deaths)))

    def take(self) -> Outcome | None:
        """The outcome that is ready; None when instead the process died and the task needs another try."""
        trial = self.trial
        assert trial is not None
        try:
            reply: Reply = self.connection.recv()
        except (EOFError, ConnectionError):
            return self.bury("crash", self.kill())
        if reply.error is not None:
            raise reply.error
        if reply.trace is not None:
            raise RuntimeError(f"task {trial.task.number} failed in its worker:\n{reply.trace}")
        self.trial = None
        self._spool.clear()
        return Outcome(trial.task.number, reply.result, tuple(trial.deaths))

    def overdue(self, seconds: float) -> bool:
        """Whether what is in hand has taken longer than it may."""
        entry = self.journal.read()
        patience = seconds if entry.high - entry.low <= 1 else seconds * _RANGE_PATIENCE
        return entry.low >= 0 and time.monotonic() - entry.since > patience

    def bury(self, failure_class: FailureClass, message: str) -> None:
        """Learn from the death of the process what the next try must do differently."""
        trial = self.trial
        assert trial is not None
        trial.deaths.append(f"{failure_class}: {message}")
        entry = self.journal.read()
        if entry.low < 0:
            trial.blind_deaths += 1
            if trial.blind_deaths >= _BLIND_DEATHS:
                raise RunError(
                    f"unit {trial.task.number} killed {_BLIND_DEATHS} workers with no sample in hand ({message}): "
                    "is the machine out of memory? Run again to go on, with fewer `engine.workers`"
                )
            return
        for position in range(entry.low, entry.high):
            trial.strikes[position] = trial.strikes.get(position, 0) + 1
        if entry.high - entry.low > 1:
            trial.suspects.append((entry.low, entry.high))
        else:
            strikes = trial.strikes[entry.low]
            killed = failure_class == "crash" and message.endswith("SIGKILL")
            if strikes >= (_STRIKES_KILLED if killed else _STRIKES):
                trial.poison[entry.low] = (failure_class, message)

    def close(self) -> None:
        """Let go of the files of a worker that is dead."""
        self.journal.close()
        self._kept.close()

    def kill(self) -> str:
        """End the process at once; return what it died of."""
        if self._process is None:
            return "it never started"
        if self._process.poll() is None:
            self._process.kill()
        cause = f"the worker died with {_cause(self._process.wait())}"
        self._process = None
        self.connection.close()
        return cause


def _cause(returncode: int) -> str:
    if returncode >= 0:
        return f"exit code {returncode}"
    try:
        return signal.Signals(-returncode).name
    except ValueError:
        return f"signal {-returncode}"
