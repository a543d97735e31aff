"""JPEG by its markers: the header without decoding, and the mending of harmless oddities.

The quality is estimated as libjpeg's: the sum of the luminance quantisation table is compared with the
sums of the Annex K table scaled for each quality from 1 to 100 (the IJG formula), and the nearest wins. It
is exact for every encoder that scales the standard table, and "as coarse as libjpeg's q" for the others.
"""

from __future__ import annotations

import ctypes
from bisect import bisect_left
from collections.abc import Iterator
from typing import Final, NamedTuple

from sluice.errors import SampleFailure
from sluice.media.exif import orientation
from sluice.media.stored import Stored
from sluice.native.calling import NUMBER, POINTER, SIZE, TEXT, bound

_SOI: Final = b"\xff\xd8"
_APP0, _APP1, _APP2, _APP14, _DQT, _SOS, _EOI, _TEM = 0xE0, 0xE1, 0xE2, 0xEE, 0xDB, 0xDA, 0xD9, 0x01
_SOF: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # all frame headers; DHT, JPG and DAC are none
_SEQUENTIAL: Final = frozenset({0xC0, 0xC1})
_PROGRESSIVE: Final = frozenset({0xC2, 0xCA})
_ALONE: Final = frozenset({_TEM, *range(0xD0, 0xD8)})  # markers without a length
_NEEDED: Final = frozenset({_DQT, 0xC4, 0xCC, 0xDD, *_SOF})  # what a decoder needs before the scan: tables and frame
_MODES: Final = {1: "L", 3: "RGB", 4: "CMYK"}
_MOST_SCANS: Final = 500  # libjpeg-turbo's own bound against progressive files made to burn time
_JFIF: Final = b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
_ICC: Final = b"ICC_PROFILE\0"
# ISO/IEC 10918-1, table K.1: luminance quantisation at "quality 50". Only its values matter here, not their order.
# fmt: off
_LUMINANCE: Final = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29,
    51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121,
    120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)
# fmt: on


class Segment(NamedTuple):
    """One marker before the scan: its code, and where its payload starts and ends."""

    marker: int
    start: int
    end: int


def segments(data: bytes) -> Iterator[Segment]:
    """The markers of a JPEG up to and with the first start of scan, junk between them skipped."""
    at, size = 2, len(data)
    while True:
        if data[at : at + 1] != b"\xff":
            at = data.find(b"\xff", at)
            if at < 0:
                raise _ends(size)
        while data[at : at + 1] == b"\xff":
            at += 1
        if at + 3 > size:
            raise _ends(size)
        marker = data[at]
        if marker in _ALONE or marker == 0:
            at += 1
            continue
        if marker == _EOI:
            raise SampleFailure("decode", "a JPEG that ends before its first scan: there is no image in it")
        end = at + 1 + (data[at + 1] << 8 | data[at + 2])
        if end > size or end < at + 3:
            raise _ends(size)
        yield Segment(marker, at + 3, end)
        if marker == _SOS:
            return
        at = end


def stored(data: bytes) -> Stored:
    """Read the header of a JPEG; raises SampleFailure where there is no whole one."""
    kernel = _kernel()
    if kernel is not None:
        facts = _Facts()
        if not kernel(data, len(data), facts):
            return _as_stored(data, *facts)
    return _as_stored(data, *_read(data))


_Facts: Final = ctypes.c_int64 * 9  # what `_read` gives
_kernel: Final = bound("jpeg_header", TEXT, SIZE, POINTER, gives=NUMBER)


def _as_stored(
    data: bytes, marker: int, precision: int, height: int, width: int, channels: int, table_sum: int, icc: int,
    exif: int, exif_end: int,
) -> Stored:  # fmt: skip
    if marker in _PROGRESSIVE and data.count(b"\xff\xda") > _MOST_SCANS:
        raise SampleFailure("too_large", f"a progressive JPEG of more than {_MOST_SCANS} scans")
    return Stored(
        width=width,
        height=height,
        mode=_MODES.get(channels) or f"{channels} channels",
        depth=precision * channels,
        orientation=orientation(data[exif:exif_end]) if exif else 1,
        jpeg_quality=_quality(table_sum),
        icc=bool(icc),
    )


