"""The samples that the stages before kept, in order: drawn, split, and sized for the shards they go into."""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.corpus.split import Links, assign_codes, equal_links, group_ids, near_links, split_groups
from sluice.pack.base import Contents
from sluice.run.balance_draw import Balanced
from sluice.run.balancing import balance
from sluice.run.corpus_steps import CorpusFacts, load_corpus
from sluice.run.recipe import RecipeFile
from sluice.table.arrays import distinct_numbers, narrow, numbers, places_of, span
from sluice.table.commit import ROW_GROUP, piece_writer
from sluice.table.compute import pc
from sluice.table.layout import CAPTIONED, FILTERED, Layout
from sluice.table.read import UnitReader, read_table

ALIGNMENT: Final = "alignment"  # the column of cosines that captions are weighed by
_GROUPS: Final = pa.schema(
    [
        ("id", pa.string()),
        ("unit", pa.int32()),
        ("group", pa.string()),
        ("weight", pa.float32()),
        ("repeats", pa.int32()),
    ]
)
_TEXT_ROOM: Final = 2_048  # bytes that a sample's texts, JSON and padding take in a shard, about


@dataclass(frozen=True)
class Kept:
    """The samples that the stages before kept, in order: those of them that were drawn. A few numbers each, no id."""

    row: npt.NDArray[np.signedinteger[Any]]  # among all that entered 01_filtered
    starts: npt.NDArray[np.int64]  # by unit, the first row of it
    sizes: npt.NDArray[np.integer[Any]]  # bytes in a shard, about
    splits: pa.DictionaryArray
    contents: Contents
    entered: npt.NDArray[np.bool_]  # by row: the stages before kept it, drawn or not
    balanced: Balanced | None

    @staticmethod
    def load(layout: Layout, file: RecipeFile, balancing: str | None) -> Kept:
        """Read the verdicts, draw, assign splits; the split groups and weights are written down for the packers."""
        recipe = file.recipe
        unit = read_table(layout.verdicts(FILTERED), columns=["unit"]).column("unit").to_numpy()
        starts = np.searchsorted(unit, np.arange(unit[-1] + 2 if len(unit) else 1))
        entered = _kept(layout, len(starts) - 1)
        kept = entered.copy()
        weight = repeats = balanced = None
        if balancing is not None:
            balanced = balance(file, layout, pa.concat_arrays(_ids_of(layout, entered)), balancing)
            weight, repeats = np.ones(len(unit), np.float32), np.ones(len(unit), np.int32)
            weight[kept] = balanced.table.column("weight").to_numpy()
            repeats[kept] = balanced.table.column("repeats").to_numpy()
            kept[kept] = balanced.drawn
        splits = _write_groups(layout, file, weight, repeats)
        sizes, contents = _sizes(layout, starts)
        row = places_of(kept)
        return Kept(
            row,
            starts,
            narrow(sizes[row]),
            pa.DictionaryArray.from_arrays(pa.array(splits[row]), pa.array(list(recipe.split), pa.string())),
            contents,
            entered,
            balanced,
        )

    def places(self, some: npt.NDArray[np.signedinteger[Any]]) -> tuple[tuple[int, tuple[int, ...]], ...]:
        """By unit, the places of some of the kept samples among those of it that entered."""
        row = self.row[some]
        unit = np.searchsorted(self.starts, row, side="right") - 1
        place = row - self.starts[unit]
        return tuple((int(one), tuple(place[unit == one].tolist())) for one in distinct_numbers(unit))

    def rows_of(self, layout: Layout, some: Set[str]) -> dict[int, str]:
        """The rows of those of `some` ids that are kept, each with its id."""
        found: dict[int, str] = {}
        if some:
            wanted = pa.array(sorted(some), pa.string())
            for start, ids in _id_batches(layout.verdicts(FILTERED)):
                at = np.flatnonzero(pc.is_in(ids, wanted).to_numpy(zero_copy_only=False))
                found |= zip((at + start).tolist(), ids.take(pa.array(at)).to_pylist(), strict=True)
        named = np.fromiter(found, np.int64, len(found))
        return {int(row): found[int(row)] for row in named[np.isin(named, self.row)]}


def _id_batches(path: Path) -> Iterator[tuple[int, pa.Array]]:
    """The ids of a table of verdicts, some at a time, and the row of the first of them."""
    start = 0
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(ROW_GROUP, columns=["id"], use_threads=False):
            yield start, batch.column(0)
            start += len(batch)


def _ids_of(layout: Layout, rows: npt.NDArray[np.bool_]) -> list[pa.Array]:
    """The ids of some of the samples that entered 01_filtered."""
    batches = _id_batches(layout.verdicts(FILTERED))
    return [pa.array([], pa.string()), *(ids.filter(pa.array(rows[at : at + len(ids)])) for at, ids in batches)]


def _kept(layout: Layout, units: int) -> npt.NDArray[np.bool_]:
    """Which samples, of all that entered 01_filtered, the last deciding stage keeps."""
    if layout.deciding == FILTERED:
        return _says_kept(layout.verdicts(FILTERED))
    flags = [np.zeros(0, np.bool_)]
    first, last = layout.verdicts(FILTERED), layout.verdicts(layout.deciding)
    with UnitReader(first, ["id"]) as entered, UnitReader(last, ["id", "verdict"]) as decided:
        for unit in range(units):
            said = decided.read(unit)
            stay = said.filter(pc.equal(said.column("verdict"), "kept")).column("id").combine_chunks()
            flags.append(numbers(pc.is_in(entered.read(unit).column("id"), stay)))
    return np.concatenate(flags)


