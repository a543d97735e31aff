"""What is packed, counted from the ledger part by part: sources, licences, languages, roles, lengths."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import floor
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.run.row_parts import RowPart, row_parts
from sluice.table.arrays import numbers
from sluice.table.compute import pc
from sluice.table.layout import FILTERED, FINAL, Layout
from sluice.table.lists import flat
from sluice.table.read import UnitReader, read_table

_ITEMS: Final = 2**16  # more than a sample has

Flags = npt.NDArray[np.bool_]


@dataclass
class PackedCounts:
    """Of the samples that are packed, without the captions that were left out."""

    sources: Counter[str] = field(default_factory=Counter[str])
    licences: Counter[str | None] = field(default_factory=Counter["str | None"])
    languages: Counter[str | None] = field(default_factory=Counter["str | None"])
    lengths: Counter[int] = field(default_factory=Counter[int])  # captions by their characters
    roles: Counter[str] = field(default_factory=Counter[str])  # texts by their role
    images: int = 0
    most_images: int = 0  # of one sample
    captions: int = 0  # with or without a length

    @staticmethod
    def of(layout: Layout) -> PackedCounts:
        """Those of a run whose 04_final has its verdicts."""
        counts = PackedCounts()
        known = pq.read_schema(layout.rows).names
        with (
            UnitReader(layout.verdicts(FINAL), ["id", "verdict"]) as final,
            UnitReader(layout.verdicts(FILTERED), ["id", "captions_left_out"]) as filtered,
        ):
            for part in row_parts(layout.rows):
                units = numbers(part.read(["unit"]).column("unit"))
                packed: list[pa.Array] = [pa.array([], pa.string())]
                skipped: list[tuple[pa.Array, npt.NDArray[np.int64]]] = []
                for unit in range(int(units[0]), int(units[-1]) + 1) if len(units) else []:
                    said = final.read(unit)
                    ids = said.filter(pc.equal(said.column("verdict"), "kept")).column("id").combine_chunks()
                    out = _left_out(filtered.read(unit))
                    counts._count_items(layout, unit, ids, *out)
                    packed.append(ids)
                    skipped.append(out)
                counts._count_rows(part, known, pa.concat_arrays(packed), skipped)
        return counts

    def _count_items(
        self, layout: Layout, unit: int, packed: pa.Array, skipped: pa.Array, item: npt.NDArray[np.int64]
    ) -> None:
        items = read_table(layout.items(unit), ["id", "item", "kind", "role"])
        owner = pc.index_in(items.column("id"), packed)
        gone = _named(items.column("id"), numbers(items.column("item")).astype(np.int64), skipped, item)
        stays = numbers(pc.is_valid(owner)) & ~gone
        image = numbers(pc.equal(items.column("kind"), "image")) & stays
        text = numbers(pc.equal(items.column("kind"), "text")) & stays
        of_image = numbers(owner.filter(pa.array(image)))
        self.images += len(of_image)
        self.most_images = max(self.most_images, int(np.bincount(of_image, minlength=1).max()))
        self.roles.update(_values(items.column("role").filter(pa.array(text))))

    def _count_rows(
        self,
        part: RowPart,
        known: list[str],
        packed: pa.Array,
        skipped: list[tuple[pa.Array, npt.NDArray[np.int64]]],
    ) -> None:
        wanted = ["id", "ordinal", "text_item", "alternative", "source", "spdx", "language", "characters"]
        rows = part.read([name for name in wanted if name in known], encoded=["source"])
        there = numbers(pc.is_in(rows.column("id"), packed))
        new = np.diff(numbers(rows.column("ordinal")), prepend=-1) != 0
        item = numbers(pc.fill_null(rows.column("text_item"), -1)).astype(np.int64)
        names = pa.concat_arrays([pa.array([], pa.string()), *(ids for ids, _ in skipped)])
        items = np.concatenate([np.zeros(0, np.int64), *(of for _, of in skipped)])
        first = pa.array(there & new)
        # The texts of a sample stand in order, the last once more beside each further image.
        once = there & (item >= 0) & (new | (np.diff(item, prepend=-1) != 0))
        texts = once & ~_named(rows.column("id"), item, names, items)
        self.sources.update(_values(rows.column("source").filter(first)))
        if "spdx" in known:
            self.licences.update(_values(rows.column("spdx").filter(first)))
        if "language" in known:
            self.languages.update(_values(rows.column("language").filter(pa.array(texts))))
        if "characters" in known:
            captions = rows.column("characters").filter(pa.array(texts & numbers(rows.column("alternative"))))
            self.lengths.update(_values(pc.drop_null(captions)))
            self.captions += len(captions)

    def quantiles(self, *shares: float) -> list[int]:
        """The lengths that so many captions do not pass, as `quantile_disc` of DuckDB has them."""
        values = np.array(sorted(self.lengths), np.int64)
        ends = np.cumsum([self.lengths[int(value)] for value in values])
        total = int(ends[-1])
        places = [max(1, total - floor(total - total * share)) for share in shares]
        return values[np.searchsorted(ends, places)].tolist()


def _left_out(verdicts: pa.Table) -> tuple[pa.Array, npt.NDArray[np.int64]]:
    """Ids and items of the captions that are left out."""
    owner, items = flat(verdicts.column("captions_left_out"))
    return verdicts.column("id").combine_chunks().take(pa.array(owner)), numbers(pa.chunked_array([items])).astype(
        np.int64
    )


def _named(ids: pa.ChunkedArray, items: npt.NDArray[np.int64], names: pa.Array, named: npt.NDArray[np.int64]) -> Flags:
    """Which of the items `items` of the samples `ids` are among others."""
    if not len(names):
        return np.zeros(len(ids), np.bool_)
    distinct = pc.unique(names)
    place = numbers(pc.fill_null(pc.index_in(ids, distinct), -1)).astype(np.int64)
    keys = numbers(pa.chunked_array([pc.index_in(names, distinct)])).astype(np.int64) * _ITEMS + named
    return (place >= 0) & np.isin(place * _ITEMS + items, keys)


def _values(column: pa.ChunkedArray) -> dict[Any, int]:
    """How often each value stands in a column."""
    counted = pc.value_counts(column.combine_chunks())
    values = counted.field("values")
    if isinstance(values, pa.DictionaryArray):
        values = values.cast(pa.string())
    return dict(zip(values.to_pylist(), counted.field("counts").to_pylist(), strict=True))
