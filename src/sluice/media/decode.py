"""Decode an image once, at the smallest scale that serves the side asked for.

The order that costs least: `decode` at the largest side that any measure asks, then for each view either
`shrink(pixels, side)` or, for gray, `shrink(to_gray(pixels), side)` (gray first: a third of the bytes to average).
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import simplejpeg

from sluice.errors import SampleFailure
from sluice.media import jpeg
from sluice.media.gray import averaged, gray_of
from sluice.media.header import Header, require_whole
from sluice.media.limits import Limits
from sluice.media.pillow import failure, leashed, libtiff_heard, open_image

if TYPE_CHECKING:
    from PIL import Image

Pixels: TypeAlias = npt.NDArray[np.uint8]
Mode = Literal["rgb", "gray"]

# The JPEG's own scales, in eighths, that cost less than decoding in full (1024 x 768 on one core, RGB: 8/8 3.5 ms,
# 4/8 3.0, 3/8 2.6, 2/8 2.5, 1/8 1.9; but 7/8 6.8, 6/8 5.3, 5/8 4.7: no fast path in libjpeg-turbo).
_SCALES: Final = (1, 2, 3, 4, 8)
_NOT_JPEGS_FAULT: Final = ("subsampling", "colorspace", "color conversion")


def decode(data: bytes, header: Header, max_side: int | None, mode: Mode, limits: Limits) -> Pixels:
    """The pixels as a viewer shows them: uint8, (height, width, 3) in sRGB or (height, width) in gray.

    The longer side is at least `max_side` px, or the true one where that is smaller; `shrink` does the rest.
    `header` is what `read_header` said of the same bytes. Orientation and ICC profile are applied, transparency
    is laid on white, an animation gives its first frame. Raises SampleFailure, for a truncated file too unless
    `limits.truncated` is `decode`.
    """
    return _decoded(data, header, max_side, mode, limits, "RGB")


def decode_padded(data: bytes, header: Header, max_side: int | None, mode: Mode, limits: Limits) -> Pixels:
    """What `decode` gives, but colour may come with a fourth, meaningless channel: Pillow then need not copy it."""
    return _decoded(data, header, max_side, mode, limits, "RGBX")


def _decoded(data: bytes, header: Header, max_side: int | None, mode: Mode, limits: Limits, layout: str) -> Pixels:
    if header.format == "jpeg":
        pixels = _jpeg(data, header, max_side, mode, limits, layout)
        turned = header.orientation
    else:
        if limits.truncated == "fail":
            require_whole(data, header.format)
        pixels = _pillow(data, header, max_side, mode, limits)
        turned = header.orientation if header.format != "tiff" else 1  # Pillow turns a TIFF itself
    return np.ascontiguousarray(_turned(pixels, turned))


def shrink(pixels: Pixels, max_side: int) -> Pixels:
    """The image with its longer side exactly `max_side` px, each pixel the average of its area; never enlarged.

    >>> shrink(np.zeros((300, 400, 3), np.uint8), 256).shape
    (192, 256, 3)
    """
    height, width = pixels.shape[:2]
    longer = max(height, width)
    if longer <= max_side:
        return pixels
    size = max(1, round(width * max_side / longer)), max(1, round(height * max_side / longer))
    if pixels.ndim == 2:
        return averaged(pixels, size)
    from PIL import Image

    return _pixels_of(as_image(pixels).resize(size, Image.Resampling.BOX, reducing_gap=1.0))


def as_image(pixels: Pixels) -> Image.Image:
    """The pixels as a Pillow image to read from; without a copy where they are gray or padded colour.

    >>> as_image(np.zeros((2, 3), np.uint8)).size
    (3, 2)
    """
    from PIL import Image

    mode = "L" if pixels.ndim == 2 else "RGBX" if pixels.shape[2] == 4 else None
    if mode is None or not pixels.flags.c_contiguous:
        return Image.fromarray(pixels[:, :, :3] if mode == "RGBX" else pixels)
    return Image.frombuffer(mode, (pixels.shape[1], pixels.shape[0]), pixels, "raw", mode, 0, 1)


def to_gray(pixels: Pixels) -> Pixels:
    """The image in gray: ITU-R 601 luma, the same integers as Pillow's mode L; gray stays as it is.

    >>> int(to_gray(np.full((1, 1, 3), (255, 0, 0), np.uint8))[0, 0])
    76
    """
    if pixels.ndim == 2:
        return pixels
    gray = gray_of(pixels)
    return _pixels_of(as_image(pixels).convert("L")) if gray is None else gray


def _pixels_of(image: Image.Image) -> Pixels:
    """The pixels of a gray image where Pillow has them, read-only; a copy where it has them in several blocks."""
    if image.mode != "L":
        return np.asarray(image)
    try:
        levels = pa.array(image)
    except ValueError:  # 16 MB and more
        return np.asarray(image)
    return np.frombuffer(levels.buffers()[1], np.uint8).reshape(image.size[::-1])


def _jpeg(data: bytes, header: Header, max_side: int | None, mode: Mode, limits: Limits, colour_as: str) -> Pixels:
    profile = jpeg.icc_profile(data) if header.icc else None
    least, strict = _least_size(header, max_side), limits.truncated == "fail"
    if profile is None and header.mode != "CMYK":
        pixels = _plain_jpeg(data, colour_as if mode == "rgb" else "GRAY", least, strict=strict)
        return _pillow(data, header, max_side, mode, limits) if pixels is None else pixels
    with leashed("jpeg"):
        from sluice.media import colour

        converts = profile is not None and colour.conversion(profile, header.mode) is not None
        if header.mode == "CMYK":
            layout = "CMYK"
        elif header.mode == "L" and converts:
            layout = "GRAY"
        else:
            layout = "RGB" if converts else colour_as if mode == "rgb" else "GRAY"
        pixels = _jpeg_pixels(data, layout, least, strict=strict)
        if pixels is None:
            return _pillow(data, header, max_side, mode, limits)
        if converts or layout == "CMYK":
            from PIL import Image

            # CMYK JPEGs are stored inverted, as Adobe writes them; viewers take all of them so, and Pillow too.
            image = Image.fromarray(~pixels, "CMYK") if layout == "CMYK" else Image.fromarray(pixels)
            return _as_mode(colour.to_srgb(image, profile), mode)
        return pixels


def _plain_jpeg(data: bytes, layout: str, least: tuple[int, int], *, strict: bool) -> Pixels | None:
    """`_jpeg_pixels` where Pillow has nothing to do, so that it need not be leashed: that takes 20 us an image."""
    try:
        return _jpeg_pixels(data, layout, least, strict=strict)
    except SampleFailure:
        raise
    except Exception as error:
        raise failure("jpeg", error) from error


def _jpeg_pixels(data: bytes, layout: str, least: tuple[int, int], *, strict: bool) -> Pixels | None:
    """Decode with simplejpeg; None where libjpeg-turbo's simple interface does not know the kind of JPEG.

    Strict means any warning of libjpeg is a failure: that alone finds truncation and flipped bits. Warnings
    about the header are no damage, so what fails is tried again with its header mended.
    """
    try:
        pixels = _simplejpeg(data, layout, least, strict=strict)
    except ValueError as error:
        words = str(error)
        if any(word in words.lower() for word in _NOT_JPEGS_FAULT):
            return None
        if not strict or words.startswith("Premature end"):
            raise failure("jpeg", error) from error
        try:
            pixels = _simplejpeg(jpeg.mended(data), layout, least, strict=True)
        except ValueError:
            raise failure("jpeg", error) from error
    return pixels[:, :, 0] if pixels.shape[2] == 1 else pixels


def _simplejpeg(data: bytes, layout: str, least: tuple[int, int], *, strict: bool) -> Pixels:
    return simplejpeg.decode_jpeg(data, layout, min_height=least[0], min_width=least[1], strict=strict)


def _least_size(header: Header, max_side: int | None) -> tuple[int, int]:
    """Height and width, as stored, of the smallest fast scale whose longer side reaches `max_side`."""
    height, width = (header.width, header.height) if header.orientation >= 5 else (header.height, header.width)
    longer = max(height, width)
    wanted = longer if max_side is None else min(max_side, longer)
    scale = next(scale for scale in _SCALES if -(-longer * scale // 8) >= wanted)
    return -(-height * scale // 8), -(-width * scale // 8)


def _pillow(data: bytes, header: Header, max_side: int | None, mode: Mode, limits: Limits) -> Pixels:
    with leashed(header.format, truncated=limits.truncated == "decode"), open_image(data, header.format) as image:
        from sluice.media import colour

        pixels = image.size[0] * image.size[1]
        if pixels > limits.pixels:  # the plugin reads another size than our header: a file made to deceive
            raise SampleFailure("too_large", f"{pixels:,} px, more than the limit of {limits.pixels:,} (limits.pixels)")
        longer = max(image.size)
        factor = 1 if max_side is None else max(1, longer // max_side)
        if header.format == "jpeg" and max_side is not None:
            image.draft(None, (max_side, max_side))
        with libtiff_heard(strict=limits.truncated == "fail") if header.format == "tiff" else nullcontext():
            image.load()
        profile = image.info.get("icc_profile")
        factor = max(1, min(factor, max(image.size) // (max_side or longer)))
        return _as_mode(colour.to_srgb(colour.plain(image, factor), profile), mode)


def _as_mode(image: Image.Image, mode: Mode) -> Pixels:
    wanted = "RGB" if mode == "rgb" else "L"
    return np.asarray(image if image.mode == wanted else image.convert(wanted))


def _turned(pixels: Pixels, orientation: int) -> Pixels:
    """The pixels turned as EXIF asks: 2 to 4 mirror, 5 to 8 lie on their side."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels
