"""The yield at every threshold of a column, from the stored measurements, with examples at each decile."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.errors import RecipeError
from sluice.run.choosing import choosing_in
from sluice.run.corpus_steps import load_corpus
from sluice.run.judging import Judgement, judge
from sluice.run.rules.rule import compile_rule
from sluice.run.rules.sql_check import did_you_mean
from sluice.table.arrays import real_numbers
from sluice.table.layout import CHECKED, FILTERED
from sluice.table.read import read_table, values_at

if TYPE_CHECKING:
    from sluice.run.ledger import Run
    from sluice.run.locked import LockedFilter

_POINTS: Final = 41
_EXAMPLES: Final = 3
_WIDTH: Final = 50
_HEIGHT: Final = 10


@dataclass(frozen=True)
class Decile:
    """A decile of the column: its value and samples that lie there."""

    share: float
    value: float
    ids: tuple[str, ...]


@dataclass(frozen=True)
class Curve:
    """Yields by threshold: of the samples that entered, how many all other rules keep and this threshold too."""

    column: str
    entered: int
    others_keep: int  # kept by the rules that do not read the column
    unmeasured: int  # of those, without a value
    thresholds: tuple[float, ...]
    yield_at_least: tuple[float, ...]  # share kept when `column < threshold` rejects
    yield_at_most: tuple[float, ...]  # share kept when `column > threshold` rejects
    rules: dict[str, str]  # the recipe's own rules on the column
    deciles: tuple[Decile, ...]

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        return {**vars(self), "deciles": [vars(decile) for decile in self.deciles]}

    def __str__(self) -> str:
        return "\n".join(_text(self))


def curve(run: Run, column: str) -> Curve:
    """The curve of `column`; duplicates are decided as if the rules on the column were not there."""
    stage, locked = _stage_of(run, column)
    schema = pq.read_schema(run.layout.rows_of(stage))
    names = {name.lower(): name for name in schema.names}
    if column.lower() not in names:
        raise RecipeError(f"there is no column {column!r}{did_you_mean(column, schema.names)}")
    column = names[column.lower()]
    kind = schema.field(column).type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise RecipeError(f"the column {column!r} holds {kind}: a curve needs numbers")
    compiled = [compile_rule(rule, schema) for rule in locked.rules]
    others = [rule for rule in compiled if column not in rule.columns]
    asked = locked.duplicates
    choosing = choosing_in(stage, locked)
    judgement = judge(run.layout, others, asked, load_corpus(run.layout, asked, stage), stage, choosing)
    values = _by_sample(run.layout.rows_of(stage), column, judgement)
    kept, known = judgement.kept, ~np.isnan(values)
    ascending = np.sort(values[kept & known])
    thresholds = _thresholds(ascending)
    below = np.searchsorted(ascending, thresholds, side="left")
    up_to = np.searchsorted(ascending, thresholds, side="right")
    entered = max(1, judgement.facts.samples)
    return Curve(
        column,
        judgement.facts.samples,
        int(np.count_nonzero(kept)),
        int(np.count_nonzero(kept & ~known)),
        tuple(thresholds.tolist()),
        tuple(((len(ascending) - below) / entered).tolist()),
        tuple((up_to / entered).tolist()),
        {rule.rule.name: rule.rule.when for rule in compiled if column in rule.columns},
        _deciles(run.layout.verdicts(stage), values, kept, ascending),
    )


def _stage_of(run: Run, column: str) -> tuple[str, LockedFilter]:
    """The stage whose rows have the column, the earlier of two; that of the filter where none has it."""
    if run.quality is not None and run.layout.stage_file(CHECKED).is_file():
        names = {name.lower() for name in pq.read_schema(run.layout.rows).names}
        if column.lower() not in names:
            return CHECKED, run.quality
    return FILTERED, run.filter


def _by_sample(rows: Path, column: str, judgement: Judgement) -> Any:
    """The value of each sample's first row; NaN where it could not be measured."""
    values = real_numbers(read_table(rows, columns=[column]).column(column))
    facts = judgement.facts
    return values if facts.samples == len(values) else values[facts.first]


