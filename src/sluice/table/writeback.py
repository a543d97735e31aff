"""Having the disk begin: a flush at the end of a large file waits for all that the system still holds of it."""

from __future__ import annotations

import contextlib
import ctypes
from functools import cache
from typing import Any, Final

_START: Final = 2  # SYNC_FILE_RANGE_WRITE: write what is not being written yet, wait for nothing


def begin_writing(descriptor: int, offset: int, size: int) -> None:
    """Have the system write these bytes of an open file from now on; nothing is promised and nothing kept from it.

    A flush makes the file safe. What comes before it, and where there is no such call (macOS), only moves its time.
    """
    if call := _sync_file_range():
        call(descriptor, offset, size, _START)


@cache
def _sync_file_range() -> Any:
    with contextlib.suppress(AttributeError, OSError):
        call = ctypes.CDLL(None).sync_file_range
        call.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
        return call
    return None
