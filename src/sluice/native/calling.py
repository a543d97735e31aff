"""How a kernel is found and what it is handed."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy.typing as npt

from sluice.native import kernels

POINTER: Final = ctypes.c_void_p
NUMBER: Final = ctypes.c_int
SIZE: Final = ctypes.c_size_t
DISTANCE: Final = ctypes.c_ssize_t


def bound(name: str, arguments: Sequence[type], gives: type | None = None) -> Callable[..., Any] | None:
    """The kernel `sluice_NAME` with its types; None where there are no kernels. Ask once, under `functools.cache`."""
    library = kernels()
    if library is None:
        return None
    kernel = library[f"sluice_{name}"]
    kernel.argtypes, kernel.restype = arguments, gives
    return kernel


def address(array: npt.NDArray[Any]) -> int:
    """Where the first element of an array lies; the array must outlive the call it is handed to."""
    try:
        return ctypes.addressof(_first_of(array))  # a quarter of the time of the other, which serves all arrays
    except (TypeError, ValueError):
        return array.__array_interface__["data"][0]


_first_of: Final[Callable[[Any], ctypes.c_char]] = ctypes.c_char.from_buffer  # of what is writeable and in one piece
