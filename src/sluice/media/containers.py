"""PNG, GIF and WebP by their chunks and blocks: size, frames and where a cut file ends, without decoding."""

from __future__ import annotations

from struct import Struct
from typing import Final
from zlib import crc32

from sluice.errors import SampleFailure
from sluice.media.exif import orientation
from sluice.media.stored import Stored

MOST_BLOCKS: Final = 1_000_000  # chunks or sub-blocks of one file: past it a file was made to burn time
_CHUNK: Final = Struct(">I4s")
_PNG_MODES: Final = {0: ("L", 1), 2: ("RGB", 3), 3: ("P", 1), 4: ("LA", 2), 6: ("RGBA", 4)}  # colour type: channels
_PNG_GRAY: Final = {1: "1", 16: "I;16"}


def png(data: bytes) -> Stored:
    """Read the chunks of a PNG, through to the last: an orientation may stand after the pixels."""
    if data[12:16] != b"IHDR" or len(data) < 33:
        raise SampleFailure("decode", "a PNG without a whole IHDR chunk: it says no width and height")
    bits, colour = data[24], data[25]
    if colour not in _PNG_MODES or bits not in (1, 2, 4, 8, 16):
        raise SampleFailure("decode", f"a PNG of colour type {colour} with {bits} bits: there is no such PNG")
    mode, channels = _PNG_MODES[colour]
    alpha, icc, frames, turned = colour in (4, 6), False, 1, 1
    cut: str | None = None
    at, size, chunks, pixels = 8, len(data), 0, False
    while True:
        if at + 12 > size:
            cut = _cut(size, "IEND chunk")
            break
        length, kind = _CHUNK.unpack_from(data, at)
        end = at + 12 + length
        if kind == b"IEND":
            break
        if end > size:
            cut = _cut(size, f"{kind.decode('latin-1')!r} chunk of {length:,} bytes")
            pixels = pixels or kind == b"IDAT"
            break
        if kind == b"IDAT":
            pixels = True
        elif kind == b"tRNS":
            alpha = True
        elif kind == b"iCCP":
            icc = True
        elif kind == b"eXIf":
            turned = orientation(data[at + 8 : end - 4])
        elif kind == b"acTL" and not pixels and length >= 4:
            frames = max(1, int.from_bytes(data[at + 8 : at + 12], "big"))
        at, chunks = end, chunks + 1
        if chunks > MOST_BLOCKS:
            raise SampleFailure("too_large", f"a PNG of more than {MOST_BLOCKS:,} chunks")
    if not pixels:
        raise SampleFailure("decode", f"a PNG without pixels: {cut or 'it has no IDAT chunk'}")
    return Stored(
        width=int.from_bytes(data[16:20], "big"),
        height=int.from_bytes(data[20:24], "big"),
        mode=_PNG_GRAY.get(bits, "L") if colour == 0 else f"{mode};16" if bits == 16 else mode,
        depth=bits * channels,
        frames=min(frames, 2**31 - 1),
        orientation=turned,
        alpha=alpha,
        icc=icc,
        cut=cut,
    )


def damaged_png(data: bytes) -> str | None:
    """The first pixel chunk whose checksum is wrong; None where all are right. Pillow does not look at them."""
    at, view = 8, memoryview(data)
    while at + 12 <= len(data):
        length, kind = _CHUNK.unpack_from(data, at)
        end = at + 8 + length
        if kind == b"IDAT" and crc32(view[at + 4 : end]).to_bytes(4, "big") != data[end : end + 4]:
            return f"the checksum of its IDAT chunk at byte {at:,} is wrong"
        if kind == b"IEND":
            break
        at = end + 4
    return None


def gif(data: bytes) -> Stored:
    """Walk the blocks of a GIF, counting its frames."""
    if len(data) < 13:
        raise SampleFailure("decode", f"truncated GIF: {len(data)} bytes hold no whole screen descriptor")
    width, height = data[6] | data[7] << 8, data[8] | data[9] << 8
    at = 13 + _palette(data[10])
    frames, blocks, alpha = 0, 0, False
    cut: str | None = None
    try:
        while (kind := data[at]) != 0x3B:  # the trailer
            blocks += 1
            if blocks > MOST_BLOCKS:
                raise SampleFailure("too_large", f"a GIF of more than {MOST_BLOCKS:,} blocks")
            if kind == 0x21:  # an extension: a graphic control says whether the next frame is transparent
                if data[at + 1] == 0xF9 and frames == 0:
                    alpha = bool(data[at + 3] & 1)
                at += 2
            elif kind == 0x2C:  # an image
                left, top, wide, high = (data[at + n] | data[at + n + 1] << 8 for n in (1, 3, 5, 7))
                if frames == 0:  # a first frame past the screen widens it, as Pillow has it
                    width, height = max(width, left + wide), max(height, top + high)
                frames += 1
                at += 11 + _palette(data[at + 9])
            else:
                at += 1  # junk between blocks, which viewers pass over
                continue
            while step := data[at]:
                at += step + 1
                blocks += 1
            at += 1
    except IndexError:
        cut = _cut(len(data), "trailer")
    if not frames:
        raise SampleFailure("decode", f"a GIF without a frame: {cut or 'its trailer comes first'}")
    return Stored(width=width, height=height, mode="P", depth=8, frames=frames, alpha=alpha, cut=cut)


def webp(data: bytes) -> Stored:
    """Read the chunks of a WebP: lossy, lossless or extended."""
    size = len(data)
    if size < 30:
        raise SampleFailure("decode", f"truncated WebP: {size} bytes hold no whole header")
    promised = int.from_bytes(data[4:8], "little") + 8
    cut = (
        _cut(size, f"{promised:,} bytes it says it has") if promised > size + 1 else None
    )  # one byte: left-out padding
    kind = data[12:16]
    if kind == b"VP8 ":
        if data[23:26] != b"\x9d\x01\x2a":
            raise SampleFailure("decode", "a WebP whose lossy frame has no start code")
        width, height = (int.from_bytes(data[n : n + 2], "little") & 0x3FFF for n in (26, 28))
        return Stored(width, height, "RGB", 24, cut=cut)
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        alpha = bool(bits >> 28 & 1)
        mode = "RGBA" if alpha else "RGB"
        return Stored((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, mode, 8 * len(mode), alpha=alpha, cut=cut)
    if kind != b"VP8X":
        raise SampleFailure("decode", "a WebP without an image: its first chunk is none of VP8, VP8L, VP8X")
    width, height = (int.from_bytes(data[n : n + 3], "little") + 1 for n in (24, 27))
    frames, turned, icc = 0, 1, False
    at, chunks = 12, 0
    while at + 8 <= size:
        name, end = data[at : at + 4], at + 8 + int.from_bytes(data[at + 4 : at + 8], "little")
        if name == b"ANMF":
            frames += 1
        elif name == b"EXIF":
            turned = orientation(data[at + 8 : end])
        elif name == b"ICCP":
            icc = True
        at, chunks = end + (end & 1), chunks + 1
        if chunks > MOST_BLOCKS:
            raise SampleFailure("too_large", f"a WebP of more than {MOST_BLOCKS:,} chunks")
    alpha = bool(data[20] & 0x10)
    mode = "RGBA" if alpha else "RGB"
    return Stored(width, height, mode, 8 * len(mode), max(1, frames), turned, None, alpha, icc, cut)


def _palette(flags: int) -> int:
    """Bytes of the colour table that a GIF's packed flags announce."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _cut(size: int, missing: str) -> str:
    return f"the file ends after {size:,} bytes, before its {missing}"
