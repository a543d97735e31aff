"""Samples of tars read many at a time by a kernel; what it does not take is left out, to be read alone.

The kernel takes what is byte for byte as Sluice packs it, and nothing that a single read would refuse; the single read
says what is wrong with the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from sluice.load.reading import Sample
from sluice.native.calling import LONG, NUMBER, OBJECT, POINTER, TEXT, address, bound

_ID: Final = 32  # characters
_MOST: Final = 16 * 2**20  # bytes of a sample beside its first image


def read_together(file: int, ids: Sequence[str], places: npt.NDArray[np.int64]) -> list[Sample | None]:
    """The samples of an open tar at `places`, a row each: offset, size, image offset and size. None: read it alone."""
    kernel, names = _kernel(), "".join(ids).encode()
    if kernel is None or len(names) != _ID * len(ids) or not ids:
        return [None] * len(ids)
    given = np.ascontiguousarray(places)
    beside = given[:, 1] - given[:, 3]
    around = np.empty(min(int(beside.max(initial=0)), _MOST), np.uint8)
    found = kernel(file, len(ids), address(given), names, _ID, address(around), around.size)
    return [None if one is None else Sample(id, *one) for id, one in zip(ids, found, strict=True)]


# It makes objects, so it is called with Python's lock held, and lets go of the lock while it reads.
_kernel: Final = bound("tar_samples", NUMBER, LONG, POINTER, TEXT, LONG, POINTER, LONG, gives=OBJECT)
