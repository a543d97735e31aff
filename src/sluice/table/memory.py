"""Giving freed memory back to the system, which allocators keep for later."""

from __future__ import annotations

import contextlib
import ctypes

import pyarrow as pa


def give_back() -> None:
    """Give back what is free: kept from task to task, its gaps would grow with the corpus.

    Without glibc (macOS, musl) only Arrow's own is given back.
    """
    pa.default_memory_pool().release_unused()
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