def _read(data: bytes) -> tuple[int, int, int, int, int, int, int, int, int]:
    """The kernel's twin, which reads odd files too: the frame, its table's sum, whether ICC, where EXIF lies."""
    frame: Segment | None = None
    exif, icc = (0, 0), False
    tables: dict[int, int] = {}
    for segment in segments(data):
        marker, start, end = segment
        if marker == _DQT:
            _add_tables(data, start, end, tables)
        elif marker in _SOF:
            frame = frame or segment
        elif marker == _APP1 and data.startswith(b"Exif\0\0", start):
            if not exif[0] or orientation(data[slice(*exif)]) == 1:  # the first that turns it
                exif = start, end
        elif marker == _APP2 and not icc:
            icc = data.startswith(_ICC, start)
    if frame is None or frame.end - frame.start < 9:
        raise SampleFailure("decode", "a JPEG without a frame header: it says no width and height")
    marker, at, _ = frame
    height, width = data[at + 1] << 8 | data[at + 2], data[at + 3] << 8 | data[at + 4]
    return marker, data[at], height, width, data[at + 5], tables.get(data[at + 8], 0), icc, *exif


def icc_profile(data: bytes) -> bytes | None:
    """The ICC profile, put together from its numbered pieces; None where there is none or a piece is missing."""
    pieces: dict[int, bytes] = {}
    total = 0
    for marker, start, end in segments(data):
        if marker == _APP2 and data.startswith(_ICC, start) and end - start > 14:
            total = data[start + 13]
            pieces[data[start + 12]] = data[start + 14 : end]
    if not total or sorted(pieces) != list(range(1, total + 1)):
        return None
    return b"".join(pieces[number] for number in sorted(pieces))


def mended(data: bytes) -> bytes:
    """The same picture with the harmless oddities of its header set right, for a decoder that rejects any warning.

    libjpeg warns alike of damage and of things that change no pixel: an unknown JFIF revision, an unknown Adobe
    transform, junk between header segments, a broken ICC marker, scan parameters that a sequential file should
    not have. This keeps the tables, the frame and the compressed data bit for bit, and writes the rest anew; what
    still warns after it is damage.
    """
    parts = [_SOI]
    scans = b""
    frame = 0
    channels = 3
    for marker, start, end in segments(data):
        if marker == _APP0 and data.startswith(b"JFIF\0", start) and _JFIF not in parts:
            parts.append(_JFIF)
        elif marker == _APP14 and data.startswith(b"Adobe", start) and end - start >= 12:
            parts.append(data[start - 4 : end])
        elif marker in _NEEDED:
            if marker in _SOF:
                frame, channels = marker, data[min(start + 5, end - 1)]
            parts.append(data[start - 4 : end])
        elif marker == _SOS:
            scan = bytearray(data[start:end])
            if frame in _SEQUENTIAL and len(scan) >= 4:
                scan[-3:] = b"\x00\x3f\x00"
            scans = b"".join((data[start - 4 : start], scan, data[end:]))
    return b"".join(_known_adobe(part, channels) for part in parts) + scans


def _known_adobe(part: bytes, channels: int) -> bytes:
    """An Adobe segment with a transform that libjpeg knows: what it assumes when it does not know it."""
    if not part.startswith(b"\xff\xee") or part[15] <= 2:
        return part
    return part[:15] + (b"\x02" if channels == 4 else b"\x01") + part[16:]


def _add_tables(data: bytes, at: int, end: int, tables: dict[int, int]) -> None:
    while at < end:
        wide, number = data[at] >> 4, data[at] & 15
        stop = at + 1 + (128 if wide else 64)
        if stop > end:
            return
        values = data[at + 1 : stop]
        tables[number] = sum(values[0::2]) * 256 + sum(values[1::2]) if wide else sum(values)
        at = stop


def _table_sum(quality: int) -> int:
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return sum(min(max((value * scale + 50) // 100, 1), 255) for value in _LUMINANCE)


_SUMS: Final = [_table_sum(quality) for quality in range(100, 0, -1)]  # rising


def _quality(table_sum: int) -> int | None:
    if not table_sum:
        return None
    at = bisect_left(_SUMS, table_sum)
    if at == len(_SUMS) or (at > 0 and table_sum - _SUMS[at - 1] < _SUMS[at] - table_sum):
        at -= 1
    return 100 - at


def _ends(size: int) -> SampleFailure:
    return SampleFailure("decode", f"truncated JPEG: its header does not end within the file's {size:,} bytes")
