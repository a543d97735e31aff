"""A seeded stream of hostile files: mutated, truncated, mislabelled and bomb-like images in every format.

    for name, data in hostile_corpus(seed=0, count=2_000):
        ...

Names carry the kind and the extension the file pretends to. The same seed gives the same bytes. Most files are
small mutations of honest ones; every 16th or so is one of the hand-made monsters of `monsters`.
"""

from __future__ import annotations

import io
import random
import struct
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
from PIL import Image

from media.monsters import monsters

HAVE_HEIF = True
try:
    import pillow_heif
except ImportError:  # the extra is optional, here too
    HAVE_HEIF = False

EXTENSIONS = {"jpeg": "jpg", "png": "png", "webp": "webp", "gif": "gif", "bmp": "bmp", "tiff": "tif", "avif": "avif"}


def hostile_corpus(seed: int, count: int) -> Iterator[tuple[str, bytes]]:
    """Yield `count` hostile files as (name, bytes), the same for the same seed."""
    rng = random.Random(seed)
    honest = honest_files()
    made = monsters(honest)
    names = sorted(honest)
    for number in range(count):
        if number % 16 == 0:
            kind, data = made[(number // 16 + seed) % len(made)]
            extension = rng.choice(list(EXTENSIONS.values()))
        else:
            name = rng.choice(names)
            mutate = rng.choice(_MUTATIONS)
            data = mutate(rng, honest[name])
            kind = f"{name}-{mutate.__name__.strip('_')}"
            extension = EXTENSIONS.get(name.split("-")[0], "heic")
        yield f"{number:05d}-{kind}.{extension}", data


@cache
def honest_files() -> dict[str, bytes]:
    """Small whole files of every format and of the odder kinds of each, by name."""
    rng = np.random.default_rng(7)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 4), dtype=np.uint8), "RGBA")
    rgba = coarse.resize((64, 48), Image.Resampling.BICUBIC)
    rgb, gray = rgba.convert("RGB"), rgba.convert("L")
    deep = Image.fromarray(np.asarray(gray).astype(np.uint16) * 257)
    exif = Image.Exif()
    exif[0x0112] = 6
    frames = [rgb.rotate(90 * turn).convert("P") for turn in range(1, 4)]
    files = {
        "jpeg": _saved(rgb, "JPEG", quality=80, exif=exif),
        "jpeg-progressive": _saved(rgb, "JPEG", progressive=True),
        "jpeg-gray": _saved(gray, "JPEG"),
        "jpeg-cmyk": _saved(rgb.convert("CMYK"), "JPEG"),
        "jpeg-restarts": _saved(rgb, "JPEG", restart_marker_rows=1),
        "png": _saved(rgb, "PNG", exif=exif),
        "png-alpha": _saved(rgba, "PNG"),
        "png-palette": _saved(rgb.convert("P"), "PNG", transparency=3),
        "png-16": _saved(deep, "PNG"),
        "png-animated": _saved(rgb, "PNG", save_all=True, append_images=[rgb.rotate(90)]),
        "webp": _saved(rgb, "WEBP"),
        "webp-lossless": _saved(rgba, "WEBP", lossless=True),
        "webp-animated": _saved(rgb, "WEBP", save_all=True, append_images=[rgb.rotate(90)]),
        "gif": _saved(rgb.convert("P"), "GIF"),
        "gif-animated": _saved(rgb.convert("P"), "GIF", save_all=True, append_images=frames, transparency=1),
        "bmp": _saved(rgb, "BMP"),
        "bmp-palette": _saved(rgb.convert("P"), "BMP"),
        "tiff": _saved(rgb, "TIFF"),
        "tiff-lzw": _saved(rgb, "TIFF", compression="tiff_lzw"),
        "tiff-jpeg": _saved(rgb, "TIFF", compression="jpeg"),
        "tiff-deflate": _saved(rgba, "TIFF", compression="tiff_adobe_deflate"),
        "tiff-fax": _saved(gray.convert("1"), "TIFF", compression="group4"),
        "tiff-16": _saved(deep, "TIFF"),
        "tiff-pages": _saved(rgb, "TIFF", save_all=True, append_images=[gray]),
        "avif": _saved(rgb, "AVIF", speed=10, max_threads=1),
        "avif-alpha": _saved(rgba, "AVIF", speed=10, max_threads=1),
    }
    if HAVE_HEIF:
        buffer = io.BytesIO()
        pillow_heif.from_pillow(rgb).save(buffer, quality=60)
        files["heic"] = buffer.getvalue()
    return files


def _flip_bits(rng: random.Random, data: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def _flip_header(rng: random.Random, data: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice((1, 2, 4))):
        out[rng.randrange(4, min(64, len(out)))] = rng.randrange(256)
    return bytes(out)


def _truncate(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.choice((rng.randrange(len(data)), len(data) - rng.randrange(1, 20), rng.randrange(1, 80)))]


def _cut_out(rng: random.Random, data: bytes) -> bytes:
    start = rng.randrange(8, len(data))
    return data[:start] + data[start + rng.randrange(1, 200) :]


def _insert(rng: random.Random, data: bytes) -> bytes:
    start = rng.randrange(4, len(data))
    return data[:start] + rng.randbytes(rng.randrange(1, 200)) + data[start:]


def _overwrite(rng: random.Random, data: bytes) -> bytes:
    start, length = rng.randrange(4, len(data)), rng.randrange(1, 64)
    filling = rng.choice((b"\0", b"\xff", rng.randbytes(1))) * length
    return data[:start] + filling + data[start + length :]


def _huge_numbers(rng: random.Random, data: bytes) -> bytes:
    start = rng.randrange(4, min(200, len(data)))
    number = rng.choice((2**32 - 1, 2**31, 2**31 - 1, 2**30, 65_536, 0))
    return data[:start] + struct.pack(rng.choice(("<I", ">I")), number) + data[start + 4 :]


def _repeat_part(rng: random.Random, data: bytes) -> bytes:
    start = rng.randrange(len(data))
    part = data[start : start + rng.randrange(1, 100)]
    return data[:start] + part * rng.randrange(2, 200) + data[start:]


def _graft(rng: random.Random, data: bytes) -> bytes:
    other = honest_files()[rng.choice(sorted(honest_files()))]
    return data[: rng.randrange(1, len(data))] + other[rng.randrange(len(other)) :]


def _trail(rng: random.Random, data: bytes) -> bytes:
    return data + rng.choice((b"\0" * 5_000, rng.randbytes(500), data, b"\r\n--boundary--"))


_MUTATIONS: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    _flip_bits, _flip_bits, _flip_header, _truncate, _truncate, _cut_out, _insert, _overwrite, _huge_numbers,
    _repeat_part, _graft, _trail,
)  # fmt: skip


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.copy().save(buffer, kind, **options)  # a copy: Pillow keeps the last encoder's settings on an image
    return buffer.getvalue()
