"""What balancing reads of a run: each kept sample's first row, its texts, its vector."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.run.embedding import UnitVectors
from sluice.run.rules.order import Order
from sluice.run.rules.sandbox import sandbox
from sluice.run.stage import stage_record
from sluice.table.arrays import distinct_numbers
from sluice.table.compute import pc
from sluice.table.layout import CHECKED, Layout
from sluice.table.read import read_table

NONE: Final = "(none)"  # the group of the samples that have no value
LEFT_OUT: Final = ("id", "captions_left_out")
_BATCH: Final = 65_536
_ITEMS: Final = 2**16  # more than a sample has


def balance_path(layout: Layout) -> Path:
    """Where a run keeps what was drawn of each sample that passed."""
    return layout.state / "balance.parquet"


@dataclass(frozen=True)
class Grouped:
    """The group of each sample, and the groups' names in order."""

    of: npt.NDArray[np.int64]
    names: tuple[str, ...]

    def counts(self, alive: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        """How many of the samples `alive` each group has."""
        return np.bincount(self.of[alive], minlength=len(self.names)).astype(np.int64)


class SampleColumns:
    """The columns of the samples `ids`, a row each.

    `left_out` (`LEFT_OUT`) says which captions are not packed; by default, what the last verdicts say.
    """

    def __init__(self, layout: Layout, ids: pa.Array, left_out: pa.Table | None = None) -> None:
        self._layout = layout
        self.rows: Final = layout.rows_of(layout.deciding)
        self.ids: Final = ids
        self._left_out = read_table(layout.verdicts(layout.deciding), LEFT_OUT) if left_out is None else left_out
        self._first: Final = self._first_rows()

    def first(self, columns: Sequence[str]) -> pa.Table:
        """The first row of each sample."""
        return read_table(self.rows, columns).take(pa.array(self._first))

    def groups(self, column: str) -> Grouped:
        """The samples by their value of `column`."""
        values = pc.fill_null(self.first([column]).column(0).cast(pa.string()), NONE)
        names: list[str] = sorted(pc.unique(values).to_pylist())
        codes = pc.index_in(values, pa.array(names, pa.string())).to_numpy().astype(np.int64)
        return Grouped(codes, tuple(names))

    def ranks(self, order: Order) -> npt.NDArray[np.int64]:
        """The place of each sample by `order`, from 0; its first row counts, ties go by id."""
        rows = self.first(list(dict.fromkeys([*order.columns, "id"])))
        rows = rows.append_column("sluice_row", pa.array(np.arange(len(rows))))
        with sandbox() as duck:  # `order` is the recipe's own SQL
            duck.register("members", rows)
            best_first = duck.sql(f'SELECT sluice_row FROM members ORDER BY {order.sql}, "id"').to_arrow_table()
        ranks = np.empty(len(rows), np.int64)
        ranks[best_first.column(0).to_numpy()] = np.arange(len(rows))
        return ranks

    def texts(self) -> Iterator[tuple[int, str | None]]:
        """Each text with the row of its sample; captions that are left out are not packed, and not here."""
        left_out = self._left_out_keys()
        with pq.ParquetFile(self.rows) as file:
            for batch in file.iter_batches(_BATCH, columns=["id", "text_item", "text"]):
                row = pc.fill_null(pc.index_in(batch.column("id"), self.ids), -1).to_numpy().astype(np.int64)
                item = pc.fill_null(batch.column("text_item"), 0).to_numpy().astype(np.int64)
                there = (row >= 0) & ~np.isin(row * _ITEMS + item, left_out)
                yield from zip(
                    row[there].tolist(), batch.column("text").filter(pa.array(there)).to_pylist(), strict=True
                )

    def vectors(self, of: Literal["image", "text"]) -> npt.NDArray[np.float16]:
        """The vector of each sample's first image or text, NaN where it has none."""
        encoder: dict[str, Any] = stage_record(self._layout, CHECKED)["encoder"]
        rows = self.first(["id", "unit", f"{of}_item"])
        unit = rows.column("unit").to_numpy()
        vectors = np.empty((len(rows), encoder["dim"]), np.float16)
        for number in distinct_numbers(unit).tolist():
            here = np.flatnonzero(unit == number)
            some = rows.take(pa.array(here))
            vectors[here] = UnitVectors(self._layout, encoder["store"], number).of(
                some.column("id"), some.column(f"{of}_item")
            )
        return vectors

    def _first_rows(self) -> npt.NDArray[np.int64]:
        """The place of the first row of each sample."""
        owner = pc.index_in(read_table(self.rows, ["id"]).column("id"), self.ids)
        row = np.flatnonzero(pc.is_valid(owner).to_numpy())
        of = owner.drop_null().to_numpy().astype(np.int64)
        first = np.zeros(len(self.ids), np.int64)
        first[of[::-1]] = row[::-1]
        return first

    def _left_out_keys(self) -> npt.NDArray[np.int64]:
        row = pc.fill_null(pc.index_in(self._left_out.column("id"), self.ids), -1).to_numpy().astype(np.int64)
        lists = self._left_out.column("captions_left_out").combine_chunks()
        parents = lists.value_parent_indices().to_numpy()
        return row[parents] * _ITEMS + lists.flatten().to_numpy().astype(np.int64)
