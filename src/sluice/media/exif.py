"""The one EXIF field that changes how pixels are shown: the orientation."""

from __future__ import annotations

from struct import Struct
from typing import Final

_ORIENTATION: Final = 0x0112
_SHORT: Final = 3
_MOST_ENTRIES: Final = 1_000  # of one directory; cameras write about 20
_PREFIX: Final = b"Exif\0\0"
_LITTLE: Final = (Struct("<H"), Struct("<I"))
_BIG: Final = (Struct(">H"), Struct(">I"))


def orientation(exif: bytes) -> int:
    """The orientation (1 to 8) that EXIF bytes ask for; 1 where they ask for none or make no sense.

    >>> orientation(b"Exif\\0\\0MM\\0*\\0\\0\\0\\x08\\0\\x01\\x01\\x12\\0\\x03\\0\\0\\0\\x01\\0\\x06\\0\\0")
    6
    """
    start = len(_PREFIX) if exif.startswith(_PREFIX) else 0
    order = exif[start : start + 2]
    if order not in (b"II", b"MM"):
        return 1
    short, long = _LITTLE if order == b"II" else _BIG
    if len(exif) < start + 8:
        return 1
    at = start + long.unpack_from(exif, start + 4)[0]
    if at + 2 > len(exif):
        return 1
    entries = min(short.unpack_from(exif, at)[0], _MOST_ENTRIES)
    for entry in range(at + 2, min(at + 2 + 12 * entries, len(exif) - 11), 12):
        if short.unpack_from(exif, entry)[0] == _ORIENTATION:
            kind, value = short.unpack_from(exif, entry + 2)[0], short.unpack_from(exif, entry + 8)[0]
            return value if kind == _SHORT and 1 <= value <= 8 else 1
    return 1
