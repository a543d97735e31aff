"""TIFF by its directories: how many pages, and whether their pixels lie within the file."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

_MOST_PAGES: Final = 100_000
_OFFSETS: Final = (273, 324)  # StripOffsets, TileOffsets
_COUNTS: Final = (279, 325)  # StripByteCounts, TileByteCounts
_SIZES: Final = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q"}  # field types that hold offsets and counts


class Pages(NamedTuple):
    """What the directories of a TIFF tell."""

    number: int
    cut: str | None  # where the file ends though a page goes on


class _Layout(NamedTuple):
    """Where the fields of a directory stand: classic TIFF or BigTIFF."""

    order: str
    entries: str  # how their number is stored
    entry: int  # bytes
    link: str  # an offset, and the number of values of an entry


def pages(data: bytes) -> Pages:
    """Walk the chain of directories, which hostile files bend into loops or past the end."""
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    layout = _Layout(order, "Q", 20, "Q") if big else _Layout(order, "H", 12, "I")
    at = _read(data, layout, layout.link, 8 if big else 4)
    seen: set[int] = set()
    cut: str | None = None
    while at and at not in seen and len(seen) < _MOST_PAGES:
        entries = _read(data, layout, layout.entries, at)
        if entries is None:
            cut = cut or f"the file ends after {len(data):,} bytes, before the directory at byte {at:,}"
            break
        cut = cut or _cut(data, layout, at + struct.calcsize(layout.entries), entries)
        seen.add(at)
        at = _read(data, layout, layout.link, at + struct.calcsize(layout.entries) + entries * layout.entry)
    if at is None:
        cut = cut or f"the file ends after {len(data):,} bytes, within a directory"
    return Pages(max(1, len(seen)), cut)


def _cut(data: bytes, layout: _Layout, at: int, entries: int) -> str | None:
    """Where the pixels of a page end past the end of the file; None where they lie in it."""
    fields: dict[int, list[int]] = {}
    for entry in range(at, min(at + entries * layout.entry, len(data)), layout.entry):
        tag = _read(data, layout, "H", entry)
        if tag in _OFFSETS or tag in _COUNTS:
            fields[tag] = _values(data, layout, entry)
    offsets = next((fields[tag] for tag in _OFFSETS if tag in fields), [])
    counts = next((fields[tag] for tag in _COUNTS if tag in fields), [])
    end = max((offset + count for offset, count in zip(offsets, counts, strict=False)), default=0)
    if end <= len(data):
        return None
    return f"the file ends after {len(data):,} bytes, before its pixels, which go on to byte {end:,}"


def _values(data: bytes, layout: _Layout, entry: int) -> list[int]:
    kind = _SIZES.get(_read(data, layout, "H", entry + 2) or 0)
    number = _read(data, layout, layout.link, entry + 4)
    if kind is None or number is None:
        return []
    inline = entry + 4 + struct.calcsize(layout.link)
    room = struct.calcsize(layout.link)
    wanted = number * struct.calcsize("=" + kind)
    start = inline if wanted <= room else _read(data, layout, layout.link, inline)
    if start is None or start + wanted > len(data):
        return []
    return list(struct.unpack_from(f"{layout.order}{number}{kind}", data, start))


def _read(data: bytes, layout: _Layout, kind: str, at: int) -> int | None:
    size = struct.calcsize("=" + kind)
    return struct.unpack_from(layout.order + kind, data, at)[0] if at + size <= len(data) else None
