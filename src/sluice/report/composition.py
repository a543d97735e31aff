"""What the corpus is made of: shares of languages, licences, sources and sizes, before and after."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from sluice.report.tables import Tables

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
    code = "text_code" if grain == "text" else "code"
    rows = tables.rows(
        f"""WITH counted AS (SELECT left({label}, {_LENGTH}) AS name, {code} AS code, count(*) AS n
                             FROM (SELECT {label} FROM read_parquet(?)) POSITIONAL JOIN place
                             WHERE {tables.sample_place(grain)} GROUP BY ALL),
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
    if "min_side" not in {column.name for column in tables.columns}:
        return ()
    bucket = " ".join(f"WHEN min_side < {side} THEN {place}" for place, side in enumerate(_SIDES))
    rows = tables.rows(
        f"SELECT CASE {bucket} ELSE {len(_SIDES)} END, code, count(*) FROM measured "
        "WHERE first_image AND min_side IS NOT NULL GROUP BY ALL"
    )
    counts = [[0, 0, 0, 0] for _ in range(len(_SIDES) + 1)]
    for place, code, count in rows:
        counts[place][code] = count
    names = [f"under {_SIDES[0]}"]
    names += [f"{low:,} to {high - 1:,}" for low, high in pairwise(_SIDES)]
    names += [f"{_SIDES[-1]:,} and more"]
    return tuple(Share(name, (c[0], c[1], c[2], c[3])) for name, c in zip(names, counts, strict=True)) if rows else ()
