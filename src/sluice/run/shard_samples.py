"""The samples of a shard, put together from the ledger: column by column, a unit at a time.

A row group of a wide table holds many units; it is decoded once for those of a shard, not once for each.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, repeat
from pathlib import Path
from typing import Any, Final, Self, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.caption.choice import weights
from sluice.errors import RunError
from sluice.media.limits import Limits
from sluice.media.redact import Covering, Method
from sluice.pack.base import Contents, PackImage, PackSample, PackText
from sluice.run.measuring import extension_of
from sluice.table.arrays import distinct_numbers, real_numbers
from sluice.table.compute import pc
from sluice.table.layout import CAPTIONED, Layout
from sluice.table.read import UnitReader, read_table
from sluice.table.refs import Ref

_EXTENSIONS: Final = {"jpeg": "jpg", "tiff": "tif"}
_RIGHTS: Final = ("licence", "author", "source_url", "fetched", "dataset")
_SAMPLE: Final = ("id", "key", "source", *_RIGHTS)
_REF: Final = ("container", "uri", "member", "offset", "size")
_TEXT: Final = ("item", "role", "text", "language", "weight")
_ORIGIN: Final = "origin"  # who wrote a text, null where its source did
_IMAGE_FACTS: Final = ("format", "width", "height", "sha256")
_AT_ONCE: Final = 256  # samples put together at a time
_ITEMS: Final = 2**16  # more than a sample has: a 16-bit number counts them

Places: TypeAlias = Sequence[tuple[int, Sequence[int]]]  # (unit, places among the unit's entered samples, ascending)
Indices: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True)
class CoveringPlan:
    """What is covered in images while they are packed: the boxes in the folder `store`."""

    store: str
    method: Method
    share: bool
    limits: Limits

    def of(self, boxes: list[list[float]] | None) -> Covering | None:
        """What to cover in an image with `boxes`; None where nothing is."""
        if not boxes:
            return None
        return Covering(tuple((b[0], b[1], b[2], b[3]) for b in boxes), self.method, self.share, self.limits)


class ShardSamples:
    """Reads the samples of one shard; a context manager that closes the tables of the run."""

    def __init__(self, layout: Layout, contents: Contents, groups: Path, covering: CoveringPlan | None = None) -> None:
        rows = layout.rows_of(layout.deciding)
        schema = pq.read_schema(rows)
        wanted = {"id", "image_item", "text_item", "alignment", "tokens", *_IMAGE_FACTS, "spdx", *contents.columns}
        self._layout = layout
        self._covering = covering
        self._carried = tuple(contents.columns)
        self._rows = UnitReader(rows, [name for name in schema.names if name in wanted])
        self._verdicts = UnitReader(layout.verdicts(layout.deciding), ["id", "captions_left_out"])
        self._groups = UnitReader(groups, ["id", "group", "weight", "repeats"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for reader in (self._rows, self._verdicts, self._groups):
            reader.close()

    def read(self, split: str, places: Places) -> Iterator[PackSample]:
        """The samples at `places`, in order."""
        for unit, among in places:
            yield from self._unit(split, unit, np.asarray(among, np.int64))

    def _unit(self, split: str, unit: int, places: Indices) -> Iterator[PackSample]:
        samples = read_table(self._layout.samples(unit), [*_SAMPLE, "failure_class"], threads=False)
        samples = samples.filter(pc.is_null(samples.column("failure_class"))).take(pa.array(places))
        tables = _UnitTables(
            self._items(unit), self._rows.read(unit), self._verdicts.read(unit), self._groups.read(unit)
        )
        boxes = self._boxes(unit)
        for start in range(0, samples.num_rows, _AT_ONCE):
            yield from self._some(split, samples.slice(start, _AT_ONCE), tables, boxes)

    def _some(self, split: str, samples: pa.Table, tables: _UnitTables, boxes: pa.Table | None) -> Iterator[PackSample]:
        """Few samples of a unit, for as Python's own values they take much room."""
        ids = samples.column("id").combine_chunks()
        items = _Owned.of(tables.items, ids)
        rows = _Owned.of(tables.rows, ids, "rows.parquet")
        verdicts = _Owned.of(tables.verdicts, ids, "verdicts.parquet")
        groups = _Owned.of(tables.groups, ids, "groups.parquet")
        firsts, drawn = rows.firsts(), groups.firsts()
        rights = {**{name: samples.column(name) for name in _RIGHTS}, "spdx": _column(firsts, "spdx")}
        fields = zip(
            *(samples.column(name).to_pylist() for name in ("id", "key", "source")),
            _images(items, rows, self._coverings(boxes, ids)),
            _texts(items, verdicts, rows),
            _records(rights, len(ids)),
            _records({name: _column(firsts, name) for name in self._carried}, len(ids)),
            drawn.column("group").to_pylist(),
            drawn.column("weight").to_pylist(),
            drawn.column("repeats").to_pylist(),
            strict=True,
        )
        for identity, key, source, *rest in fields:
            yield PackSample(identity, key, source, split, *rest)

    def _boxes(self, unit: int) -> pa.Table | None:
        """What is to be covered in the images of a unit."""
        if self._covering is None:
            return None
        return read_table(self._layout.boxes(self._covering.store, unit), ["id", "item", "boxes"], threads=False)

    def _coverings(self, boxes: pa.Table | None, ids: pa.Array) -> dict[int, Covering]:
        """What to cover in the images of the samples `ids`, by the key of the image."""
        if self._covering is None or boxes is None:
            return {}
        found = _Owned.of(boxes, ids)
        of_images = zip(found.keys("item").tolist(), found.table.column("boxes").to_pylist(), strict=True)
        return {key: covering for key, one in of_images if (covering := self._covering.of(one))}

    def _items(self, unit: int) -> pa.Table:
        """The items of a unit, with those captions that were generated."""
        columns = ["id", "kind", *_TEXT, *_REF]
        items = read_table(self._layout.items(unit), columns, threads=False)
        items = items.append_column(_ORIGIN, pa.nulls(len(items), pa.string()))
        if not self._layout.stage_file(CAPTIONED).is_file():
            return items
        made = read_table(self._layout.generated(unit), [*columns, "meta"], threads=False)
        told = [json.loads(meta) if meta else {} for meta in made.column("meta").to_pylist()]
        made = made.append_column(_ORIGIN, pa.array([one.get("captioner") for one in told], pa.string()))
        stays = pa.array([not one.get("left_out") for one in told], pa.bool_())
        return pa.concat_tables([items, made.filter(stays).select(items.column_names)])


