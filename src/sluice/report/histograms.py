"""Distributions, binned where the data is: a plot holds at most some fifty bars, whatever the size of the corpus."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sluice.report.columns import Shown
from sluice.report.tables import VERDICTS, Column, Tables, quoted
from sluice.report.thresholds import Threshold

_FINE: Final = 1024  # bins a unit of asinh(value): quantiles are exact for small whole numbers, else within 0.1%
_BARS: Final = 44
_EDGE: Final = 0.003  # of the values at either end may stand in the outermost bar
_SMALLEST: Final = 1e-200  # below it, steps would run out of exponents
_STEPS: Final = (1.0, 2.0, 2.5, 5.0, 10.0)
_LOG_STEPS: Final = (0.01, 0.02, 0.025, 0.05, 0.1, 0.2, 0.25, 0.5)


@dataclass(frozen=True)
class Histogram:
    """Counts of one column by bar and verdict. Positions are values, or their decimal logarithms where `log`."""

    shown: Shown
    log: bool
    low: float  # position of the first bar's left edge
    step: float
    counts: tuple[tuple[int, ...], ...]  # by verdict code, by bar
    thresholds: tuple[Threshold, ...]
    measured: int
    unmeasured: int
    below: bool  # the first bar also holds what lies below it
    above: bool
    p5: float
    median: float
    p95: float

    def edge(self, bar: int) -> float:
        """The value at the left edge of `bar`."""
        position = self.low + bar * self.step
        return 10**position if self.log else position

    def position(self, value: float) -> float:
        """Where `value` lies on the axis."""
        return math.log10(max(value, 1e-9)) if self.log else value


def histogram(tables: Tables, column: Column, shown: Shown, lines: Sequence[Threshold]) -> Histogram | None:
    """The distribution of `column` over its images, texts or samples; None where nothing was measured."""
    fine = _Fine.of(tables, column)
    if fine is None:
        return None
    low, high = fine.quantile(_EDGE), fine.quantile(1 - _EDGE)
    here = [line for line in lines if line.column == column.name]
    log = shown.log and high > 0
    low, high = _with_lines(low, high, [line.value for line in here], log=log)
    start, step, bars = _log_bars(low, high) if log else _bars(low, high, whole=column.whole)
    counts = _counts(tables, column, log, start, step, bars)
    edge = start + bars * step
    position = math.log10 if log else float
    return Histogram(
        shown,
        log,
        start,
        step,
        counts,
        tuple(here),
        fine.total,
        fine.missing,
        fine.low <= 0 if log and fine.low <= 0 else position(fine.low) < start - 1e-9 * step,
        position(fine.high) >= edge,
        fine.quantile(0.05),
        fine.quantile(0.5),
        fine.quantile(0.95),
    )


def _with_lines(low: float, high: float, lines: Sequence[float], *, log: bool) -> tuple[float, float]:
    """The range that shows all `lines`, with some room beyond those at either end."""
    if not lines:
        return low, high
    left, right = min(lines), max(lines)
    room = 0.04 * (max(high, right) - min(low, left))
    if left <= low:
        beyond = left * 0.85 if log else left - room
        low = max(0.0, beyond) if low >= 0 <= left else beyond
    if right >= high:
        high = right / 0.85 if log and right > 0 else right + room
    return low, high


@dataclass(frozen=True)
class _Fine:
    """A fine histogram over asinh(value), which is even near 0 and logarithmic far from it."""

    low: float
    high: float
    total: int
    missing: int
    bins: tuple[tuple[float, int], ...]  # least value, count; ascending

    @staticmethod
    def of(tables: Tables, column: Column) -> _Fine | None:
        name = _finite(column)
        bins = tables.rows(
            f"SELECT min({name}), max({name}), count(*) FROM measured WHERE {tables.sample_place(column.grain)} "
            f"GROUP BY floor(asinh({name}) * {_FINE})::INTEGER ORDER BY 1 NULLS FIRST"
        )
        missing = bins.pop(0)[2] if bins and bins[0][0] is None else 0
        if not bins:
            return None
        counted = tuple((float(least), int(count)) for least, _, count in bins)
        return _Fine(counted[0][0], float(bins[-1][1]), sum(count for _, count in counted), missing, counted)

    def quantile(self, share: float) -> float:
        """The value below which `share` of all lie."""
        wanted = share * (self.total - 1)
        seen = 0
        for value, count in self.bins:
            seen += count
            if seen > wanted:
                return value
        return self.high


def _finite(column: Column) -> str:
    name = quoted(column.name)
    return f"{name}::DOUBLE" if column.whole else f"CASE WHEN isfinite({name}) THEN {name}::DOUBLE END"


def _counts(
    tables: Tables, column: Column, log: bool, low: float, step: float, bars: int
) -> tuple[tuple[int, ...], ...]:
    name, place = _finite(column), tables.sample_place(column.grain)
    code = "text_code" if column.grain == "text" else "code"
    position = f"log10(greatest({name}, 1e-9))" if log else name
    # 1e-9 of a bar: a value on an edge belongs right of it, though the edge is not exact in binary
    found = tables.rows(
        f"SELECT {code}, least(greatest(floor(({position} - ?) / ? + 1e-9), 0), ?)::INTEGER AS bar, count(*) "
        f"FROM measured WHERE {place} AND {name} IS NOT NULL GROUP BY ALL",
        low,
        step,
        bars - 1,
    )
    counts = [[0] * bars for _ in VERDICTS]
    for verdict, bar, count in found:
        counts[verdict][bar] = count
    return tuple(tuple(row) for row in counts)


def _bars(low: float, high: float, *, whole: bool) -> tuple[float, float, int]:
    """Left edge, width and number of bars on round values.

    >>> _bars(0.0, 255.0, whole=False)
    (0.0, 10.0, 26)
    >>> _bars(3, 12, whole=True)
    (3.0, 1.0, 10)
    """
    span, size = high - low, max(abs(low), abs(high))
    if span <= max(size * 1e-9, _SMALLEST):  # one value, as far as a plot can tell
        step = 10.0 ** (math.floor(math.log10(size)) - 1) if size > _SMALLEST and not whole else 1.0
    else:
        rough = span / _BARS
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * power for factor in _STEPS if factor * power >= rough * 0.999)
        step = max(1.0, round(step)) if whole else step
    start = math.floor(low / step + 1e-9) * step
    return float(start), float(step), max(1, math.floor((high - start) / step + 1e-9) + 1)


def _log_bars(low: float, high: float) -> tuple[float, float, int]:
    """The same in decimal logarithms; what is not positive stands in the first bar."""
    right = math.log10(high)
    left = math.log10(low) if low > 0 else right - 4
    left = max(left, right - 6)
    step = next((s for s in _LOG_STEPS if (right - left) / s <= _BARS), _LOG_STEPS[-1])
    start = math.floor(left / step + 1e-9) * step
    return start, step, max(1, math.floor((right - start) / step + 1e-9) + 1)
