"""Perceptual hashes of 64 bits: near-duplicates differ in few of them.

Bit order, of both: row by row, the first bit the most significant, so that a hash printed with 16 hexadecimal
digits is what `str(imagehash.phash(image))` prints. Thumbnails are made as Pillow's LANCZOS makes them, so that the
hashes agree with the `imagehash` library, which decodes in full, to within 2 bits on photographs and drawings. They may
differ by more in bits that are noise there too: patterns finer than its 32 x 32 thumbnail leave in it little but the
rounding of its pixels, and a bit then records the sign of a rounding error.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sluice.measures.base import Batch, Columns, Levels, Pixels, measure, thumbnail
from sluice.media.thumbnail import thumbnails

_SIDE: Final = 32  # px of the thumbnail whose low frequencies pHash takes
_LOW: Final = 8
_PHASH: Final = (_SIDE, _SIDE)
_DHASH: Final = (_LOW + 1, _LOW)
# The first 8 rows of the 32-point DCT-II, in whole numbers of 2**-15. Products with pixels stay below 2**48, so
# double precision adds them without rounding in any order: the same hash on every machine and BLAS, and exact zeros
# (not 1e-13) for a flat image.
_COSINES: Final = np.round(
    np.cos(np.pi * np.arange(_LOW)[:, None] * (2 * np.arange(_SIDE)[None] + 1) / (2 * _SIDE)) * 2**15
)


@measure("image.phash", version=2, reads=thumbnail(*_PHASH), writes={"phash": pa.uint64()})
def image_phash(batch: Batch) -> Columns:
    """Which of the 8 x 8 lowest frequencies (DCT) of a 32 x 32 thumbnail lie above their median.

    - `phash`: 64 bits; images that look alike differ in few of them
    """
    return {"phash": _phash(batch.thumbnail)}


@measure("image.dhash", version=2, reads=thumbnail(*_DHASH), writes={"dhash": pa.uint64()})
def image_dhash(batch: Batch) -> Columns:
    """Where a 9 x 8 thumbnail gets brighter from left to right.

    - `dhash`: 64 bits; images that look alike differ in few of them
    """
    return {"dhash": _dhash(batch.thumbnail)}


def phash(images: Sequence[Pixels]) -> npt.NDArray[np.uint64]:
    """The DCT hash of each gray image.

    >>> hex(phash([np.full((40, 60), 200, np.uint8)])[0])
    '0x8000000000000000'
    """
    return _phash([thumbnails(pixels, [_PHASH])[0] for pixels in images])


def dhash(images: Sequence[Pixels]) -> npt.NDArray[np.uint64]:
    """The difference hash of each gray image.

    >>> hex(dhash([np.tile(np.arange(90, dtype=np.uint8), (80, 1))])[0])
    '0xffffffffffffffff'
    """
    return _dhash([thumbnails(pixels, [_DHASH])[0] for pixels in images])


def _phash(small: Sequence[Levels]) -> npt.NDArray[np.uint64]:
    levels = np.array(small, dtype=np.float64).reshape(-1, _SIDE, _SIDE)
    low = (_COSINES @ levels @ _COSINES.T).reshape(-1, _LOW * _LOW)
    return _packed(low > np.median(low, axis=1, keepdims=True))


def _dhash(small: Sequence[Levels]) -> npt.NDArray[np.uint64]:
    levels = np.array(small).reshape(-1, _LOW, _LOW + 1)
    return _packed((levels[:, :, 1:] > levels[:, :, :-1]).reshape(-1, _LOW * _LOW))


def _packed(bits: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint64]:
    return np.packbits(bits, axis=1).view(">u8").ravel().astype(np.uint64)
