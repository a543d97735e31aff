"""Giving back memory: what a process keeps for speed, and what allocators keep of what was freed."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys
from collections.abc import Callable
from typing import Final

_KEPT: Final[list[Callable[[], None]]] = []
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_LARGE: Final = 2**20  # bytes
_WORKER_KEEPS: Final = 32 * 2**20  # bytes freed, for the next image; the most that glibc allows


def map_large_blocks() -> None:
    """Have what is large lie by itself, so that it goes back to the system when it is freed.

    glibc would lay it among the small things once the first such block was freed, and the gaps would stay. Another
    allocator is left as it is.
    """
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE)


def keep_freed_memory() -> None:
    """Have images use the pages of those before them: glibc would map and clear new ones for each, a tenth of the time.

    Without glibc (macOS, musl) the allocator stays as it is.
    """
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _WORKER_KEEPS)
        ctypes.CDLL(None).mallopt(_M_TRIM_THRESHOLD, _WORKER_KEEPS)


def kept(forget: Callable[[], None]) -> None:
    """Note that a module keeps something between calls, and how to let go of it."""
    _KEPT.append(forget)


def forget_kept() -> None:
    """Let go of all that is kept: the process is going to do something else."""
    for forget in _KEPT:
        forget()
    give_back()


def collect() -> None:
    """Give back what hangs in dead circles, too: a look through all objects, for the end of a stage."""
    gc.collect()
    give_back()


def give_back() -> None:
    """Give what is free to the system: kept from task to task, its gaps would grow with the corpus.

    Without glibc (macOS, musl) only Arrow's own is given back.
    """
    if arrow := sys.modules.get("pyarrow"):
        arrow.default_memory_pool().release_unused()
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
