"""What a file's own header says of an image as it is stored, before any orientation is applied."""

from __future__ import annotations

from typing import NamedTuple


class Stored(NamedTuple):
    """An image as stored; what each format's reader returns."""

    width: int
    height: int
    mode: str  # L, RGB, RGBA, P, CMYK, I;16, ...
    depth: int  # bits a pixel once decompressed, as stored: 1 for bilevel, 24 for RGB, 64 for 16-bit RGBA
    frames: int = 1
    orientation: int = 1
    jpeg_quality: int | None = None
    alpha: bool = False
    icc: bool = False
    cut: str | None = None  # where the file ends though its structure goes on; null when whole or not known
