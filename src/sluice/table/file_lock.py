"""Locks on open files, for threads as for processes: the kernel lets them go with their process, however it ended."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

_locked: set[int] = set()  # descriptors; a forked child has them too


def lock(descriptor: int, *, wait: bool) -> bool:
    """Lock an open file; False where another has it and we do not `wait`."""
    _locked.add(descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _locked.discard(descriptor)
        return False
    return True


def unlock(descriptor: int) -> None:
    """Let it go; done by name, because closing does not where a forked child has the file open too."""
    _locked.discard(descriptor)
    fcntl.flock(descriptor, fcntl.LOCK_UN)


def is_open_at(path: Path, descriptor: int) -> bool:
    """Whether `path` still names the open file: it may have been renamed or removed while its lock was waited for."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def remove_if_left(path: Path) -> bool:
    """Remove a file whose writer, which would hold its lock, is no more; whether that was so."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        if not lock(descriptor, wait=False):
            return False
        if is_open_at(path, descriptor):
            path.unlink()
        return True
    finally:
        unlock(descriptor)
        os.close(descriptor)


def _close_locked() -> None:
    """In a forked child: otherwise a lock of its parent would live as long as it does."""
    while _locked:
        os.close(_locked.pop())


os.register_at_fork(after_in_child=_close_locked)
