"""Waiting for what comes at a time that no test knows."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(true: Callable[[], object], what: str, patience: float = 60.0) -> None:
    """Wait for `true()`."""
    deadline = time.monotonic() + patience
    while not true():
        assert time.monotonic() < deadline, f"waited {patience:g} s in vain: {what}"
        time.sleep(0.01)
