"""Which samples stand for a reason: typical ones, those nearest to the threshold, and those that only just passed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Final

import numpy as np
import pyarrow as pa

from sluice.report.lots import drawn, lots
from sluice.report.tables import Numbers, Tables, numbers, whole
from sluice.report.thresholds import Threshold
from sluice.table.layout import FILTERED

_DISTANCE: Final = {
    "near_duplicate",
    "contaminated",
}  # reasons that say a distance in bits: the far ones are borderline


@dataclass(frozen=True)
class Pick:
    """A sample chosen as an example: which of its items, and what to say under it."""

    ordinal: int
    item: int | None  # null: its first image
    label: str  # `sharpness 12.1`
    kept: bool = False
    stage: str = FILTERED  # which numbered it, and spoke


@dataclass(frozen=True)
class Examples:
    """The examples of one reason. Without a threshold nothing is borderline, and `typical` is a seeded draw."""

    typical: tuple[Pick, ...] = ()
    borderline: tuple[Pick, ...] = ()
    passed: tuple[Pick, ...] = ()
    drawn: bool = False  # typical is a draw


def choose(tables: Tables, rule: str, lines: Sequence[Threshold], seed: int, each: int) -> Examples:
    """Examples of `rule`, `each` of a kind: typical is around the median of what it rejected."""
    margin = _margin(rule, lines)
    if margin is None:
        return Examples(typical=_drawn(tables, rule, seed, min(3 * each, 6)), drawn=True)
    typical, borderline = _ranked(tables, rule, margin, lines, seed, each)
    if not typical and not borderline:  # every value is NULL
        return Examples(typical=_drawn(tables, rule, seed, each), drawn=True)
    return Examples(typical, borderline, _passed(tables, lines, seed, each) if lines else ())


def kept_examples(tables: Tables, seed: int, most: int) -> tuple[Pick, ...]:
    """A seeded draw of what is kept."""
    return tuple(Pick(ordinal, None, "") for ordinal in drawn(tables.verdicts == 0, seed, most))


def _margin(rule: str, lines: Sequence[Threshold]) -> str | None:
    """SQL: how far a reason is from not being one; None where there is no telling."""
    if rule in _DISTANCE:
        return "-TRY_CAST(json_extract_string(\"values\", '$.distance') AS DOUBLE)"
    parts = [
        f'abs(TRY_CAST(json_extract_string("values", {_path(line.column)}) AS DOUBLE) - {line.value!r}) / {_unit(line)}'
        for line in lines
    ]
    return f"least({', '.join(parts)})" if parts else None


def _path(column: str) -> str:
    return "'$.\"" + column.replace("'", "''").replace('"', '\\"') + "\"'"


def _unit(line: Threshold) -> float:
    """Distances to a threshold are shares of it, so that columns can be compared."""
    return abs(line.value) or 1.0


def _ranked(
    tables: Tables, rule: str, margin: str, lines: Sequence[Threshold], seed: int, each: int
) -> tuple[tuple[Pick, ...], tuple[Pick, ...]]:
    """The `each` around the median margin, and the `each` with the least; small sets are shared out."""
    tables.duck.execute(
        f"""CREATE OR REPLACE TEMP TABLE candidate AS
        SELECT ordinal, {margin} AS margin FROM spoke
        WHERE rule = ? AND verdict <> 3 AND margin IS NOT NULL""",
        [rule],
    )
    total = tables.rows("SELECT count(*) FROM candidate")[0][0]
    if not total:
        return (), ()
    near = _places(tables, seed, each, 0)
    middle = tables.rows("SELECT quantile_disc(margin, 0.5) FROM candidate")[0][0]
    usual = [
        ordinal
        for (ordinal,) in tables.rows(
            "SELECT ordinal FROM candidate GROUP BY ordinal ORDER BY min(abs(margin - ?)), hash(ordinal, ?) LIMIT ?",
            middle,
            seed,
            2 * each,
        )
        if ordinal not in near
    ][:each]
    return _picks(tables, rule, usual, lines), _picks(tables, rule, near, lines)


def _places(tables: Tables, seed: int, each: int, offset: int) -> list[int]:
    rows = tables.rows(
        "SELECT ordinal FROM candidate GROUP BY ordinal ORDER BY min(margin), hash(ordinal, ?) LIMIT ? OFFSET ?",
        seed,
        each,
        offset,
    )
    return [ordinal for (ordinal,) in rows]


def _drawn(tables: Tables, rule: str, seed: int, most: int) -> tuple[Pick, ...]:
    rows = tables.rows(
        "SELECT ordinal FROM spoke WHERE rule = ? GROUP BY ordinal "
        # a rejecting rule that could not judge has only held: not what it stands for
        "ORDER BY min(verdict = 3 AND effect <> 0), min(effect), hash(ordinal, ?) LIMIT ?",
        rule,
        seed,
        most,
    )
    return _picks(tables, rule, [ordinal for (ordinal,) in rows])


def _picks(tables: Tables, rule: str, ordinals: Sequence[int], lines: Sequence[Threshold] = ()) -> tuple[Pick, ...]:
    rows = tables.rows(
        'SELECT ordinal, item, "values" FROM spoke WHERE rule = ? '
        "AND ordinal IN (SELECT unnest(?::BIGINT[])) ORDER BY ordinal, item",
        rule,
        list(ordinals),
    )
    found: dict[int, Pick] = {}
    for ordinal, item, values in rows:
        found.setdefault(ordinal, Pick(ordinal, item, said(values, lines), stage=tables.stage))
    return tuple(found[ordinal] for ordinal in ordinals if ordinal in found)


def _passed(tables: Tables, lines: Sequence[Threshold], seed: int, each: int) -> tuple[Pick, ...]:
    """Kept samples nearest to a threshold."""
    known = {column.name: column for column in tables.columns}
    usable = [line for line in lines if line.column in known]
    if not usable:
        return ()
    grain = "text" if any(known[line.column].grain == "text" for line in usable) else "image"
    columns = list(dict.fromkeys(line.column for line in usable))
    names = ["ordinal", f"{grain}_item", *columns]
    best: list[tuple[float, int, dict[str, Any]]] = []
    for batch, codes in tables.read(names, grain):
        kept = np.flatnonzero(codes == 0)
        margin = _nearest(batch, usable)[kept]
        kept, margin = kept[~np.isnan(margin)], margin[~np.isnan(margin)]
        most = 3 * each  # images of one sample may stand in several rows
        if len(kept) > most:
            close = margin <= np.partition(margin, most - 1)[most - 1]
            kept, margin = kept[close], margin[close]
        turn = lots(whole(batch.column("ordinal"))[kept], seed)
        order = np.lexsort((turn, margin))[:most]
        found = [batch.slice(row, 1).to_pylist()[0] for row in kept[order].tolist()]
        best += zip(margin[order].tolist(), turn[order].tolist(), found, strict=True)
        best = sorted(best, key=lambda one: one[:2])[:most]
    first: dict[int, dict[str, Any]] = {}
    for _, _, row in best:
        first.setdefault(row["ordinal"], row)
    return tuple(
        Pick(
            ordinal,
            row[names[1]],
            ", ".join(f"{name} {_beside(row[name], name, lines)}" for name in columns),
            kept=True,
            stage=tables.stage,
        )
        for ordinal, row in list(first.items())[:each]
    )


def _nearest(batch: pa.RecordBatch, lines: Sequence[Threshold]) -> Numbers:
    """How far each row is from the nearest threshold; NaN where it has none of the values."""
    parts = (np.abs(numbers(batch.column(line.column)) - line.value) / _unit(line) for line in lines)
    return reduce(np.fmin, parts)


def ids_of(tables: Tables, ordinals: Iterable[int]) -> dict[int, tuple[str, int]]:
    """(id, unit) of the samples at `ordinals`."""
    rows = tables.rows(
        "SELECT file_row_number, id, unit FROM read_parquet(?, file_row_number = true) "
        "WHERE file_row_number IN (SELECT unnest(?::BIGINT[]))",
        str(tables.layout.verdicts(tables.stage)),
        sorted(set(ordinals)),
    )
    return {ordinal: (identity, unit) for ordinal, identity, unit in rows}


def said(values: str, lines: Sequence[Threshold] = ()) -> str:
    """The values that a rule saw, in a few words; yes and no are left out, the rule itself says as much.

    >>> said('{"sharpness": 12.1, "mojibake": true, "text": null}')
    'sharpness 12.1, text unknown'
    >>> said('{"aspect": 3.0004}', [Threshold("aspect", 3.0)])
    'aspect 3.0004'
    """
    try:
        seen: dict[str, Any] = json.loads(values or "{}")
    except ValueError:
        return ""
    if "message" in seen:
        return str(seen["message"])
    if "distance" in seen:
        return f"{seen['distance']} bits away"
    told = {
        name: value for name, value in seen.items() if not isinstance(value, bool) and (name != "text" or not value)
    }
    return ", ".join(f"{name} {_beside(value, name, lines)}" for name, value in told.items())


def _beside(value: Any, name: str, lines: Sequence[Threshold]) -> str:
    """A value in as many digits as tell it from the thresholds of its column."""
    text = figure(value)
    if isinstance(value, float) and value < 1e15:
        here = [line.value for line in lines if line.column == name and line.value != value]
        more = (text, *(f"{value:,.{digits}f}" for digits in range(2, 10)))
        return next((one for one in more if float(one.replace(",", "")) not in here), text)
    return text


def figure(value: Any) -> str:
    """A value in at most some five digits.

    >>> [figure(v) for v in (12.3456, 2_048_000, 0.0213, None)]
    ['12.3', '2,048,000', '0.021', 'unknown']
    """
    if value is None:
        return "unknown"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        size = abs(value)
        if size >= 1e15:
            return f"{value:.2g}"
        digits = 0 if size >= 100 or value.is_integer() else 1 if size >= 10 else 2 if size >= 1 else 3
        return f"{value:,.{digits}f}"
    text = str(value)
    return text if len(text) <= 40 else text[:39] + "…"
