"""Plots as plain values: what report.js hands to the plotting library, and nothing that Python could not test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sluice.report.examples import figure
from sluice.report.histograms import Histogram
from sluice.report.tables import VERDICTS

Plot = dict[str, Any]


@dataclass(frozen=True)
class Series:
    """A named row of bars; `role` says which colour."""

    name: str
    role: str  # a verdict where the bars are of one, else plain | quiet
    values: tuple[float, ...]


def histogram_plot(data: Histogram) -> Plot:
    """Stacked bars over a number axis with the thresholds as lines."""
    bars = len(data.counts[0])
    return {
        "kind": "histogram",
        "low": data.low,
        "step": data.step,
        "edges": [span(data, bar) for bar in range(bars)],
        "series": [
            {"name": name, "role": name, "values": counts}
            for name, counts in zip(VERDICTS, data.counts, strict=True)
            if any(counts)
        ],
        "lines": [
            {"at": data.position(line.value), "name": line.rule, "value": written(line.value)}
            for line in data.thresholds
        ],
        "ticks": ticks(data.low, data.low + bars * data.step, log=data.log),
        "unit": data.shown.unit,
    }


def written(threshold: float) -> str:
    """A threshold as the recipe has it.

    >>> [written(value) for value in (0.5, 64.0, 100_000.0, 0.0125)]
    ['0.5', '64', '100,000', '0.0125']
    """
    return f"{threshold:,.0f}" if threshold.is_integer() and abs(threshold) < 1e15 else f"{threshold:.6g}"


def bars_plot(names: Sequence[str], series: Sequence[Series], unit: str = "samples", ends: Sequence[str] = ()) -> Plot:
    """Horizontal stacked bars, one a name, the first on top; `ends` is written at the end of each."""
    return {
        "kind": "bars",
        "names": list(names),
        "series": [{"name": one.name, "role": one.role, "values": one.values} for one in series if any(one.values)],
        "unit": unit,
        "ends": list(ends),
    }


def columns_plot(
    names: Sequence[str], series: Sequence[Series], unit: str = "samples", limit: tuple[int, str] | None = None
) -> Plot:
    """Upright stacked bars, one a name; `limit` is the last of them that a threshold takes: (place, words)."""
    line = {"at": limit[0], "name": limit[1]} if limit else None
    return {**bars_plot(names, series, unit), "kind": "columns", "line": line}


def span(data: Histogram, bar: int) -> str:
    """What a bar stands for: `10 to 20`; a whole number alone where the bar holds no other."""
    bars = len(data.counts[0])
    low, high = data.edge(bar), data.edge(bar + 1)
    if bar == 0 and data.below and bars > 1:
        return f"under {figure(high)}"
    if bar == bars - 1 and data.above:
        return f"{figure(low)} and more"
    if not data.log and data.step == 1.0 and low == int(low):
        return figure(low)
    return f"{figure(low)} to {figure(high)}"


def ticks(low: float, high: float, *, log: bool) -> list[tuple[float, str]]:
    """Round places on an axis with their labels: (position, label).

    >>> ticks(0.0, 100.0, log=False)
    [(0.0, '0'), (20.0, '20'), (40.0, '40'), (60.0, '60'), (80.0, '80'), (100.0, '100')]
    >>> ticks(0.0, 3.0, log=True)
    [(0.0, '1'), (1.0, '10'), (2.0, '100'), (3.0, '1k')]
    """
    if log:
        return _log_ticks(low, high)
    rough = (high - low) / 5 or 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [(round(place * step, 12), short(place * step)) for place in range(first, last + 1)]


def _log_ticks(low: float, high: float) -> list[tuple[float, str]]:
    for factors in ((1, 2, 5), (1, 3), (1,)):
        places = [
            (math.log10(factor) + decade, factor * 10.0**decade)
            for decade in range(math.floor(low), math.ceil(high) + 1)
            for factor in factors
        ]
        inside = [(round(at, 6), short(value)) for at, value in places if low - 1e-9 <= at <= high + 1e-9]
        if len(inside) <= 6:
            return inside
    return inside[:: math.ceil(len(inside) / 6)]


def short(value: float) -> str:
    """A number as an axis has room for it.

    >>> [short(v) for v in (0.25, 1500, 2_000_000, 0.0)]
    ['0.25', '1.5k', '2M', '0']
    """
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.4g}{letter}"
    return f"{value:.3g}"
