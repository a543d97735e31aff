"""The yield at every threshold of a column, from the stored measurements, with examples at each decile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.errors import RecipeError
from sluice.run.corpus_steps import load_corpus
from sluice.run.decide import KEPT
from sluice.run.judging import judge, rules_of
from sluice.run.rules.rule import compile_rule
from sluice.run.rules.sql_check import did_you_mean
from sluice.table.compute import pc
from sluice.table.read import read_table

if TYPE_CHECKING:
    from sluice.run.ledger import Run

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
    schema = pq.read_schema(run.layout.rows)
    names = {name.lower(): name for name in schema.names}
    if column.lower() not in names:
        raise RecipeError(f"there is no column {column!r}{did_you_mean(column, schema.names)}")
    column = names[column.lower()]
    kind = schema.field(column).type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise RecipeError(f"the column {column!r} holds {kind}: a curve needs numbers")
    config = run.recipe.filter
    compiled = [compile_rule(rule, schema) for rule in rules_of(config)]
    others = [rule for rule in compiled if column not in rule.columns]
    judgement = judge(run.layout, others, config.duplicates, load_corpus(run.layout, config.duplicates))
    values = _by_sample(run, column, judgement.facts.first)
    kept = judgement.kept & (judgement.decision.severity == KEPT)
    measured = kept & ~np.isnan(values)
    ascending = np.sort(values[measured])
    thresholds = _thresholds(ascending)
    below = np.searchsorted(ascending, thresholds, side="left")
    up_to = np.searchsorted(ascending, thresholds, side="right")
    entered = max(1, judgement.facts.samples)
    return Curve(
        column,
        judgement.facts.samples,
        int(kept.sum()),
        int((kept & np.isnan(values)).sum()),
        tuple(thresholds.tolist()),
        tuple(((len(ascending) - below) / entered).tolist()),
        tuple((up_to / entered).tolist()),
        {rule.rule.name: rule.rule.when for rule in compiled if column in rule.columns},
        _deciles(run, values, measured),
    )


def _by_sample(run: Run, column: str, first: Any) -> Any:
    """The value of each sample's first row; NaN where it could not be measured."""
    values = read_table(run.layout.rows, columns=[column]).column(column)
    return pc.cast(values, pa.float64()).to_numpy()[first]


def _thresholds(ascending: Any) -> Any:
    """Round-ish values from the least to the greatest that matter: outliers do not stretch the curve."""
    if not len(ascending):
        return np.zeros(0)
    low, high = np.quantile(ascending, [0.0, 0.99])
    return np.unique(np.linspace(low, high, _POINTS))


def _deciles(run: Run, values: Any, measured: Any) -> tuple[Decile, ...]:
    places = np.flatnonzero(measured)
    if not len(places):
        return ()
    order = places[np.argsort(values[places], kind="stable")]
    ids = read_table(run.layout.rows, columns=["id", "ordinal"])
    first = np.flatnonzero(np.diff(ids.column("ordinal").to_numpy(), prepend=-1))
    deciles: list[Decile] = []
    for tenth in range(11):
        at = min(len(order) - 1, round(tenth / 10 * (len(order) - 1)))
        start = max(0, min(at - _EXAMPLES // 2, len(order) - _EXAMPLES))
        chosen = order[start : start + _EXAMPLES]
        names = tuple(ids.column("id").take(pa.array(first[chosen])).to_pylist())
        deciles.append(Decile(tenth / 10, float(values[order[at]]), names))
    return tuple(deciles)


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
