"""From what a person types to one sample: an id or its beginning, a key, a file name, a shard member."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Final

from sluice.errors import RunError
from sluice.table.duck import connect
from sluice.table.layout import RAW, Layout
from sluice.table.read import read_where

_ID: Final = re.compile(r"[0-9a-f]{4,32}")
_SHOWN: Final = 10
_PLACE: Final = re.compile(r"(?P<shard>.*shard-\d+\.[a-z]+)[:#](?P<index>\d+)")


def find_sample(layout: Layout, query: str) -> tuple[str, int]:
    """The id and unit of the one sample that `query` names; RunError if there is none or more than one."""
    for search in (_by_id, _in_shard, _by_key, _by_file):
        found = search(layout, query)
        if len(found) == 1:
            return found[0][0], found[0][1]
        if found:
            shown = "\n".join(f"  {identity}  {key}" for identity, _, key in found[:_SHOWN])
            more = f"\n  ... and {len(found) - _SHOWN:,} more" if len(found) > _SHOWN else ""
            raise RunError(f"{query!r} names {len(found):,} samples; give the id of one of them:\n{shown}{more}")
    raise RunError(
        f"no sample of {layout.root} is called {query!r}: give an id (or its first 4 digits or more), "
        "a key, a file name, a shard member (`<id>.jpg`) or a place in a shard (`shard-000000.tar:12`)"
    )


def _by_id(layout: Layout, query: str) -> list[tuple[str, int, str]]:
    """An id, its beginning, or the name of a shard member, which begins with the id."""
    stem = PurePosixPath(query).name.split(".")[0]
    if not _ID.fullmatch(stem):
        return []
    return _named(layout, "starts_with(id, ?)", stem)


def _named(layout: Layout, where: str, value: str) -> list[tuple[str, int, str]]:
    """(id, unit, key) of the samples whose ids `where` says: of one table of ids, not of a file a unit.

    Keys are looked up for as many as are shown.
    """
    with connect() as duck:
        found = duck.execute(
            f"SELECT id, unit FROM read_parquet(?, file_row_number = true) WHERE {where} ORDER BY file_row_number",
            [str(layout.verdicts(RAW)), value],
        ).fetchall()
    keys = [str(unit_row(layout, identity, unit)["key"]) for identity, unit in found[:_SHOWN]]
    keys += [""] * (len(found) - len(keys))
    return [(identity, unit, key) for (identity, unit), key in zip(found, keys, strict=True)]


def _in_shard(layout: Layout, query: str) -> list[tuple[str, int, str]]:
    place = _PLACE.fullmatch(query)
    if not place or not layout.manifest.is_file():
        return []
    with connect() as duck:
        ids = duck.execute(
            'SELECT id FROM read_parquet(?) WHERE "index" = ? AND (shard = ? OR ends_with(shard, ?))',
            [str(layout.manifest), int(place["index"]), place["shard"], "/" + place["shard"]],
        ).fetchall()
    return [found for (identity,) in ids for found in _named(layout, "id = ?", identity)]


def _by_key(layout: Layout, query: str) -> list[tuple[str, int, str]]:
    return _select(layout, "key = ?", [query]) or _select(
        layout, "ends_with(key, ?) OR regexp_extract(key, '([^/]*?)(\\.[^./]*)?$', 1) = ?", ["/" + query, query]
    )


def _by_file(layout: Layout, query: str) -> list[tuple[str, int, str]]:
    name = "/" + PurePosixPath(query).name
    files = str(layout.root / RAW / "items" / "unit-*.parquet")
    with connect() as duck:
        ids = duck.execute(
            "SELECT DISTINCT id FROM read_parquet(?) WHERE uri = ? OR member = ? OR ends_with(uri, ?)"
            " OR ends_with(member, ?)",
            [files, query, query, name, name],
        ).fetchall()
    wanted = [identity for (identity,) in ids]
    return _select(layout, "list_contains(?, id)", [wanted]) if wanted else []


def _select(layout: Layout, where: str, values: list[object]) -> list[tuple[str, int, str]]:
    """(id, unit, key) of the raw samples where `where` holds, in order."""
    files = str(layout.root / RAW / "samples" / "unit-*.parquet")
    with connect() as duck:
        return duck.execute(
            "SELECT id, regexp_extract(filename, 'unit-(\\d+)', 1)::INT AS unit, key "
            f"FROM read_parquet(?, filename = true) WHERE {where} ORDER BY unit, key",
            [files, *values],
        ).fetchall()


def unit_row(layout: Layout, identity: str, unit: int) -> dict[str, object]:
    """The raw sample `identity` of `unit`."""
    return read_where(layout.samples(unit), "id", identity).to_pylist()[0]