@dataclass(frozen=True)
class _UnitTables:
    """What the ledger says of the samples of a unit, in four tables."""

    items: pa.Table
    rows: pa.Table
    verdicts: pa.Table
    groups: pa.Table


@dataclass(frozen=True)
class _Owned:
    """The rows of a table that belong to the samples of a unit's part of a shard, and to which of them."""

    table: pa.Table
    owner: Indices  # ascending
    samples: int

    @staticmethod
    def of(table: pa.Table, ids: pa.Array, complete: str | None = None) -> _Owned:
        """Those of `ids`; where the table must hold all of them, `complete` is what it is called."""
        found = pc.index_in(table.column("id"), ids)
        belongs = pc.is_valid(found)
        owner = found.filter(belongs).to_numpy().astype(np.int64)
        table = table.filter(belongs)
        if (np.diff(owner) < 0).any():
            order = np.argsort(owner, kind="stable")
            table, owner = table.take(pa.array(order)), owner[order]
        if complete and len(distinct_numbers(owner)) != len(ids):
            raise RunError(f"{complete} lacks samples that are to be packed: it is damaged; remove it and run again")
        return _Owned(table, owner, len(ids))

    def firsts(self) -> pa.Table:
        """The first row of each sample, where each has one."""
        return self.table.take(pa.array(np.searchsorted(self.owner, np.arange(self.samples))))

    def where(self, mask: Any) -> _Owned:
        """Those rows alone for which `mask` is true."""
        return _Owned(self.table.filter(pa.array(mask)), self.owner[mask], self.samples)

    def by_sample(self, made: list[Any]) -> Iterator[tuple[Any, ...]]:
        """What was `made` of each row, as one tuple a sample."""
        ends = np.searchsorted(self.owner, np.arange(self.samples + 1)).tolist()
        return (tuple(made[start:end]) for start, end in pairwise(ends))

    def keys(self, item: str) -> Indices:
        """A number for each row's sample and item; no item is an item of its own."""
        return self.owner * _ITEMS + pc.fill_null(self.table.column(item), -1).to_numpy().astype(np.int64) + 1


