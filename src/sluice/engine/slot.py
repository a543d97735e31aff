"""One slot of an engine: a worker process on this machine, started anew after each death, and what it has in hand."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

from sluice.engine.base import Outcome
from sluice.engine.journal import Journal
from sluice.engine.spool import Spool
from sluice.engine.trials import WorkerTrial
from sluice.engine.worker import Job, Reply, Setup
from sluice.errors import FailureClass

TICK: Final = 0.2  # seconds between two looks at a journal
_RANGE_PATIENCE: Final = 4  # a measure over a whole batch may take so many times one sample's limit
_NOTHING: Final = "builtins:print"  # no task is given before another function is
_WORKER: Final = "from sluice.engine.worker import main; main()"
_ENVIRONMENT: Final = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",  # its own allocator keeps 20 to 70 MB of freed memory in each process
    "MALLOC_ARENA_MAX": "1",  # one thread works: a second one's heap, with gaps of its own, is 6 MB more
}


class WorkerSlot:
    """One slot of the pool: its process is started anew after each death."""

    def __init__(self, journal: Path, inherits: tuple[int, ...] = (), *, imports: Sequence[str] | None = None) -> None:
        self._inherits = inherits  # open files that its processes have under the same numbers
        self._imports = imports  # folders that its processes import from; None: those of this process
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
            env={**_ENVIRONMENT, **os.environ, "PYTHONPATH": os.pathsep.join(filter(None, self._imports or sys.path))},
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
        assert self.trial is not None
        self.trial.learn(self.journal.read(), failure_class, message)

    def look(self, *, ready: bool, seconds: float) -> Outcome | None:
        """The outcome, if the connection is `ready` and there is one; where the process died or hangs, try again."""
        if ready:
            outcome = self.take()
        elif self.overdue(seconds):
            self.kill()
            outcome = self.bury("timeout", f"took longer than {seconds:g} s")
        else:
            return None
        if outcome is None:
            self.try_again()
        return outcome

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
