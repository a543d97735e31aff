"""Perceptual hashes of 64 bits: near-duplicates differ in few of them.

Bit order, of both: row by row, the first bit the most significant, so that a hash printed with 16 hexadecimal
digits is what `str(imagehash.phash(image))` prints. On photographs and drawings they agree with the `imagehash`
library, which decodes in full, to within 2 bits (now and then 4). They differ by more only in bits that are noise
there too: smooth gradients, and patterns finer than its 32 x 32 thumbnail, leave in it little but the rounding of
its pixels, and a bit then records the sign of a rounding error.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image

from sluice.measures.base import Batch, Columns, Pixels, gray, measure
from sluice.media.decode import as_image

_SIDE: Final = 32  # px of the thumbnail whose low frequencies pHash takes
_LOW: Final = 8
# The first 8 rows of the 32-point DCT-II, in whole numbers of 2**-15. Products with pixels stay below 2**48, so
# double precision adds them without rounding in any order: the same hash on every machine and BLAS, and exact zeros
# (not 1e-13) for a flat image.
_COSINES: Final = np.round(
    np.cos(np.pi * np.arange(_LOW)[:, None] * (2 * np.arange(_SIDE)[None] + 1) / (2 * _SIDE)) * 2**15
)


@measure("image.phash", version=1, reads=gray(max_side=256, exact=False), writes={"phash": pa.uint64()})
def image_phash(batch: Batch) -> Columns:
    """Which of the 8 x 8 lowest frequencies (DCT) of a 32 x 32 thumbnail lie above their median.

    - `phash`: 64 bits; images that look alike differ in few of them
    """
    return {"phash": phash(batch.gray)}


@measure("image.dhash", version=1, reads=gray(max_side=256, exact=False), writes={"dhash": pa.uint64()})
def image_dhash(batch: Batch) -> Columns:
    """Where a 9 x 8 thumbnail gets brighter from left to right.

    - `dhash`: 64 bits; images that look alike differ in few of them
    """
    return {"dhash": dhash(batch.gray)}


def phash(images: Sequence[Pixels]) -> npt.NDArray[np.uint64]:
    """The DCT hash of each gray image.

    >>> hex(phash([np.full((40, 60), 200, np.uint8)])[0])
    '0x8000000000000000'
    """
    # A gap of 3: averaged to about 100 px first, then filtered; a fraction of the time, at most a bit or two.
    thumbnails = _thumbnails(images, _SIDE, _SIDE, gap=3.0)
    low = (_COSINES @ thumbnails.astype(np.float64) @ _COSINES.T).reshape(-1, _LOW * _LOW)
    return _packed(low > np.median(low, axis=1, keepdims=True))


def dhash(images: Sequence[Pixels]) -> npt.NDArray[np.uint64]:
    """The difference hash of each gray image.

    >>> hex(dhash([np.tile(np.arange(90, dtype=np.uint8), (80, 1))])[0])
    '0xffffffffffffffff'
    """
    thumbnails = _thumbnails(images, 9, 8, gap=6.0)
    return _packed((thumbnails[:, :, 1:] > thumbnails[:, :, :-1]).reshape(-1, 64))


def _thumbnails(images: Sequence[Pixels], width: int, height: int, *, gap: float) -> Pixels:
    size, lanczos = (width, height), Image.Resampling.LANCZOS
    small = (as_image(pixels).resize(size, lanczos, reducing_gap=gap).tobytes() for pixels in images)
    return np.frombuffer(b"".join(small), dtype=np.uint8).reshape(-1, height, width)


def _packed(bits: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint64]:
    return np.packbits(bits, axis=1).view(">u8").ravel().astype(np.uint64)