def _thresholds(ascending: Any) -> Any:
    """Round-ish values from the least to the greatest that matter: outliers do not stretch the curve."""
    if not len(ascending):
        return np.zeros(0)
    place = 0.99 * (len(ascending) - 1)
    around = [float(ascending[math.floor(place)]), float(ascending[math.ceil(place)])]
    high = around[0] + (around[1] - around[0]) * (place - math.floor(place))
    points = np.linspace(float(ascending[0]), high, _POINTS)
    return points[np.append(True, np.diff(points) > 0)]


def _deciles(verdicts: Path, values: Any, kept: Any, ascending: Any) -> tuple[Decile, ...]:
    """Eleven, each with samples beside each other in the order of their values, then of the source."""
    if not len(ascending):
        return ()
    last = len(ascending) - 1
    at = [round(tenth / 10 * last) for tenth in range(11)]
    starts = [max(0, min(place - _EXAMPLES // 2, last + 1 - _EXAMPLES)) for place in at]
    chosen = [list(range(start, min(start + _EXAMPLES, last + 1))) for start in starts]
    sample = _samples_at(sorted({place for places in chosen for place in places}), values, kept, ascending)
    ids = dict(zip(sample, values_at(verdicts, "id", list(sample.values())), strict=True))
    return tuple(
        Decile(tenth / 10, float(ascending[at[tenth]]), tuple(ids[place] for place in chosen[tenth]))
        for tenth in range(11)
    )


def _samples_at(places: list[int], values: Any, kept: Any, ascending: Any) -> dict[int, int]:
    """The sample at each of a few places of the order of values, without putting all samples in it."""
    sought = ascending[places]
    near = np.flatnonzero(kept & np.isin(values, sought))
    near = near[np.argsort(values[near], kind="stable")]
    skipped = np.searchsorted(ascending, sought) - np.searchsorted(values[near], sought)  # of lesser values
    return {place: int(near[place - less]) for place, less in zip(places, skipped.tolist(), strict=True)}


def _text(curve: Curve) -> list[str]:
    lines = [
        f"{curve.column}: {curve.others_keep:,} of {curve.entered:,} samples pass all rules that do not read it"
        + (f", {curve.unmeasured:,} of them unmeasured" if curve.unmeasured else "")
    ]
    lines += [f"  in the recipe: {name}: {when}" for name, when in curve.rules.items()]
    if not curve.thresholds:
        return [*lines, "nothing was measured"]
    lines += ["", f"yield when `{curve.column} < threshold` rejects", *_chart(curve)]
    lines += ["", f"{'threshold':>14}{'rejects below':>16}{'rejects above':>16}"]
    for place in np.linspace(0, len(curve.thresholds) - 1, min(11, len(curve.thresholds))).round().astype(int):
        at_least, at_most = curve.yield_at_least[place], curve.yield_at_most[place]
        lines.append(f"{curve.thresholds[place]:>14.4g}{100 * at_least:>15.2f}%{100 * at_most:>15.2f}%")
    lines += ["", f"{'decile':>8}{'value':>14}  examples"]
    for decile in curve.deciles:
        ids = " ".join(identity[:12] for identity in decile.ids)
        lines.append(f"{decile.share:>8.0%}{decile.value:>14.4g}  {ids}")
    return lines


def _chart(curve: Curve) -> list[str]:
    """The curve in block characters: share of all samples, from 0 to 100%."""
    at = np.linspace(0, len(curve.thresholds) - 1, _WIDTH).round().astype(int)
    heights = np.array(curve.yield_at_least)[at] * _HEIGHT * 8
    rows: list[str] = []
    for level in range(_HEIGHT - 1, -1, -1):
        eighths = np.clip(heights - level * 8, 0, 8).round().astype(int)
        axis = f"{(level + 1) * 100 // _HEIGHT:>4}%" if level % 2 else "     "
        rows.append(f"{axis} {''.join(' ▁▂▃▄▅▆▇█'[eighth] for eighth in eighths)}".rstrip())
    low, high = f"{curve.thresholds[0]:.4g}", f"{curve.thresholds[-1]:.4g}"
    return [*rows, f"      {low}{high:>{_WIDTH - len(low)}}"]
