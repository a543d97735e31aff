"""The worker process: `main` with arguments SUPERVISOR, SOCKET, JOURNAL and SPOOL; lives as long as its supervisor."""

from __future__ import annotations

import ctypes
import gc
import importlib
import os
import pickle
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from sluice.engine.base import WorkerContext
from sluice.engine.journal import Journal
from sluice.engine.spool import Spool
from sluice.errors import FailureClass, SluiceError
from sluice.table.memory import collect, forget_kept, keep_freed_memory

_PR_SET_PDEATHSIG: Final = 1
_OBJECTS: Final = 20_000  # made between two looks for dead circles, instead of 700


@dataclass(frozen=True)
class Setup:
    """What a worker runs on every job from here on."""

    function: str
    shared: Any
    memory: int | None  # bytes of data the process may hold
    gives_back: bool = True  # free memory, after each job


@dataclass(frozen=True)
class Job:
    """One task, with what earlier deaths taught about it."""

    payload: Any
    poison: dict[int, tuple[FailureClass, str]]
    suspects: tuple[tuple[int, int], ...]
    again: bool  # an earlier try died


@dataclass(frozen=True)
class Reply:
    """What a job came to: a result, or the error that the supervisor raises."""

    result: Any = None
    error: SluiceError | None = None
    trace: str | None = None


def main() -> None:
    """Serve jobs until the supervisor closes the socket."""
    _die_with(int(sys.argv[1]))
    keep_freed_memory()
    gc.set_threshold(_OBJECTS)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's to handle
    connection = Connection(int(sys.argv[2]))
    journal = Journal(Path(sys.argv[3]))
    spool = Spool(int(sys.argv[4]))
    try:
        function, shared, gives_back = resolve("builtins:print"), None, True
        while True:
            message: Setup | Job = connection.recv()
            if isinstance(message, Setup):
                forget_kept()
                function, shared = resolve(message.function), message.shared
                _look_past_what_stays()
                gives_back = message.gives_back
                _hold_memory(message.memory)
                continue
            reply = _serve(function, shared, message, journal, spool)
            journal.clear()
            connection.send(reply)
            if gives_back:
                collect()  # a unit's lists hang in circles, which the next one's would be laid beside
    except (EOFError, ConnectionError):
        return


def resolve(function: str) -> Callable[[Any, Any, WorkerContext], Any]:
    """The function that 'module:name' means."""
    module, _, name = function.partition(":")
    return getattr(importlib.import_module(module), name)


def _serve(
    function: Callable[[Any, Any, WorkerContext], Any], shared: Any, job: Job, journal: Journal, spool: Spool
) -> Reply:
    try:
        finished = spool.read(every=0.0) if job.again else spool.read()  # where one row kills, others may
        context = WorkerContext(journal, job.poison, job.suspects, spool, finished)
        return Reply(function(shared, job.payload, context))
    except SluiceError as error:
        return Reply(error=_portable(error))
    except Exception:  # a bug in a step: the supervisor raises it with this trace, nothing is swallowed
        return Reply(trace=traceback.format_exc())


def _hold_memory(limit: int | None) -> None:
    """Past `limit` bytes of data an allocation fails, as MemoryError or as this process's death."""
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _portable(error: SluiceError) -> SluiceError:
    try:
        pickle.loads(pickle.dumps(error))
    except (TypeError, pickle.PickleError):
        return SluiceError(str(error))
    return error


def _look_past_what_stays() -> None:
    """Have the looks for dead circles skip the modules that are there by now: they are most of what there is."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def _die_with(supervisor: int) -> None:
    """End when `supervisor` does, at once: a run that is started again must find nobody who still works for the last.

    It may have died before this process came so far, with a task for it already in the socket.
    """
    if sys.platform != "linux":
        return  # elsewhere the closed socket ends the worker after the job in hand
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != supervisor:
        sys.exit(0)
