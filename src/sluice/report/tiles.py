"""From chosen samples to what the page shows of them: a picture or why there is none, a caption, a value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sluice.engine import Engine
from sluice.media.limits import Limits
from sluice.report.examples import Pick, ids_of
from sluice.report.tables import Tables
from sluice.report.thumbs import NoPicture, Picture, pictures
from sluice.table.layout import FILTERED
from sluice.table.read import read_table
from sluice.table.refs import Ref

_ITEM: Final = ("id", "item", "kind", "text", "language", "container", "uri", "member", "offset", "size")
_COLUMNS: Final = ", ".join(f'"{name}"' for name in _ITEM)
_CAPTION: Final = 160  # characters of a caption that are shown


@dataclass(frozen=True)
class Tile:
    """An example as the page shows it."""

    id: str
    key: str
    label: str
    text: str | None
    language: str | None
    picture: Picture | NoPicture | None  # None: the sample has no image
    kept: bool


@dataclass(frozen=True)
class _Found:
    """What the raw tables hold of a pick."""

    key: str
    text: str | None
    language: str | None
    image: int | None
    ref: Ref | None


def tiles(tables: Tables, picks: Iterable[Pick], limits: Limits, engine: Engine | None = None) -> dict[Pick, Tile]:
    """A tile for each pick, but for samples that were taken down: the run shows nothing of those."""
    gone = _taken_down(tables)
    picks = list(dict.fromkeys(picks))
    where = {
        ordinal: place
        for ordinal, place in ids_of(tables, [pick.ordinal for pick in picks]).items()
        if place[0] not in gone
    }
    ids = {pick: where[pick.ordinal][0] for pick in picks if pick.ordinal in where}
    items, keys = _raw(tables, where.values())
    failures = _failures(tables, ids.values())
    found = {pick: _look(pick, items.get(name, []), keys.get(name, name)) for pick, name in ids.items()}
    healthy = {
        found[pick].ref: None
        for pick, name in ids.items()
        if found[pick].ref is not None and (name, found[pick].image) not in failures
    }
    refs = [ref for ref in healthy if ref is not None]
    drawn = dict(zip(refs, pictures(refs, limits, engine), strict=True))
    return {pick: _tile(pick, name, found[pick], drawn, failures) for pick, name in ids.items()}


def _tile(
    pick: Pick,
    name: str,
    found: _Found,
    drawn: Mapping[Ref, Picture | NoPicture],
    failures: Mapping[tuple[str, int | None], NoPicture],
) -> Tile:
    picture: Picture | NoPicture | None = failures.get((name, found.image)) if found.image is not None else None
    if picture is None and found.ref is not None:
        picture = drawn[found.ref]
    return Tile(name, found.key, pick.label, found.text, found.language, picture, pick.kept)


def _look(pick: Pick, items: Sequence[dict[str, Any]], key: str) -> _Found:
    """The image and the text that the reason speaks of; else the first of each."""
    images = [item for item in items if item["kind"] == "image"]
    texts = [item for item in items if item["kind"] == "text"]
    image = next((item for item in images if item["item"] == pick.item), images[0] if images else None)
    text = next((item for item in texts if item["item"] == pick.item), texts[0] if texts else None)
    ref = None
    if image is not None and image["uri"] is not None:
        ref = Ref(image["container"], image["uri"], image["member"], image["offset"], image["size"])
    words = text["text"] if text else None
    if words is not None and len(words) > _CAPTION:
        words = words[: _CAPTION - 1] + "…"
    return _Found(key, words, text["language"] if text else None, image["item"] if image else None, ref)


def _raw(tables: Tables, places: Iterable[tuple[str, int]]) -> tuple[dict[str, list[dict[str, Any]]], dict[str, str]]:
    """Items by sample in their order, and keys, read from the units that the (id, unit) pairs name."""
    places = set(places)
    ids = sorted(identity for identity, _ in places)
    units = sorted({unit for _, unit in places})
    if not ids:
        return {}, {}
    read = "FROM read_parquet(?::VARCHAR[]) WHERE id IN (SELECT unnest(?::VARCHAR[]))"
    items: dict[str, list[dict[str, Any]]] = {}
    for row in tables.rows(
        f"SELECT {_COLUMNS} {read} ORDER BY id, item",
        [str(tables.layout.items(unit)) for unit in units],
        ids,
    ):
        item: dict[str, Any] = dict(zip(_ITEM, row, strict=True))
        items.setdefault(item["id"], []).append(item)
    return items, dict(tables.rows(f"SELECT id, key {read}", [str(tables.layout.samples(unit)) for unit in units], ids))


def _failures(tables: Tables, ids: Iterable[str]) -> dict[tuple[str, int | None], NoPicture]:
    path = tables.layout.failures(FILTERED)
    ids = sorted(set(ids))
    if not path.is_file() or not ids:
        return {}
    rows = tables.rows(
        "SELECT id, item, class, message FROM read_parquet(?) WHERE id IN (SELECT unnest(?::VARCHAR[]))",
        str(path),
        ids,
    )
    return {(identity, item): NoPicture(name, message) for identity, item, name, message in rows}


def _taken_down(tables: Tables) -> set[str]:
    path = tables.layout.takedowns
    return set(read_table(path, ["id"]).column("id").to_pylist()) if path.is_file() else set()
