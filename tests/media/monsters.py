"""Files made by hand to hurt a decoder: bombs, loops, lies about sizes, other things under an image's name."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from functools import cache


def monsters(honest: Mapping[str, bytes]) -> list[tuple[str, bytes]]:
    """The files, as (kind, bytes); some are made from the `honest` ones."""
    jpeg, png, gif = honest["jpeg"], honest["png"], honest["gif"]
    dot, zeros = zlib.compress(bytes(4)), _zeros(30_000_000)
    return [
        ("empty", b""),
        ("one-byte", b"\xff"),
        ("zeros", bytes(4_096)),
        ("html", b"<!DOCTYPE html><html><body>404 Not Found</body></html>"),
        ("text", b"This is not an image.\n" * 40),
        ("json", b'{"error": "not found"}'),
        ("svg", b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'),
        ("pdf", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<<>>\nendobj\n%%EOF"),
        ("postscript", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/tmp/owned) (w) file\n%%EOF"),
        ("zip", b"PK\x03\x04" + bytes(60)),
        ("gzip", b"\x1f\x8b\x08" + bytes(60)),
        ("icon", b"\x00\x00\x01\x00\x01\x00\x10\x10" + bytes(200)),
        ("photoshop", b"8BPS\x00\x01" + bytes(200)),
        *((f"magic-only-{index}", magic) for index, magic in enumerate(_MAGICS)),
        *((f"magic-and-zeros-{index}", magic + bytes(500)) for index, magic in enumerate(_MAGICS)),
        *((f"magic-and-ones-{index}", magic + b"\xff" * 500) for index, magic in enumerate(_MAGICS)),
        ("png-bomb", _png(20_000, 20_000, _zeros(50_000_000))),
        ("png-huge-size", _png(2**31 - 1, 2**31 - 1, zlib.compress(b"\0" * 100))),
        ("png-long-line", _png(120_000_000, 1, zlib.compress(b"\0" * 100))),
        ("png-tall-line", _png(1, 120_000_000, zlib.compress(b"\0" * 100))),
        ("png-zero-size", _png(0, 0, zlib.compress(b""))),
        ("png-lies", _png(3_000, 3_000, zlib.compress(b"\0" * 100))),
        ("png-text-bomb", _png(1, 1, dot, (b"zTXt", b"k\0\0" + zeros))),
        ("png-many-texts", _png(1, 1, dot, *([(b"tEXt", b"k\0" + bytes(90))] * 5_000))),
        ("png-icc-bomb", _png(1, 1, dot, (b"iCCP", b"p\0\0" + zeros))),
        ("png-many-chunks", png[:33] + _chunk(b"aaAa", b"") * 50_000 + png[33:]),
        ("png-two-headers", png[:33] + _chunk(b"IHDR", _ihdr(30_000, 30_000)) + png[33:]),
        ("png-no-end", png[:-12]),
        ("png-animation-lies", png[:33] + _chunk(b"acTL", struct.pack(">II", 2**31, 0)) + png[33:]),
        ("gif-huge-screen", gif[:6] + b"\xff\xff\xff\xff" + gif[10:]),
        ("gif-huge-frame", _gif(1, 1, 65_535, 65_535, 1)),
        ("gif-many-frames", _gif(4, 4, 4, 4, 4_000)),
        ("gif-no-trailer", _gif(4, 4, 4, 4, 3)[:-1]),
        ("gif-empty-blocks", gif[:13] + b"\x21\xfe\x01x\x00" * 20_000 + gif[13:]),
        ("webp-huge-canvas", _riff(b"VP8X", b"\x10\0\0\0" + b"\xff\xff\xff" * 2)),
        ("webp-huge-lossless", _riff(b"VP8L", b"\x2f" + b"\xff" * 4 + bytes(60))),
        ("webp-huge-lossy", _riff(b"VP8 ", b"\x30\x01\0\x9d\x01\x2a\xff\x3f\xff\x3f" + bytes(60))),
        ("bmp-huge", _bmp(30_000, 30_000, 24)),
        ("bmp-negative", _bmp(-9, -9, 24) + bytes(99)),
        ("bmp-rle-endless", _bmp(5_000, 3_000, 8, compression=1) + b"\0\2\0\0" * 9),
        ("bmp-palette-lies", _bmp(9, 9, 8, colours=2**31 - 1)),
        ("tiff-loop", _tiff([*_NINE], following=8)),
        ("tiff-huge", _tiff([(256, 4, 1, 60_000), (257, 4, 1, 60_000), *_GRAY, (273, 4, 1, 8)])),
        ("tiff-endless-tag", _tiff([(256, 4, 2**31, 8), (257, 4, 1, 9), (273, 4, 2**30, 8)])),
        ("tiff-bomb", _tiff_bomb()),
        ("tiff-lies-tile", _tiff([*_NINE, *_GRAY, *_HUGE_TILE])),
        ("tiff-no-pages", b"II*\0" + struct.pack("<I", 0)),
        ("tiff-big-loop", b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 0) + struct.pack("<Q", 16)),
        ("jpeg-huge-size", _resized(jpeg, 65_500, 65_500)),
        ("jpeg-zero-height", _resized(jpeg, 64, 0)),
        ("jpeg-lies-large", _resized(jpeg, 9_000, 9_000)),
        ("jpeg-lies-small", _resized(jpeg, 8, 8)),
        ("jpeg-many-scans", _many_scans(honest["jpeg-progressive"])),
        ("jpeg-fill-bytes", jpeg[:2] + b"\xff" * 100_000 + jpeg[2:]),
        ("jpeg-junk-between", jpeg[:2] + bytes(1_000) + jpeg[2:]),
        ("jpeg-many-comments", jpeg[:2] + b"\xff\xfe\x00\x02" * 50_000 + jpeg[2:]),
        ("jpeg-end-first", b"\xff\xd8\xff\xd9" + jpeg),
        ("jpeg-exif-loop", jpeg[:2] + _segment(0xE1, _EXIF_LOOP) + jpeg[2:]),
        ("jpeg-icc-rubbish", jpeg[:2] + _segment(0xE2, _ICC_RUBBISH) + jpeg[2:]),
        ("avif-box-zero", b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf" + bytes(40)),
        ("avif-box-huge", b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf" + b"\xff\xff\xff\xffmeta" + bytes(40)),
        ("heic-box-huge", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\xff\xff\xff\xffmeta" + bytes(40)),
        *((f"then-{name}", png + data) for name, data in honest.items()),
    ]  # fmt: skip


_NINE = ((256, 4, 1, 9), (257, 4, 1, 9))  # TIFF entries (tag, type, number, value): 9 px wide and high
_GRAY = ((258, 3, 1, 8), (262, 3, 1, 1))  # 8 bits, black is zero
_HUGE_TILE = ((322, 4, 1, 2**31), (323, 4, 1, 2**31), (324, 4, 1, 8), (325, 4, 1, 9))
_EXIF_LOOP = b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x87\x69\0\4\0\0\0\1\0\0\0\x08" * 90
_ICC_RUBBISH = b"ICC_PROFILE\0\1\1" + bytes(16) + b"RGB XYZ " + b"\xff" * 200
_MAGICS = (
    b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"RIFF\x40\0\0\0WEBPVP8X", b"RIFF\x40\0\0\0WEBPVP8L", b"GIF89a", b"BM",
    b"II*\0", b"MM\0*", b"II+\0\x08\0\0\0", b"\0\0\0\x20ftypavif", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
)  # fmt: skip


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(width: int, height: int, pixels: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    head = _chunk(b"IHDR", _ihdr(width, height))
    extra = b"".join(_chunk(kind, data) for kind, data in chunks)
    return b"\x89PNG\r\n\x1a\n" + head + extra + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def _ihdr(width: int, height: int) -> bytes:
    return struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)


def _bmp(width: int, height: int, bits: int, compression: int = 0, colours: int = 0) -> bytes:
    head = (0, 0, 0, 54, 40, width, height, 1, bits, compression, 0, 0, 0, colours, 0)
    return b"BM" + struct.pack("<IHHIIiiHHIIIIII", *head)


def _gif(screen_width: int, screen_height: int, width: int, height: int, frames: int) -> bytes:
    head = b"GIF89a" + struct.pack("<HHBBB", screen_width, screen_height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x05\x84\x8f\xa9\xcb\x51\x00"
    return head + frame * frames + b"\x3b"


def _riff(kind: bytes, data: bytes) -> bytes:
    body = b"WEBP" + kind + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _tiff(entries: list[tuple[int, int, int, int]], following: int = 0) -> bytes:
    packed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + packed + struct.pack("<I", following)


@cache
def _zeros(number: int) -> bytes:
    """That many zero bytes, deflated: a thousandth of the size."""
    return zlib.compress(bytes(number))


def _tiff_bomb() -> bytes:
    """A megabyte of deflated zeros that says it is 11,000 x 11,000 px in one strip."""
    pixels = _zeros(121_000_000)
    entries = [
        (256, 4, 1, 11_000), (257, 4, 1, 11_000), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, 134),
        (277, 3, 1, 1), (278, 4, 1, 11_000), (279, 4, 1, len(pixels)),
    ]  # fmt: skip
    return _tiff(entries).ljust(134, b"\0") + pixels


def _segment(marker: int, data: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(data) + 2) + data


def _resized(jpeg: bytes, width: int, height: int) -> bytes:
    """The same JPEG with another size in its frame header."""
    at = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:at] + struct.pack(">HH", height, width) + jpeg[at + 4 :]


def _many_scans(jpeg: bytes) -> bytes:
    """A progressive JPEG whose last scan comes a thousand times."""
    last = jpeg.rindex(b"\xff\xda")
    return jpeg[:last] + jpeg[last:-2] * 1_000 + b"\xff\xd9"
