"""Any stored colours to 8-bit sRGB or gray on white: depth, palette, alpha, CMYK, ICC profiles."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

_LARGEST_PROFILE: Final = 4 * 2**20  # bytes; printers' profiles reach about 2 MiB
_SPACES: Final = {"L": b"GRAY", "RGB": b"RGB ", "CMYK": b"CMYK"}  # Pillow's mode: a profile's own name for it
_SAME: Final = 2  # of 255: profiles that move no colour further than this are sRGB under another name
_DIRECT: Final = frozenset({"L", "LA", "RGB", "RGBA", "CMYK"})  # modes that Pillow can reduce as they are


def plain(image: Image.Image, factor: int) -> Image.Image:
    """The image as L, RGB or CMYK of 8 bits, on white where it is transparent, reduced `factor` times."""
    if image.mode in _DIRECT and "transparency" not in image.info:
        image = image.reduce(factor) if factor > 1 else image
        return _on_white(image)
    image = _on_white(_eight_bits(image))
    return image.reduce(factor) if factor > 1 else image


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """An L, RGB or CMYK image as sRGB (L or RGB), through its ICC profile where that is usable, else without.

    A profile that is broken or made for other colours than the image has is passed over, as viewers do.
    """
    transform = conversion(profile, image.mode) if profile else None
    if transform is not None:
        converted = ImageCms.applyTransform(image, transform)
        if converted is not None:
            return converted
    return image.convert("RGB") if image.mode == "CMYK" else image


@lru_cache(maxsize=16)
def conversion(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The transform from a profile to sRGB; None where there is nothing to convert, or the profile is unusable."""
    if len(profile) > _LARGEST_PROFILE or profile[16:20] != _SPACES.get(mode):
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
        probe = _probe(mode)
        converted = None if probe is None else ImageCms.applyTransform(probe, transform)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    if probe is None or converted is None:
        return transform
    moved = np.abs(np.asarray(converted).astype(np.int16) - np.asarray(probe.convert("RGB")))
    return transform if moved.max() > _SAME else None


def _probe(mode: str) -> Image.Image | None:
    """Colours from all over the space, to see whether a profile changes any; None for CMYK, which always does."""
    steps = np.linspace(0, 255, 9).round().astype(np.uint8)
    if mode == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    if mode == "RGB":
        return Image.fromarray(np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3))
    return None


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode not in ("LA", "RGBA"):
        return image
    base = image.mode[:-1]
    white = Image.new(base, image.size, "white")
    white.paste(image.convert(base), mask=image.getchannel("A"))
    return white


def _eight_bits(image: Image.Image) -> Image.Image:
    """Any mode as L, LA, RGB, RGBA or CMYK."""
    if image.mode.startswith("I;16"):
        return _from_16_bits(image)
    if image.mode in ("I", "F"):
        return Image.fromarray(_stretched(np.asarray(image)))
    if image.mode == "LAB":
        lab = ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB")
        return ImageCms.applyTransform(image, lab) or image.convert("RGB")
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image if image.mode == "CMYK" else image.convert("L" if image.mode in ("1", "L") else "RGB")


def _from_16_bits(image: Image.Image) -> Image.Image:
    """16-bit gray to 8 bits as libpng rounds it; Pillow's own conversion clips everything past 255 to white."""
    values = np.asarray(image).astype(np.uint32)
    gray = ((values * 255 + 32895) >> 16).astype(np.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        gray[values == transparent] = 255
    return Image.fromarray(gray)


def _stretched(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """32-bit integers and floats have no white of their own: their own range becomes black to white."""
    known = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(known.min()), float(known.max())
    if low >= 0 and high <= 255 and values.dtype != np.float32:
        return known.astype(np.uint8)
    return ((known - low) * (255 / (high - low)) if high > low else known * 0).round().astype(np.uint8)
