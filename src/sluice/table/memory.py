"""Giving back memory: what a process keeps for speed, and what allocators keep of what was freed."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from collections.abc import Callable
from typing import Final

_KEPT: Final[list[Callable[[], None]]] = []


def kept(forget: Callable[[], None]) -> None:
    """Note that a module keeps something between calls, and how to let go of it."""
    _KEPT.append(forget)


def forget_kept() -> None:
    """Let go of all that is kept: the process is going to do something else."""
    for forget in _KEPT:
        forget()
    give_back()


def give_back() -> None:
    """Give what is free to the system: kept from task to task, its gaps would grow with the corpus.

    Without glibc (macOS, musl) only Arrow's own is given back.
    """
    if arrow := sys.modules.get("pyarrow"):
        arrow.default_memory_pool().release_unused()
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
