"""Distributions, binned where the data is: a plot holds at most some fifty bars, whatever the size of the corpus."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from sluice.report.columns import Shown
from sluice.report.tables import VERDICTS, Column, Numbers, Tables
from sluice.report.thresholds import Threshold

_DROPPED: Final = 41  # of the 52 bits of a fraction: quantiles are exact for whole numbers to 4,096, else within 0.05%
_MAGNITUDE: Final = 2**63 - 1
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
        tables.things(column.grain) - fine.total,
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


@dataclass
class _Fine:
    """A fine histogram by the leading bits of a float64: the bins of a power of two are equally wide.

    Least, greatest and zero are counted as they are; any other value is known by the edge of its bin nearest to zero.
    """

    total: int = 0
    zeros: int = 0
    low: float = math.inf
    high: float = -math.inf
    first: int = 0  # key of the first bin
    counts: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    @staticmethod
    def of(tables: Tables, column: Column) -> _Fine | None:
        fine = _Fine()
        for values, _ in tables.values(column):
            if len(values):
                fine.add(values)
        return fine if fine.total else None

    def add(self, values: Numbers) -> None:
        """Count some more values."""
        self.total += len(values)
        self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))
        keys = _keys(values)
        if self.low <= 0 <= self.high:
            keys = keys[values != 0]
            self.zeros += len(values) - len(keys)
        if not len(keys):
            return
        least, greatest = int(keys.min()), int(keys.max())
        if not len(self.counts):
            self.first = least
        before = max(0, self.first - least)
        after = max(0, greatest + 1 - self.first - len(self.counts))
        if before or after:
            self.counts, self.first = np.pad(self.counts, (before, after)), self.first - before
        counted = np.bincount(keys - least)
        self.counts[least - self.first :][: len(counted)] += counted

    def quantile(self, share: float) -> float:
        """The value below which `share` of all lie."""
        wanted = math.floor(share * (self.total - 1))  # so many lie below it
        bins = np.flatnonzero(self.counts)
        below = int(np.searchsorted(bins, -self.first))
        bins, counts = np.insert(bins + self.first, below, 0), np.insert(self.counts[bins], below, self.zeros)
        at = int(np.searchsorted(np.cumsum(counts), wanted, side="right"))
        return min(max(_value(int(bins[at])), self.low), self.high)


def _keys(values: Numbers) -> npt.NDArray[np.int64]:
    """Sign, exponent and the first bits of the fraction, in the order of the values."""
    bits = values.view(np.int64)
    keys = (bits & _MAGNITUDE) >> _DROPPED
    return np.where(bits < 0, -keys, keys) if bits.min() < 0 else keys


def _value(key: int) -> float:
    value = np.array([abs(key) << _DROPPED], np.int64).view(np.float64)[0]
    return float(-value if key < 0 else value)


def _counts(
    tables: Tables, column: Column, log: bool, low: float, step: float, bars: int
) -> tuple[tuple[int, ...], ...]:
    counts = np.zeros(len(VERDICTS) * bars, np.int64)
    for values, codes in tables.values(column):
        position = np.log10(np.maximum(values, 1e-9)) if log else values
        # 1e-9 of a bar: a value on an edge belongs right of it, though the edge is not exact in binary
        place = np.clip((position - low) / step + 1e-9, 0, bars - 1).astype(np.int64)
        counts += np.bincount(place + codes.astype(np.int64) * bars, minlength=len(counts))
    return tuple(tuple(row) for row in counts.reshape(len(VERDICTS), bars).tolist())


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