def _images(items: _Owned, rows: _Owned, coverings: Mapping[int, Covering]) -> Iterator[tuple[PackImage, ...]]:
    """The images of each sample, with what the first row of each knows of it."""
    found = items.where(pc.equal(items.table.column("kind"), "image").to_numpy())
    known, row = np.unique(rows.keys("image_item"), return_index=True)
    wanted = found.keys("item")
    at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    facts = rows.table.take(pa.array(row[at], mask=known[at] != wanted)) if len(known) else rows.table
    made: list[PackImage] = []
    refs = map(Ref, *(found.table.column(name).to_pylist() for name in _REF))
    columns = (_column(facts, name).to_pylist() for name in _IMAGE_FACTS)
    for key, item, ref, format, width, height, sha256 in zip(
        wanted.tolist(), found.table.column("item").to_pylist(), refs, *columns, strict=True
    ):
        kind: str = format or extension_of(ref) or "bin"
        made.append(PackImage(item, ref, _EXTENSIONS.get(kind, kind), width, height, sha256, coverings.get(key)))
    return found.by_sample(made)


def _texts(items: _Owned, verdicts: _Owned, rows: _Owned) -> Iterator[tuple[PackText, ...]]:
    """The texts of each sample, without the captions that are left out; those that fit best come first, weighed."""
    left_out = verdicts.table.column("captions_left_out")
    stays = pc.not_equal(items.table.column("kind"), "image").to_numpy()
    if pc.sum(pc.list_value_length(left_out)).as_py():
        parents = verdicts.owner[pc.list_parent_indices(left_out).to_numpy()]
        gone = parents * _ITEMS + pc.list_flatten(left_out).to_numpy().astype(np.int64) + 1
        stays &= ~np.isin(items.keys("item"), gone)
    found = _best_first(items.where(stays), rows)
    columns = (found.table.column(name).to_pylist() for name in (*_TEXT, _ORIGIN))
    return found.by_sample(list(map(PackText, *columns, _tokens(found, rows))))


def _tokens(texts: _Owned, rows: _Owned) -> list[int | None]:
    """The tokens of each text; None for all where no measure counted them."""
    if "tokens" not in rows.table.column_names or not len(rows.table):
        return [None] * len(texts.table)
    row, known = _rows_of(texts, rows)
    return rows.table.column("tokens").take(pa.array(row, mask=~known)).to_pylist()


def _best_first(texts: _Owned, rows: _Owned) -> _Owned:
    """The texts of each sample, its captions in the order of their alignment where that is known."""
    if "alignment" not in rows.table.column_names:
        return texts
    row, known = _rows_of(texts, rows)
    cosine = real_numbers(rows.table.column("alignment"))[row]
    caption = pc.equal(texts.table.column("role"), "caption").to_numpy() & known
    scored = caption & ~np.isnan(cosine)
    rank = np.where(scored, -cosine, 2.0)
    order = np.lexsort((np.arange(len(rank)), np.where(caption, rank, -2.0), texts.owner))
    share = np.full(len(rank), np.nan, np.float32)
    share[scored] = weights(texts.owner[scored], cosine[scored])
    column = pc.coalesce(pa.array(share, mask=~scored), texts.table.column("weight"))
    table = texts.table.set_column(texts.table.schema.get_field_index("weight"), "weight", column)
    return _Owned(table.take(pa.array(order)), texts.owner[order], texts.samples)


def _rows_of(texts: _Owned, rows: _Owned) -> tuple[Indices, Any]:
    """The first row that speaks of each text, and whether there is one."""
    known, row = np.unique(rows.keys("text_item"), return_index=True)
    wanted = texts.keys("item")
    at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return row[at].astype(np.int64), known[at] == wanted


def _column(table: pa.Table, name: str) -> pa.ChunkedArray:
    """A column, or nulls where no measure wrote it."""
    return table.column(name) if name in table.column_names else pa.chunked_array([pa.nulls(table.num_rows)])


def _records(columns: Mapping[str, pa.ChunkedArray], rows: int) -> Iterator[dict[str, Any]]:
    """The `rows` rows as dictionaries, one for each."""
    names = tuple(columns)
    values = zip(*(column.to_pylist() for column in columns.values()), strict=True) if names else repeat((), rows)
    return (dict(zip(names, row, strict=True)) for row in values)
