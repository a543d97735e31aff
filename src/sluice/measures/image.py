"""What an image is and how good it looks: its header, its quality, the hash of its bytes.

Every number of `image.quality` is taken from the image at most 256 px wide and high, colour at 64 px, so that a
threshold means the same for a thumbnail's worth of a photo from any camera. Smaller images are not enlarged.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sluice.measures.base import Batch, Columns, Pixels, digest, gray, header, measure, rgb
from sluice.measures.image_hash import dhash, image_dhash, image_phash, phash
from sluice.measures.pixel_sums import Reals, colour_products, gray_sums

__all__ = [
    "border",
    "colourfulness",
    "dhash",
    "image_content_hash",
    "image_dhash",
    "image_header",
    "image_phash",
    "image_quality",
    "phash",
    "sharpness",
]

# Levels of 255 that count as clipped: JPEG and area averaging move a clipped pixel by one or two.
_DARK: Final = 2
_BRIGHT: Final = 253
_EXTENSIONS: Final[dict[str, tuple[str, ...]]] = {
    **dict.fromkeys(("jpg", "jpeg", "jpe", "jfif", "pjpeg", "pjp"), ("jpeg",)),
    **dict.fromkeys(("png", "apng"), ("png",)),
    "webp": ("webp",),
    "gif": ("gif",),
    **dict.fromkeys(("bmp", "dib"), ("bmp",)),
    **dict.fromkeys(("tif", "tiff"), ("tiff",)),
    **dict.fromkeys(("avif", "avifs"), ("avif",)),
    **dict.fromkeys(("heic", "heics"), ("heic",)),
    **dict.fromkeys(("heif", "heifs", "hif"), ("heic", "avif")),  # the container's own names fit either codec
}


@measure(
    "image.header",
    version=1,
    reads=header(),
    writes={
        "format": pa.string(),
        "width": pa.int32(),
        "height": pa.int32(),
        "pixels": pa.int64(),
        "min_side": pa.int32(),
        "aspect": pa.float32(),
        "bytes": pa.int64(),
        "frames": pa.int32(),
        "mode": pa.string(),
        "orientation": pa.int8(),
        "bits_per_pixel": pa.float32(),
        "jpeg_quality": pa.int16(),
        "alpha": pa.bool_(),
        "icc": pa.bool_(),
        "extension_ok": pa.bool_(),
    },
)
def image_header(batch: Batch) -> Columns:
    """Format, size and what else the first bytes of an image tell.

    - `format`: by its content: jpeg, png, webp, gif, bmp, tiff, avif, heic
    - `width`, `height`: px, as shown: after the EXIF orientation
    - `pixels`: width x height
    - `min_side`: px, the shorter side
    - `aspect`: longer / shorter side, 1 and up
    - `bytes`: size of the encoded image
    - `frames`: 1 unless animated
    - `mode`: of the pixels as stored, in Pillow's words: RGB, L, P, CMYK, ...
    - `orientation`: EXIF, 1 to 8
    - `bits_per_pixel`: of the encoded image
    - `jpeg_quality`: 1 to 100, estimated from the quantisation tables; null unless JPEG
    - `alpha`: whether it has transparency
    - `icc`: whether it has a colour profile
    - `extension_ok`: whether the file name's extension agrees with the format; null where it has none
    """
    heads = batch.header
    return {
        "format": [head.format for head in heads],
        "width": [head.width for head in heads],
        "height": [head.height for head in heads],
        "pixels": [head.width * head.height for head in heads],
        "min_side": [min(head.width, head.height) for head in heads],
        "aspect": [max(head.width, head.height) / min(head.width, head.height) for head in heads],
        "bytes": [head.bytes for head in heads],
        "frames": [head.frames for head in heads],
        "mode": [head.mode for head in heads],
        "orientation": [head.orientation for head in heads],
        "bits_per_pixel": [head.bits_per_pixel for head in heads],
        "jpeg_quality": [head.jpeg_quality for head in heads],
        "alpha": [head.alpha for head in heads],
        "icc": [head.icc for head in heads],
        "extension_ok": [
            head.format in _EXTENSIONS.get(extension, ()) if extension else None
            for head, extension in zip(heads, batch.extension, strict=True)
        ],
    }


@measure(
    "image.quality",
    version=2,
    reads=(gray(max_side=256), rgb(max_side=64, exact=False)),
    writes={
        "sharpness": pa.float32(),
        "brightness": pa.float32(),
        "contrast": pa.float32(),
        "entropy": pa.float32(),
        "colourfulness": pa.float32(),
        "clipped_dark": pa.float32(),
        "clipped_bright": pa.float32(),
        "border": pa.float32(),
    },
)
def image_quality(batch: Batch) -> Columns:
    """How an image looks, in eight numbers.

    - `sharpness`: variance of the Laplacian (4 neighbours, edge pixels left out) at 256 px; null below 3 px
    - `brightness`: mean of gray, 0 to 255
    - `contrast`: standard deviation of gray, 0 to 128
    - `entropy`: of the gray histogram, 0 to 8 bits
    - `colourfulness`: Hasler and Susstrunk (2003), 0 for gray, about 15 slight, 45 average, 80 strong;
      of every n-th pixel, about 64 x 64 in all
    - `clipped_dark`: share of the pixels at the dark end of the range
    - `clipped_bright`: share of the pixels at the bright end
    - `border`: share of the area in uniform rows and columns at the edges (bars, frames); 1 for a flat image
    """
    sums = gray_sums(batch.gray)
    return {
        "sharpness": sums.sharpness,
        **_tones(sums.counts),
        "colourfulness": _colourfulness(colour_products([sampled(pixels, 64) for pixels in batch.rgb])),
        "border": sums.border,
    }


@measure("image.content_hash", version=1, reads=digest(), writes={"sha256": pa.string()})
def image_content_hash(batch: Batch) -> Columns:
    """What makes two files the same file.

    - `sha256`: of the encoded bytes, in hexadecimal; equal only for the same file, bit for bit
    """
    return {"sha256": batch.digest}


def sharpness(pixels: Pixels) -> float | None:
    """Variance of the Laplacian of a gray image; null where it is less than 3 px wide or high.

    >>> sharpness(np.full((4, 4), 90, np.uint8))
    0.0
    """
    return gray_sums([pixels]).sharpness[0]


def sampled(pixels: Pixels, side: int) -> Pixels:
    """Every n-th pixel, so that the longer side has `side` to twice as many; a view, nothing is averaged.

    >>> sampled(np.zeros((300, 400, 3), np.uint8), 64).shape
    (50, 67, 3)
    """
    step = max(1, max(pixels.shape[:2]) // side)
    return pixels[::step, ::step]


# red - green, yellow - blue
_OPPONENTS: Final = np.array([[1.0, -1.0, 0.0], [0.5, 0.5, -1.0]])


def colourfulness(pixels: Pixels) -> float:
    """Colourfulness of an RGB image after Hasler and Susstrunk, "Measuring colourfulness in natural images" (2003).

    >>> colourfulness(np.full((4, 4, 3), 90, np.uint8))
    0.0
    """
    return float(_colourfulness(colour_products([pixels]))[0])


def _colourfulness(sums: Reals) -> Reals:
    """Colourfulness from the `colour_products` of images."""
    number = sums[:, 3, 3]
    mean = sums[:, :3, 3] / number[:, None]
    covariance = sums[:, :3, :3] / number[:, None, None] - mean[:, :, None] * mean[:, None, :]
    spread = (_OPPONENTS @ covariance * _OPPONENTS).sum(axis=(1, 2))
    away = mean @ _OPPONENTS.T
    return np.sqrt(np.maximum(spread, 0.0)) + 0.3 * np.sqrt((away * away).sum(axis=1))


def border(pixels: Pixels) -> float:
    """Share of a gray image's area in uniform rows and columns at its edges, each side in its own colour.

    >>> letterbox = np.zeros((8, 8), np.uint8)
    >>> letterbox[2:6] = np.indices((4, 8)).sum(axis=0) % 2 * 255
    >>> border(letterbox)
    0.5
    """
    return gray_sums([pixels]).border[0]


def _tones(counts: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[Any]]:
    """What the gray histograms (a row an image) tell."""
    levels = np.arange(256, dtype=np.int64)
    total = counts.sum(axis=1)
    sums, squares = counts @ levels, counts @ (levels * levels)
    shares = counts / total[:, None]
    logs = np.log2(shares, out=np.zeros_like(shares), where=counts > 0)
    return {
        "brightness": sums / total,
        "contrast": np.sqrt((squares * total - sums * sums) / (total * total)),
        "entropy": np.abs((shares * logs).sum(axis=1)),
        "clipped_dark": counts[:, : _DARK + 1].sum(axis=1) / total,
        "clipped_bright": counts[:, _BRIGHT:].sum(axis=1) / total,
    }
