"""What the first bytes of an image tell, without decoding a pixel."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Header:
    """An image's header; width and height are px as a viewer shows it (EXIF orientation applied)."""

    format: str  # jpeg | png | webp | gif | bmp | tiff | avif | heic
    width: int
    height: int
    bytes: int
    frames: int
    mode: str  # as the file stores it: L, RGB, RGBA, P, CMYK, I;16, ...
    orientation: int  # EXIF, 1 to 8
    bits_per_pixel: float  # encoded bits / pixels
    jpeg_quality: int | None  # estimated from the quantisation tables, 1 to 100
    alpha: bool
    icc: bool
