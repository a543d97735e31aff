"""How a kernel is found and what it is handed: the one way by which Python calls what is written in C."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any, Final

import numpy.typing as npt

from sluice.native import LIBRARY, kernels

POINTER: Final = ctypes.c_void_p  # to an array's first element: what `address` gives; None is NULL
TEXT: Final = ctypes.c_char_p  # the bytes of a `bytes`
NUMBER: Final = ctypes.c_int
WORD: Final = ctypes.c_uint32
LONG: Final = ctypes.c_int64
SIZE: Final = ctypes.c_size_t
DISTANCE: Final = ctypes.c_ssize_t
REAL: Final = ctypes.c_double
OBJECT: Final = ctypes.py_object  # a kernel that takes one is called with Python's lock held


def bound(name: str, *takes: type, gives: type | None = None) -> Callable[[], Callable[..., Any] | None]:
    """Asks for the kernel `sluice_NAME` with its types, and for the library when first called; None: there is none.

    >>> hamming_wide = bound("hamming_wide", gives=NUMBER)
    >>> kernel = hamming_wide()
    >>> kernel is None or kernel() in (0, 1)
    True
    """

    @cache
    def found() -> Callable[..., Any] | None:
        library = kernels()
        if library is None:
            return None
        if OBJECT in takes:
            library = ctypes.PyDLL(str(LIBRARY))
        kernel = library[f"sluice_{name}"]
        kernel.argtypes, kernel.restype = takes, gives
        return kernel

    _forget.append(found.cache_clear)
    return found


def forget() -> None:
    """Look for the library anew, and for each kernel: after a change of `SLUICE_KERNELS`."""
    kernels.cache_clear()
    for one in _forget:
        one()


_forget: Final[list[Callable[[], None]]] = []


def address(array: npt.NDArray[Any]) -> int:
    """Where the first element of an array lies; the array must outlive the call it is handed to."""
    try:
        return ctypes.addressof(_first_of(array))  # a quarter of the time of the other, which serves all arrays
    except (TypeError, ValueError):
        return array.__array_interface__["data"][0]


_first_of: Final[Callable[[Any], ctypes.c_char]] = ctypes.c_char.from_buffer  # of what is writeable and in one piece


def addresses(*arrays: npt.NDArray[Any]) -> tuple[int, ...]:
    """Where the arrays lie, each."""
    return tuple(map(address, arrays))
