"""Takedown of what was fetched: its bytes lie in the run's own stores, so they leave them too.

They become zeros where they lie, so that every other ref still holds. Bytes that a sample points to which was not taken
down stay: they are that sample's as well. The URL is noted by its hash, so that no later list fetches it again.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.table.commit import write_bytes, write_table
from sluice.table.compute import pc
from sluice.table.layout import Layout
from sluice.table.read import read_table
from sluice.web.index import Index, key_of

_GONE: Final = "taken_down.txt"
_BLANK: Final = ("url", "final_url", "licence")
_PIECE: Final = bytes(2**20)

_Place = tuple[str, int]  # tar below the stores, offset


def erase_fetched(layout: Layout, ids: set[str]) -> None:
    """Erase the bytes and the URLs of the samples `ids` in the stores of a run."""
    if not layout.fetched.is_dir():
        return
    places, others = _places(layout, ids)
    places = {place: size for place, size in places.items() if place not in others}
    for (tar, offset), size in sorted(places.items()):
        _zero(layout.fetched / tar, offset, size)
    urls = [url for path in sorted(layout.fetched.glob("*/*.parquet")) for url in _blank(path, set(places))]
    if urls:
        gone = taken_down_urls(layout) | {key_of(url) for url in urls}
        write_bytes(layout.fetched / _GONE, "".join(f"{key.hex()}\n" for key in sorted(gone)).encode())
        with Index(layout.fetched) as index:
            index.forget(urls, places)


def taken_down_urls(layout: Layout) -> set[bytes]:
    """The URLs that must not be fetched again, as the index knows them."""
    path = layout.fetched / _GONE
    return {bytes.fromhex(line) for line in path.read_text().split()} if path.is_file() else set()


def _places(layout: Layout, ids: set[str]) -> tuple[dict[_Place, int], set[_Place]]:
    """Where the bytes of `ids` lie, with their sizes, and which of these places others point to."""
    wanted, root = pa.array(sorted(ids), pa.string()), f"{layout.fetched}/"
    ours: dict[_Place, int] = {}
    for mine in (True, False):
        found: dict[_Place, int] = {}
        for path in sorted(layout.items(0).parent.glob("unit-*.parquet")):
            table = read_table(path, columns=["id", "uri", "offset", "size"])
            hit: Any = pc.is_in(table.column("id"), wanted)
            hit = pc.and_(hit if mine else pc.invert(hit), pc.starts_with(table.column("uri"), root))
            table = table.filter(hit)
            columns = (table.column(name).to_pylist() for name in ("uri", "offset", "size"))
            for uri, offset, size in zip(*columns, strict=True):
                place = (uri.removeprefix(root), offset)
                if mine or place in ours:
                    found[place] = size
        if mine:
            ours = found
            if not ours:
                return {}, set()
        else:
            return ours, set(found)
    return ours, set()


def _zero(path: Path, offset: int, size: int) -> None:
    """Overwrite bytes in place; the time of the file stays, since nothing else in it has changed."""
    status = path.stat()
    with path.open("r+b") as file:
        file.seek(offset)
        left = size
        while left > 0:
            left -= file.write(_PIECE[:left])
        file.flush()
        os.fsync(file.fileno())
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _blank(path: Path, places: set[_Place]) -> list[str]:
    """Blank the URLs of rows whose bytes lie at `places`; what they were."""
    where = pq.read_table(path, columns=["tar", "offset"])
    pairs = zip(where.column("tar").to_pylist(), where.column("offset").to_pylist(), strict=True)
    hit = np.fromiter(((tar, offset) in places for tar, offset in pairs), bool, len(where))
    if not hit.any():
        return []
    table = pq.read_table(path)
    urls: list[str] = [url for url in table.column("url").filter(pa.array(hit)).to_pylist() if url]
    for name in _BLANK:
        at = table.schema.get_field_index(name)
        field = table.schema.field(at)
        table = table.set_column(at, field, pc.if_else(pa.array(hit), pa.scalar(None, field.type), table.column(name)))
    write_table(path, table)
    return urls
