"""Duplicate clusters: how many, how large, how far apart, and some to look at side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sluice.report.examples import Pick
from sluice.report.tables import Tables
from sluice.table.layout import FILTERED

_CLUSTERS: Final = 12  # that are shown
_MEMBERS: Final = 5  # of a cluster that are shown, its keeper among them


@dataclass(frozen=True)
class Cluster:
    """A cluster with its keeper first, then members from near to far."""

    keeper: Pick
    others: tuple[Pick, ...]
    size: int
    farthest: int  # bits between the keeper and its farthest member


@dataclass(frozen=True)
class Clusters:
    """All clusters in figures, a few in pictures."""

    count: int
    members: int  # rejected in favour of a keeper
    largest: int
    distances: tuple[tuple[int, int], ...]  # bits to the keeper, near-duplicates; equal bytes left out
    shown: tuple[Cluster, ...]


def clusters(tables: Tables, seed: int, most: int) -> Clusters:
    """What 01_filtered says of duplicates; at most `most` samples are shown.

    Shown are, by turns, the largest clusters and those with the farthest member: there the threshold is judged.
    """
    tables.duck.execute(
        """CREATE OR REPLACE TEMP TABLE member AS
        SELECT file_row_number AS ordinal, id, cluster, coalesce(distance, 0) AS distance,
               list_contains(rules, 'duplicate_bytes') AS same_bytes
        FROM read_parquet(?, file_row_number = true) WHERE cluster IS NOT NULL""",
        [str(tables.layout.verdicts(FILTERED))],
    )
    tables.duck.execute(
        "CREATE OR REPLACE TEMP TABLE clusters AS "
        "SELECT cluster, count(*) AS size, max(distance) AS farthest FROM member GROUP BY cluster"
    )
    count, members, largest = tables.rows(
        "SELECT count(*), coalesce(sum(size) - count(*), 0)::BIGINT, coalesce(max(size), 0) FROM clusters"
    )[0]
    near = dict(
        tables.rows("SELECT distance, count(*) FROM member WHERE id <> cluster AND NOT same_bytes GROUP BY distance")
    )
    distances = tuple((bits, near.get(bits, 0)) for bits in range(max(near) + 1)) if near else ()
    orders = [
        tables.rows(
            f"SELECT cluster, size, farthest FROM clusters ORDER BY {order}, hash(cluster, ?) LIMIT ?", seed, most
        )
        for order in ("size DESC, farthest DESC", "farthest DESC, size DESC")
    ]
    turns = list(dict.fromkeys(row for pair in zip(*orders, strict=True) for row in pair))
    shown: list[Cluster] = []
    room = most
    for cluster, size, farthest in turns:
        taken = min(size, _MEMBERS)
        if taken > room or len(shown) == _CLUSTERS:
            break
        room -= taken
        shown.append(_cluster(tables, cluster, size, farthest))
    return Clusters(count, members, largest, distances, tuple(shown))


def _cluster(tables: Tables, cluster: str, size: int, farthest: int) -> Cluster:
    rows = tables.rows(
        "SELECT ordinal, distance, same_bytes FROM member WHERE cluster = ? AND id <> cluster "
        "ORDER BY distance DESC, ordinal LIMIT ?",
        cluster,
        _MEMBERS - 1,
    )
    others = [Pick(ordinal, None, _distance(bits, same)) for ordinal, bits, same in reversed(rows)]
    keeper = tables.rows("SELECT ordinal FROM member WHERE id = ?", cluster)[0][0]
    return Cluster(Pick(keeper, None, "", True), tuple(others), size, farthest)


def _distance(bits: int, same_bytes: bool) -> str:
    if same_bytes:
        return "same bytes"
    return "same hash" if not bits else "1 bit away" if bits == 1 else f"{bits} bits away"
