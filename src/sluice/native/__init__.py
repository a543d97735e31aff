"""C kernels for the few loops that NumPy cannot say in one pass; without them NumPy does the same, more slowly.

The library is plain C behind `ctypes`: it knows nothing of Python, one file serves every version, and while a kernel
runs other threads do too. Each kernel has a twin in NumPy, which is its fallback and the oracle of its tests; both
give the same bits, so what is computed does not depend on where. `SLUICE_KERNELS=numpy` leaves the library aside.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache

from sluice.native.build import LIBRARY, sources_digest

__all__ = ["LIBRARY", "kernels"]


@cache
def kernels() -> ctypes.CDLL | None:
    """The library, or None where it was not built, was built from other C files, or is not wanted."""
    if os.environ.get("SLUICE_KERNELS") == "numpy":
        return None
    try:
        library = ctypes.CDLL(str(LIBRARY))
    except OSError:
        return None
    built_from = library.sluice_sources
    built_from.argtypes, built_from.restype = (), ctypes.c_char_p
    return library if built_from() == sources_digest().encode() else None
