"""Pillow on a leash: the plugins of our formats only, no process-wide switch left on, every failure a SampleFailure."""

from __future__ import annotations

import importlib
import io
import logging
import os
import re
import tempfile
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from sluice.errors import SampleFailure
from sluice.media.exif import orientation
from sluice.media.stored import Stored
from sluice.media.tiff import pages

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

# The classes are called themselves: Image.open() would try what the process has registered, and EPS runs programs.
_PLUGINS: Final = {
    "jpeg": ("PIL.JpegImagePlugin", "JpegImageFile"),
    "png": ("PIL.PngImagePlugin", "PngImageFile"),
    "webp": ("PIL.WebPImagePlugin", "WebPImageFile"),
    "gif": ("PIL.GifImagePlugin", "GifImageFile"),
    "bmp": ("PIL.BmpImagePlugin", "BmpImageFile"),
    "tiff": ("PIL.TiffImagePlugin", "TiffImageFile"),
    "avif": ("PIL.AvifImagePlugin", "AvifImageFile"),
    "heic": ("pillow_heif", "HeifImageFile"),
}
_DEPTHS: Final = {"1": 1, "L": 8, "P": 8, "LA": 16, "PA": 16, "RGB": 24, "YCbCr": 24, "LAB": 24, "HSV": 24, "F": 32}
_ADDRESS: Final = re.compile(r"<[^<>]* at 0x[0-9a-fA-F]+>|0x[0-9a-fA-F]{6,}")
_NO_MEMORY: Final = re.compile(r"out of memory|insufficient memory|cannot allocate|memory allocation", re.IGNORECASE)

logging.getLogger("PIL").addHandler(
    logging.NullHandler()
)  # it logs what it then raises; an application may still listen


@contextmanager
def leashed(format_name: str, *, truncated: bool = False) -> Generator[None]:
    """Run Pillow inside: our limits in place of its own, warnings silent, whatever it raises a SampleFailure.

    Third-party decoders raise anything on hostile bytes (struct.error, zlib.error, OverflowError, SyntaxError,
    a bare Exception of LittleCMS ...), so this one place catches all of it, and keeps the class and the words.
    """
    from PIL import Image, ImageFile

    before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
    Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = None, truncated
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except SampleFailure:
        raise
    except Exception as error:
        raise failure(format_name, error) from error
    finally:
        Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = before


def open_image(data: bytes, format_name: str) -> ImageFile:
    """The image as Pillow's plugin for this very format opens it; no pixel is decoded yet. Call it `leashed`."""
    module_name, class_name = _PLUGINS[format_name]
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        if format_name == "heic":
            raise SampleFailure("decode", "HEIC needs an optional package: pip install 'sluice[heif]'") from error
        raise
    if format_name == "avif":
        vars(module)["DEFAULT_MAX_THREADS"] = 1  # a worker is one thread; the engine makes as many as there are cores
    return getattr(module, class_name)(io.BytesIO(data))


@contextmanager
def libtiff_heard(*, strict: bool) -> Generator[None]:
    """Take what libtiff writes to stderr inside, and say it in the failure: Pillow knows only "decoder error -2".

    libtiff fills in after an error (a bad code word, a missing strip) and goes on; with `strict` that is a failure
    too. It writes to the descriptor itself, so that is turned to a file for as long as it decodes.
    """
    try:
        before = os.dup(2)
    except OSError:  # a process without stderr: nothing to hear, and nobody to disturb
        yield
        return
    error: OSError | None = None
    with tempfile.TemporaryFile() as heard:
        os.dup2(heard.fileno(), 2)
        try:
            yield
        except OSError as raised:
            error = raised
        finally:
            os.dup2(before, 2)
            os.close(before)
        heard.seek(0)
        words = heard.readline(200).decode("utf-8", "replace").replace("tempfile.tif: ", "").strip()
    if words and (strict or error):
        raise SampleFailure("decode", f"tiff: {words}") from error
    if error:
        raise error


def stored(data: bytes, format_name: str) -> Stored:
    """Read the header of a BMP, TIFF, AVIF or HEIC."""
    with leashed(format_name), open_image(data, format_name) as image:
        width, height = image.size
        frames, cut, turned = int(getattr(image, "n_frames", 1)) if format_name != "tiff" else 1, None, 1
        if format_name == "tiff":
            frames, cut = pages(data)
            turned = _tiff_orientation(image.getexif().get(0x0112, 1))
            if turned >= 5:  # Pillow says the size of a TIFF as shown
                width, height = height, width
        elif format_name == "avif":
            turned = orientation(image.info.get("exif", b""))
        return Stored(
            width=width,
            height=height,
            mode=image.mode,
            depth=_DEPTHS.get(image.mode, 16 if image.mode.startswith("I;16") else 32),
            frames=frames,
            orientation=turned,
            alpha=image.has_transparency_data,
            icc=bool(image.info.get("icc_profile")),
            cut=cut or (_boxes_cut(data) if format_name in ("avif", "heic") else None),
        )


def failure(format_name: str, error: Exception) -> SampleFailure:
    """What a decoder raised, as a failure with a class; the words are the same in every process."""
    words = _ADDRESS.sub("it", " ".join(str(error).split()))
    if " " not in words:  # a KeyError says only the key
        words = f"damaged beyond reading ({type(error).__name__} {words})".replace(" )", ")")
    if isinstance(error, MemoryError) or _NO_MEMORY.search(words):
        return SampleFailure("too_large", f"{format_name}: not enough memory to decode it")
    return SampleFailure("decode", f"{format_name}: {words[:200]}")


def _tiff_orientation(value: object) -> int:
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _boxes_cut(data: bytes) -> str | None:
    """Where the top-level boxes of an AVIF or HEIC go on past the end of the file, before both that matter came."""
    at, missing = 0, {b"meta", b"mdat"}
    while missing and at + 8 <= len(data):
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        if size == 0:  # to the end of the file
            return None
        if size < 8:
            return f"a box of {size} bytes at byte {at:,}"
        at += size
        missing.discard(kind)
        if at > len(data):
            return f"the file ends after {len(data):,} bytes, within a box that goes on to byte {at:,}"
    return None
