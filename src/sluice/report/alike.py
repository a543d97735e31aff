"""Clusters of texts, or of samples by their vectors: how many, how large, and some to read side by side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from sluice.report.facts import Stages
from sluice.report.tables import Tables
from sluice.table.layout import CHECKED, FILTERED

_REASONS: Final = {FILTERED: "near_duplicate_text", CHECKED: "semantic_duplicate"}
_CLUSTERS: Final = 8  # of a stage that are shown
_MEMBERS: Final = 3  # of a cluster that are shown beside its keeper


@dataclass(frozen=True)
class Member:
    """One of a cluster, by its text where that is what was compared, else by its key."""

    told: str
    similarity: float | None  # to the one kept
    kept: bool


@dataclass(frozen=True)
class AlikeClusters:
    """The clusters of a stage in figures, the largest in words."""

    reason: str
    count: int
    members: int  # gone in favour of a keeper
    largest: int
    shown: tuple[tuple[Member, ...], ...]


def alike(tables: Tables, stages: Stages) -> tuple[AlikeClusters, ...]:
    """Those of the stages that looked for what is alike."""
    return tuple(_of_stages(tables, stages))


def _of_stages(tables: Tables, stages: Stages) -> Iterator[AlikeClusters]:
    for stage, reason in _REASONS.items():
        record: dict[str, Any] = stages.records.get(stage, {}).get("alike", {})
        if record:
            shown = tuple(_clusters(tables, stage)) if record["clusters"] else ()
            yield AlikeClusters(reason, record["clusters"], record["members"], record["largest"], shown)


def _clusters(tables: Tables, stage: str) -> Iterator[tuple[Member, ...]]:
    """The largest clusters, a keeper first, then those most like it."""
    rows = tables.rows(
        """WITH alike AS (SELECT * FROM read_parquet(?)),
        largest AS (
            SELECT cluster, cluster_item, count(*) AS size FROM alike GROUP BY ALL
            ORDER BY size DESC, cluster, cluster_item LIMIT ?),
        shown AS (
            SELECT *, row_number() OVER (
                PARTITION BY cluster, cluster_item ORDER BY kept DESC, similarity DESC NULLS LAST, id, item) AS place
            FROM alike JOIN largest USING (cluster, cluster_item) QUALIFY place <= ?),
        named AS (
            SELECT id, key, image_item, text_item, "text" FROM read_parquet(?) SEMI JOIN shown USING (id))
        SELECT cluster, cluster_item, similarity, kept,
               (SELECT first(coalesce(CASE WHEN text_item = item AND image_item IS DISTINCT FROM item
                                           THEN "text" END, key))
                FROM named WHERE named.id = shown.id AND (text_item = item OR image_item = item))
        FROM shown ORDER BY size DESC, cluster, cluster_item, place""",
        str(tables.layout.corpus("alike_clusters", stage)),
        _CLUSTERS,
        1 + _MEMBERS,
        str(tables.layout.rows_of(stage)),
    )
    found: dict[tuple[str, int], list[Member]] = {}
    for cluster, item, similarity, kept, told in rows:
        found.setdefault((cluster, item), []).append(Member(told or "(erased)", similarity, kept))
    yield from (tuple(members) for members in found.values())