def _says_kept(path: Path) -> npt.NDArray[np.bool_]:
    with pq.ParquetFile(path) as file:
        batches = file.iter_batches(ROW_GROUP, columns=["verdict"], use_threads=False)
        flags = [pc.equal(batch.column(0), "kept").to_numpy(zero_copy_only=False) for batch in batches]
    return np.concatenate([np.zeros(0, np.bool_), *flags])


def _write_groups(
    layout: Layout, file: RecipeFile, weight: npt.NDArray[Any] | None, repeats: npt.NDArray[Any] | None
) -> npt.NDArray[np.int16]:
    """Write the split group, weight and repeats of every sample that entered 01_filtered; the split of each."""
    recipe = file.recipe
    named = name_groups(layout, load_corpus(layout, recipe.filter.duplicates))
    splits: list[npt.NDArray[np.int16]] = [np.zeros(0, np.int16)]
    path = layout.verdicts(FILTERED)
    with pq.ParquetFile(path) as verdicts, piece_writer(layout.state / "groups.parquet", _GROUPS) as writer:
        start = 0
        for batch in verdicts.iter_batches(ROW_GROUP, columns=["id", "unit"], use_threads=False):
            here = slice(start, start + len(batch))
            group = named.of(start, batch.column("id"))
            splits.append(assign_codes(group, recipe.split, recipe.seed))
            columns = [
                *batch.columns,
                group,
                pa.array(np.ones(len(batch), np.float32) if weight is None else weight[here]),
                pa.array(np.ones(len(batch), np.int32) if repeats is None else repeats[here]),
            ]
            writer.write(pa.Table.from_arrays(columns, schema=_GROUPS))
            start += len(batch)
    return np.concatenate(splits)


@dataclass(frozen=True)
class NamedGroups:
    """The group of each sample that shares one with others, by row; of all others it is the id itself."""

    rows: npt.NDArray[np.int64]  # ascending
    names: pa.Array

    def of(self, start: int, ids: pa.Array) -> pa.Array:
        """The groups of the samples `ids`, of which the first is the row `start`."""
        first, end = np.searchsorted(self.rows, [start, start + len(ids)])
        place = np.arange(len(ids))
        place[self.rows[first:end] - start] = len(ids) + np.arange(end - first)
        return pa.concat_arrays([ids, self.names.slice(first, end - first)]).take(pa.array(place))


def name_groups(layout: Layout, corpus: CorpusFacts) -> NamedGroups:
    """The group of each sample: the smallest id among all it is linked to by equal bytes or near hashes.

    Chains count here, rejected samples too: what is near, or near to what is near, must not lie in two splits.
    """
    links: list[Links] = []
    if corpus.near is not None and corpus.near_members is not None:
        ordinal = corpus.near_members.column("ordinal").to_numpy()
        hashes = corpus.near_members.column("value").to_numpy()
        a, b = near_links(corpus.near, hashes, np.ones(len(hashes), np.bool_))
        links.append((ordinal[a], ordinal[b]))
    if corpus.bytes_members is not None:
        ordinal = corpus.bytes_members.column("ordinal").to_numpy()
        a, b = equal_links(corpus.bytes_members.column("value"))
        links.append((ordinal[a], ordinal[b]))
    rows = distinct_numbers(np.concatenate([np.zeros(0, np.int64), *(side for link in links for side in link)]))
    placed = [(np.searchsorted(rows, a), np.searchsorted(rows, b)) for a, b in links]
    return NamedGroups(rows, group_ids(split_groups(len(rows), *placed), ids_at(layout, rows)))


def ids_at(layout: Layout, rows: npt.NDArray[np.int64]) -> pa.Array:
    """The ids of some of the samples that entered 01_filtered, by row, ascending."""
    found = [pa.array([], pa.string())]
    if len(rows):
        for start, ids in _id_batches(layout.verdicts(FILTERED)):
            found.append(ids.take(pa.array(rows[span(rows, start, len(ids))] - start)))
    return pa.concat_arrays(found)


def _sizes(layout: Layout, starts: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], Contents]:
    """Bytes of each sample in a shard, about, and what the samples of the pack may hold."""
    sizes: list[Any] = [np.zeros(0, np.int64)]
    most_images, turns, weights = 1, False, False
    generated = layout.stage_file(CAPTIONED).is_file()
    with UnitReader(layout.verdicts(FILTERED), ["id"]) as entered:
        for number, samples in enumerate(np.diff(starts).tolist()):
            items = read_table(layout.items(number), columns=["id", "kind", "role", "size", "weight"])
            owner = pc.index_in(items.column("id"), entered.read(number).column("id").combine_chunks())
            where = owner.to_numpy().astype(np.int64)
            held = np.bincount(where, pc.fill_null(items.column("size"), 0).to_numpy(), samples)
            sizes.append(held.astype(np.int64) + _TEXT_ROOM)
            images = pc.equal(items.column("kind"), "image").to_numpy()
            most_images = max(most_images, int(np.bincount(where[images], minlength=1).max(initial=1)))
            turns |= bool((~images & ~pc.equal(items.column("role"), "caption").to_numpy()).any())
            weights |= items.column("weight").null_count < items.num_rows
            if generated:
                turns |= _pairs_in(layout.generated(number))
    scored = ALIGNMENT in pq.read_schema(layout.rows_of(layout.deciding)).names
    return np.concatenate(sizes), Contents(most_images, turns, weights, scored, generated)


def _pairs_in(path: Path) -> bool:
    """Whether there are questions and answers among the generated items in `path`."""
    roles = read_table(path, columns=["role"]).column("role")
    return bool(pc.any(pc.not_equal(roles, "caption")).as_py())
