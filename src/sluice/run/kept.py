"""The samples that the stages before kept, in order: drawn, split, and sized for the shards they go into."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.corpus.split import Links, assign, equal_links, group_ids, near_links, split_groups
from sluice.pack.base import Contents
from sluice.run.balance_draw import Balanced
from sluice.run.balancing import balance
from sluice.run.corpus_steps import CorpusFacts, load_corpus
from sluice.run.recipe import RecipeFile
from sluice.table.commit import write_table
from sluice.table.compute import pc
from sluice.table.layout import CAPTIONED, FILTERED, Layout
from sluice.table.read import read_table

ALIGNMENT: Final = "alignment"  # the column of cosines that captions are weighed by
_TEXT_ROOM: Final = 2_048  # bytes that a sample's texts, JSON and padding take in a shard, about


@dataclass(frozen=True)
class Kept:
    """The samples that the stages before kept, in order: those of them that were drawn."""

    ids: pa.Array
    unit: npt.NDArray[np.int64]
    place: npt.NDArray[np.int64]  # among the unit's entered samples
    sizes: npt.NDArray[np.int64]  # bytes in a shard, about
    splits: npt.NDArray[np.str_]
    contents: Contents
    entered: pa.Table  # id, unit of all that the stages before kept
    balanced: Balanced | None

    @staticmethod
    def load(layout: Layout, file: RecipeFile, balancing: str | None) -> Kept:
        """Read the verdicts, draw, assign splits; the split groups and weights are written down for the packers."""
        recipe = file.recipe
        verdicts = read_table(layout.verdicts(FILTERED), columns=["id", "unit"])
        ids = verdicts.column("id").combine_chunks()
        unit = verdicts.column("unit").to_numpy().astype(np.int64)
        starts = np.searchsorted(unit, np.arange(unit[-1] + 1 if len(unit) else 0))
        kept = _kept(layout, ids)
        entered = verdicts.filter(pa.array(kept))
        weight, repeats = np.ones(len(unit), np.float32), np.ones(len(unit), np.int32)
        balanced = None
        if balancing is not None:
            balanced = balance(file, layout, entered.column("id").combine_chunks(), balancing)
            weight[kept] = balanced.table.column("weight").to_numpy()
            repeats[kept] = balanced.table.column("repeats").to_numpy()
            kept[kept] = balanced.drawn
        groups = name_groups(load_corpus(layout, recipe.filter.duplicates), ids)
        write_table(
            layout.state / "groups.parquet",
            pa.table(
                {"id": ids, "unit": verdicts.column("unit"), "group": groups, "weight": weight, "repeats": repeats}
            ),
        )
        splits = assign(groups, recipe.split, recipe.seed)
        sizes, contents = _sizes(layout, unit, ids)
        place = np.arange(len(unit)) - starts[unit] if len(unit) else unit
        return Kept(
            ids.filter(pa.array(kept)),
            unit[kept],
            place[kept],
            sizes[kept],
            np.asarray(splits)[kept],
            contents,
            entered,
            balanced,
        )


def _kept(layout: Layout, ids: pa.Array) -> npt.NDArray[np.bool_]:
    """Which of `ids`, all that entered 01_filtered, the last deciding stage keeps."""
    last = read_table(layout.verdicts(layout.deciding), columns=["id", "verdict"])
    return pc.is_in(ids, last.filter(pc.equal(last.column("verdict"), "kept")).column("id").combine_chunks()).to_numpy(
        zero_copy_only=False
    )


def name_groups(corpus: CorpusFacts, ids: pa.Array) -> pa.Array:
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
    return group_ids(split_groups(len(ids), *links), ids)


def _sizes(layout: Layout, unit: Any, ids: pa.Array) -> tuple[Any, Contents]:
    """Bytes of each sample in a shard, about, and what the samples of the pack may hold."""
    sizes: list[Any] = []
    most_images, turns, weights = 1, False, False
    generated = layout.stage_file(CAPTIONED).is_file()
    for number in range(int(unit[-1]) + 1 if len(unit) else 0):
        items = read_table(layout.items(number), columns=["id", "kind", "role", "size", "weight"])
        owner = pc.index_in(
            items.column("id"), ids.slice(int(np.searchsorted(unit, number)), int((unit == number).sum()))
        )
        where = owner.to_numpy().astype(np.int64)
        held = np.bincount(where, pc.fill_null(items.column("size"), 0).to_numpy(), int((unit == number).sum()))
        sizes.append(held.astype(np.int64) + _TEXT_ROOM)
        images = pc.equal(items.column("kind"), "image").to_numpy()
        most_images = max(most_images, int(np.bincount(where[images], minlength=1).max(initial=1)))
        turns |= bool((~images & ~pc.equal(items.column("role"), "caption").to_numpy()).any())
        weights |= items.column("weight").null_count < items.num_rows
        if generated:
            turns |= _pairs_in(layout.generated(number))
    scored = ALIGNMENT in pq.read_schema(layout.rows_of(layout.deciding)).names
    contents = Contents(most_images, turns, weights, scored, generated)
    return np.concatenate(sizes) if sizes else np.zeros(0, np.int64), contents


def _pairs_in(path: Path) -> bool:
    """Whether there are questions and answers among the generated items in `path`."""
    roles = read_table(path, columns=["role"]).column("role")
    return bool(pc.any(pc.not_equal(roles, "caption")).as_py())


def among(ids: pa.Array, some: Iterable[str]) -> npt.NDArray[np.bool_]:
    """Which of `ids` are among `some`."""
    return pc.is_in(ids, pa.array(sorted(some), pa.string())).to_numpy(zero_copy_only=False)
