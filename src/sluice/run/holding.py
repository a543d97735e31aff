"""Who works in a run folder: one process at a time, and asking who never keeps one out.

Two files, both locked for as long as the process lives: `lock` keeps a second one out, `working` answers those who
ask. Asking takes the second for an instant, for which a run that starts waits, and never touches the first.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from sluice.errors import RunError
from sluice.run.stored import Watch, committed
from sluice.table.commit import explain
from sluice.table.layout import Layout

_LOCK: Final = "lock"
_WORKING: Final = "working"


@contextmanager
def working_in(layout: Layout) -> Generator[Watch]:
    """Hold the run folder for this process: one run at a time works in it.

    What this gives makes a listener of events one that commits to the store, too, where the run lies in one.
    """
    handles: list[int] = []
    try:
        try:
            layout.state.mkdir(parents=True, exist_ok=True)
            handles += [os.open(layout.state / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)]
            handles += [os.open(layout.state / _WORKING, os.O_RDWR | os.O_CREAT, 0o644)]
        except OSError as error:
            raise explain(error, layout.state) from error
        lock, working = handles
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, 32, 0).decode(errors="replace").strip() or "another process"
            raise RunError(f"{layout.named}: process {holder} is working in this run; wait for it or end it") from None
        fcntl.flock(working, fcntl.LOCK_EX)
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        with committed(layout) as watch:
            yield watch
    finally:
        for handle in handles:
            os.close(handle)


def is_held(layout: Layout) -> bool:
    """Whether a process works in the run folder."""
    try:
        handle = os.open(layout.state / _WORKING, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False
