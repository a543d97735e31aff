"""What the corpus is made of: shares of languages, licences, sources and sizes, before and after."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from sluice.report.tables import REPEATED, VERDICTS, Tables

_MOST: Final = 10  # names of a kind that are told apart; the rest is summed up
_LENGTH: Final = 80  # characters of a name
_SIDES: Final = (64, 128, 256, 512, 1024, 2048)  # px


@dataclass(frozen=True)
class Share:
    """One name of a kind: things by verdict code."""

    name: str | None  # None: not known
    counts: tuple[int, int, int, int]
    others: int = 0  # names summed up in this one

    @property
    def total(self) -> int:
        """Things of this name that entered."""
        return sum(self.counts)


def shares(tables: Tables, label: str, grain: str) -> tuple[Share, ...]:
    """The names of the column `label`, most frequent first; empty where the run has no such column."""
    if label not in tables.labels:
        return ()
    rows = tables.rows(
        f"""WITH counted AS (SELECT left({label}, {_LENGTH}) AS name, {grain} AS code, count(*) AS n
                             FROM (SELECT {label} FROM read_parquet(?)) POSITIONAL JOIN place
                             WHERE {grain} <> {REPEATED} GROUP BY ALL),
        totalled AS (SELECT *, sum(n) OVER (PARTITION BY name) AS total FROM counted),
        ranked AS (SELECT *, dense_rank() OVER (ORDER BY total DESC, name NULLS LAST) AS place FROM totalled)
        SELECT CASE WHEN place <= {_MOST} THEN name END AS shown, least(place, {_MOST} + 1) AS row, code,
               sum(n)::BIGINT, (SELECT max(place) FROM ranked)
        FROM ranked GROUP BY 1, 2, 3 ORDER BY 2, 3""",
        str(tables.layout.rows),
    )
    counts: dict[int, list[int]] = {}
    names: dict[int, str | None] = {}
    for name, row, verdict, count, _ in rows:
        names[row] = name
        counts.setdefault(row, [0, 0, 0, 0])[verdict] += count
    others = max((row[4] for row in rows), default=0) - _MOST
    return tuple(
        Share(names[row], (found[0], found[1], found[2], found[3]), others if row > _MOST else 0)
        for row, found in counts.items()
    )


def size_buckets(tables: Tables) -> tuple[Share, ...]:
    """Images by their shorter side, from small to large."""
    column = next((column for column in tables.columns if column.name == "min_side"), None)
    if column is None:
        return ()
    places = len(_SIDES) + 1
    found = np.zeros(len(VERDICTS) * places, np.int64)
    for values, codes in tables.values(column):
        bucket = np.searchsorted(_SIDES, values, side="right")
        found += np.bincount(bucket + codes.astype(np.int64) * places, minlength=len(found))
    counts = found.reshape(len(VERDICTS), places).T.tolist()
    names = [f"under {_SIDES[0]}"]
    names += [f"{low:,} to {high - 1:,}" for low, high in pairwise(_SIDES)]
    names += [f"{_SIDES[-1]:,} and more"]
    return (
        tuple(Share(name, (c[0], c[1], c[2], c[3])) for name, c in zip(names, counts, strict=True))
        if found.any()
        else ()
    )
