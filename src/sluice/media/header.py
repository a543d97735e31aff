"""What the first bytes of an image tell, without decoding a pixel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sluice.errors import SampleFailure
from sluice.media import containers, jpeg
from sluice.media.limits import Limits
from sluice.media.stored import Stored

# An image that takes no more memory than this is never a bomb, however well it is compressed: a blank lossless
# WebP or bilevel TIFF reaches ratios past 100,000 and is honest.
RATIO_FROM: Final = 16 * 2**20
_FORMATS: Final = "jpeg, png, webp, gif, bmp, tiff, avif, heic"
_TIFF: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_HEIC: Final = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_AVIF: Final = frozenset({b"avif", b"avis"})
_OTHERS: Final = (  # what is often found under an image's name, said by its name
    (b"%PDF", "a PDF"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "gzip data"),
    (b"{", "JSON or text"),
    (b"%!PS", "PostScript"),
    (b"\x76\x2f\x31\x01", "an OpenEXR image"),
    (b"8BPS", "a Photoshop document"),
    (b"\0\0\0\x0cjP", "a JPEG 2000 image"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL image"),
    (b"\xff\x0a", "a JPEG XL image"),
    (b"\0\0\x01\0", "a Windows icon"),
)


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


def read_header(data: bytes, limits: Limits) -> Header:
    """Say what an image is from its content, and refuse what is none or passes a limit; nothing is decoded.

    Raises SampleFailure: `too_large` past `limits`, `decode` where there is no image to read. The ratio of
    decoded to encoded bytes counts one frame at the depth it is stored in, from 16 MiB decoded on.

    >>> read_header(b"<html>404</html>", Limits())
    Traceback (most recent call last):
    sluice.errors.SampleFailure: decode: not an image: an HTML page
    """
    size = len(data)
    if size > limits.bytes:
        raise SampleFailure("too_large", f"{size:,} bytes, more than the limit of {limits.bytes:,} (limits.bytes)")
    name = sniff(data)
    stored = _stored(data, name)
    _check(stored, size, limits)
    turned = stored.orientation >= 5
    return Header(
        format=name,
        width=stored.height if turned else stored.width,
        height=stored.width if turned else stored.height,
        bytes=size,
        frames=stored.frames,
        mode=stored.mode,
        orientation=stored.orientation,
        bits_per_pixel=8 * size / (stored.width * stored.height),
        jpeg_quality=stored.jpeg_quality,
        alpha=stored.alpha,
        icc=stored.icc,
    )


def sniff(data: bytes) -> str:
    """The format of an image, from its content; raises SampleFailure saying what else it looks like.

    >>> sniff(b"GIF89a" + bytes(100))
    'gif'
    """
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "webp"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    if data.startswith(_TIFF):
        return "tiff"
    if data.startswith(b"BM") and len(data) > 26:
        return "bmp"
    if data[4:8] == b"ftyp":
        size = min(int.from_bytes(data[:4], "big"), 512)
        brands = {data[8:12], *(data[at : at + 4] for at in range(16, size, 4))}
        if brands & _AVIF:
            return "avif"
        if brands & _HEIC:
            return "heic"
    raise SampleFailure("decode", f"not an image: {_looks_like(data)}")


def require_whole(data: bytes, name: str) -> None:
    """Raise SampleFailure where the structure of a file goes on past its end, or its checksums are wrong.

    Decoders are lenient: Pillow takes a PNG without its end and a GIF cut after its first frame. A JPEG is left
    to its decoder, which is strict.
    """
    if name != "jpeg" and (cut := _stored(data, name).cut):
        raise SampleFailure("decode", f"truncated {name}: {cut}")
    if name == "png" and (damage := containers.damaged_png(data)):
        raise SampleFailure("decode", f"damaged png: {damage}")


def _stored(data: bytes, name: str) -> Stored:
    if name == "jpeg":
        return jpeg.stored(data)
    if name == "png":
        return containers.png(data)
    if name == "webp":
        return containers.webp(data)
    if name == "gif":
        return containers.gif(data)
    from sluice.media import pillow

    return pillow.stored(data, name)


def _check(stored: Stored, size: int, limits: Limits) -> None:
    width, height = stored.width, stored.height
    if width < 1 or height < 1:
        raise SampleFailure("decode", f"a header that says {width} x {height} px: there is no image in it")
    pixels = width * height
    if pixels > limits.pixels:
        raise SampleFailure(
            "too_large", f"{width:,} x {height:,} px, more than the limit of {limits.pixels:,} (limits.pixels)"
        )
    decoded = pixels * stored.depth // 8
    if decoded > RATIO_FROM and decoded > limits.ratio * size:
        raise SampleFailure(
            "too_large",
            f"{size:,} bytes that say they hold {width:,} x {height:,} px: {decoded / size:,.0f} times as much, "
            f"more than the limit of {limits.ratio:,.0f} (limits.ratio)",
        )


def _looks_like(data: bytes) -> str:
    if not data:
        return "an empty file (0 bytes)"
    start = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n")
    lower = start.lower()
    if b"<svg" in lower:
        return "an SVG drawing"
    if lower.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "an HTML page"
    if start.startswith((b"<?xml", b"<")):
        return "XML or HTML"
    for mark, what in _OTHERS:
        if data.startswith(mark):
            return what
    if not data.strip(b"\0"):
        return f"{len(data):,} zero bytes"
    return f"it starts with {data[:8].hex(' ')} and is none of {_FORMATS}"
