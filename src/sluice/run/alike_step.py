"""Deciding on what is alike, texts or vectors: which rows go, in whose favour, among those that all others leave.

As with near-duplicate images, what is alike is measured once over all rows and stored; this restricts it to the rows
that survive. It speaks last: what a rule or another corpus step rejects takes no other sample out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.corpus.alike import Alike, Similarities, alike_clusters, load_alike
from sluice.corpus.duplicates import Cluster
from sluice.run.decide import REJECTED, Flags, Indices, Speaker
from sluice.run.rules.order import Order
from sluice.run.rules.row_columns import MAX_TEXT, take
from sluice.run.rules.sandbox import sandbox
from sluice.table.arrays import distinct_numbers, numbers, span
from sluice.table.commit import write_table
from sluice.table.compute import pc
from sluice.table.layout import CHECKED, FILTERED, Layout
from sluice.table.read import read_table, read_where

NEAR_TEXT: Final = "near_duplicate_text"
SEMANTIC: Final = "semantic_duplicate"
NAMES: Final = {FILTERED: NEAR_TEXT, CHECKED: SEMANTIC}  # the step of a stage
_PAIRS: Final = "alike_pairs"
_MEMBERS: Final = "alike_members"
CLUSTERS: Final = "alike_clusters"
_FINGERPRINT: Final = b"sluice.fingerprint"
_ABOUT_TEXT: Final = b"sluice.about_text"
_FOUND: Final = pa.schema(
    [
        ("cluster", pa.string()),  # id of the sample that was kept
        ("cluster_item", pa.int16()),
        ("id", pa.string()),
        ("item", pa.int16()),
        ("similarity", pa.float32()),  # to the kept one; null where they are linked by others only
        ("kept", pa.bool_()),
    ]
)


@dataclass(frozen=True)
class AlikeFacts:
    """What was measured: which rows (those that are alike to another) are which node, and the pairs of nodes."""

    rule: str
    about_text: bool
    row: Indices  # ascending
    node: Indices
    rank: Indices
    pairs: Alike


@dataclass(frozen=True)
class AlikeFound:
    """Which rows go, in whose favour; `similarity` is NaN where it is not known."""

    rule: str
    about_text: bool
    row: Indices  # ascending
    keeper: Indices  # row
    similarity: Similarities

    def speaker(self, first: int, rows: int) -> Speaker:
        """What this says of the `rows` rows from the `first` on."""
        severity = np.zeros(rows, np.int8)
        severity[self.row[span(self.row, first, rows)] - first] = REJECTED
        return Speaker(self.rule, severity, self.about_text)


@dataclass(frozen=True)
class NamedAlike:
    """The same, and who the kept ones are: they may lie far from those that go."""

    found: AlikeFound
    keepers: pa.Table  # id and item of each that is kept

    @staticmethod
    def of(found: AlikeFound, path: Path) -> NamedAlike:
        """By the table that was judged."""
        return NamedAlike(found, _who(path, _item(found), found.keeper))

    def values(self, rows: pa.Table, first: int, at: Indices) -> list[dict[str, Any]]:
        """What the verdicts say of the rows `at` of `rows`, which begin at row `first`: the kept one, and how alike."""
        place = np.searchsorted(self.found.row, at + first)
        keepers = self.keepers.take(pa.array(place))
        values: list[dict[str, Any]] = [
            {"keeper": keeper, "similarity": None if np.isnan(like) else round(float(like), 4)}
            for keeper, like in zip(
                keepers.column("id").to_pylist(), self.found.similarity[place].tolist(), strict=True
            )
        ]
        if self.found.about_text:
            items = keepers.column(_item(self.found)).to_pylist()
            values = [{**value, "item": item} for value, item in zip(values, items, strict=True)]
            if "text" in rows.column_names:
                texts = rows.column("text").take(pa.array(at)).to_pylist()
                values = [{**value, "text": text[:MAX_TEXT]} for value, text in zip(values, texts, strict=True)]
        return values


def compared(rows: pa.Table, of: str) -> Flags:
    """Which rows are compared: of images the first row of each pair; of texts captions, and documents of one text."""
    images, texts = (rows.column(name).to_numpy() for name in ("images", "texts"))
    if of == "text":
        single = (texts == 1) & (images == 0)
        return (images <= 1) & (rows.column("alternative").to_numpy() | single)
    first = np.diff(rows.column("ordinal").to_numpy(), prepend=-1) != 0
    return first & (images == 1) & pc.equal(rows.column("texts"), rows.column("captions")).to_numpy()


def pairs_path(layout: Layout, stage: str) -> Path:
    """The pairs of a stage."""
    return layout.corpus(_PAIRS, stage)


def members_are(layout: Layout, stage: str, name: str) -> bool:
    """Whether the members of a stage were made from what `name` says."""
    path = layout.corpus(_MEMBERS, stage)
    return path.is_file() and (pq.read_schema(path).metadata or {}).get(_FINGERPRINT) == name.encode()


def forget_members(layout: Layout, stage: str) -> None:
    """Remove the members of a stage: they name what the pairs were made from, and go first."""
    layout.corpus(_MEMBERS, stage).unlink(missing_ok=True)


def write_members(
    layout: Layout, stage: str, pairs: Alike, node: Indices, row: Indices, order: Order, name: str, *, about_text: bool
) -> None:
    """Commit the rows that share their node or whose node is in a pair, with their rank by the recipe's `keep`.

    `node` (-1: none) and `row` go together. Ties in `keep` fall to the earlier row.
    """
    row, node = row[node >= 0], node[node >= 0]
    paired = np.isin(node, np.concatenate([pairs.a, pairs.b]))
    _, place, count = np.unique(node, return_inverse=True, return_counts=True)
    belongs = paired | (count[place] > 1)
    row, node = row[belongs], node[belongs]
    rank = np.empty(len(row), np.int64)
    if len(row):
        with sandbox() as duck:  # `order` is the recipe's own SQL
            columns = take(layout.rows_of(stage), list(dict.fromkeys([*order.columns])), row)
            duck.register("members", columns.append_column("member row", pa.array(row)))
            best_first = duck.sql(f'SELECT "member row" AS row FROM members ORDER BY {order.sql}, "member row"')
            rank[np.searchsorted(row, best_first.to_arrow_table().column("row").to_numpy())] = np.arange(len(row))
    table = pa.table({"row": row, "node": node, "rank": rank})
    said = {_FINGERPRINT: name.encode(), _ABOUT_TEXT: str(about_text).encode()}
    write_table(layout.corpus(_MEMBERS, stage), table.replace_schema_metadata(said))


def load_facts(layout: Layout, stage: str, *, asked: bool) -> AlikeFacts | None:
    """What the step of a stage measured; None where it is not asked for."""
    path = layout.corpus(_MEMBERS, stage)
    if not asked or not path.is_file():
        return None
    table = read_table(path)
    about_text = (table.schema.metadata or {}).get(_ABOUT_TEXT) == b"True"
    row, node, rank = (numbers(table.column(name)) for name in ("row", "node", "rank"))
    return AlikeFacts(NAMES[stage], about_text, row, node, rank, load_alike(pairs_path(layout, stage)))


def find_alike(found: AlikeFacts, cluster: Cluster, alive: Flags) -> AlikeFound:
    """Which rows go among those that all else leaves `alive` (by member)."""
    row, node, rank = found.row[alive], found.node[alive], found.rank[alive]
    keeper, similarity = alike_clusters(found.pairs, node, rank, cluster)
    loses = keeper != np.arange(len(keeper))
    return AlikeFound(found.rule, found.about_text, row[loses], row[keeper[loses]], similarity[loses])


def write_clusters(layout: Layout, stage: str, found: AlikeFound | None) -> dict[str, Any]:
    """Commit who is in which cluster; what `stage.json` says of them. Nothing is left where nothing was sought."""
    path = layout.corpus(CLUSTERS, stage)
    if found is None:
        path.unlink(missing_ok=True)
        return {}
    keepers = distinct_numbers(found.keeper)
    member = np.concatenate([keepers, found.row])
    of = np.concatenate([keepers, found.keeper])
    item = _item(found)
    order = np.lexsort((member, member != of, of))
    member, of = member[order], of[order]
    similarity = np.concatenate([np.ones(len(keepers), np.float32), found.similarity])[order]
    who, kept = (_who(layout.rows_of(stage), item, rows) for rows in (member, of))
    columns = {
        "cluster": kept.column("id"),
        "cluster_item": kept.column(item),
        "id": who.column("id"),
        "item": who.column(item),
        "similarity": pa.array(similarity, mask=np.isnan(similarity)),
        "kept": pa.array(member == of),
    }
    write_table(path, pa.table([columns[name] for name in _FOUND.names], schema=_FOUND))
    size = np.bincount(np.searchsorted(keepers, of), minlength=1)
    return {"alike": {"clusters": len(keepers), "members": len(found.row), "largest": int(size.max())}}


def _item(found: AlikeFound) -> str:
    return "text_item" if found.about_text else "image_item"


def _who(path: Path, item: str, rows: Indices) -> pa.Table:
    return take(path, ["id", item], rows) if len(rows) else pq.read_schema(path).empty_table().select(["id", item])


def clusters_of(layout: Layout, stage: str, identity: str, most: int) -> Sequence[dict[str, Any]]:
    """Who is in a cluster with the sample `identity`: at most `most` of each of its clusters, the kept one first."""
    path = layout.corpus(CLUSTERS, stage)
    if not path.is_file():
        return []
    mine = {(row["cluster"], row["cluster_item"]) for row in read_where(path, "id", identity).to_pylist()}
    found: list[dict[str, Any]] = []
    for keeper, item in sorted(mine, key=str):
        members = [row for row in read_where(path, "cluster", keeper).to_pylist() if row["cluster_item"] == item]
        found += members[:most]
    return found
