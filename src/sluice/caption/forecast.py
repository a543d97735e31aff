"""What captions for all images will take, from what they took for some: tokens, money and time, with intervals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, stdev

from sluice.caption.base import CaptionOutcome
from sluice.errors import RecipeError


@dataclass(frozen=True)
class Range:
    """An amount that is expected, and between what it lies."""

    expected: float
    low: float
    high: float

    def scaled(self, factor: float) -> Range:
        """In other units.

        >>> Range(10, 8, 12).scaled(0.5)
        Range(expected=5.0, low=4.0, high=6.0)
        """
        return Range(self.expected * factor, self.low * factor, self.high * factor)


@dataclass(frozen=True)
class Forecast:
    """For `images` images. None: nobody counted, or no price is known."""

    images: int
    sampled: int
    captioned: Range  # images that will have a caption
    tokens_in: Range | None
    tokens_out: Range | None
    cost: Range | None
    seconds: Range  # of the whole, with so many requests at a time


def forecast(
    outcomes: Iterable[CaptionOutcome],
    images: int,
    *,
    concurrency: int = 1,
    tokens_per_minute: int | None = None,
    confidence: float = 0.95,
) -> Forecast:
    """What `images` more like those of `outcomes` will take.

    The sample must be drawn at random. What was not asked (the budget) tells nothing and is left out; failures count
    with what they took. The interval is Student's, for the sum over `images` new ones.

    >>> from sluice.caption.base import Caption, Spent
    >>> some = [
    ...     CaptionOutcome(str(n), (Caption("a dog", "short"),), spent=Spent(1, 100 + n % 3, 20, 0.001, 2.0))
    ...     for n in range(50)
    ... ]
    >>> bill = forecast(some, 10_000, concurrency=8)
    >>> round(bill.cost.expected, 2), round(bill.seconds.expected), bill.tokens_in.low < 1_009_800 < bill.tokens_in.high
    (10.0, 2500, True)
    """
    asked = [one for one in outcomes if one.failure is None or one.failure.kind != "budget"]
    if len(asked) < 2:
        raise RecipeError("a forecast needs two images that were asked about, better a hundred")
    tokens_in = _total([one.spent.tokens_in for one in asked], images, confidence)
    tokens_out = _total([one.spent.tokens_out for one in asked], images, confidence)
    done = _sum([float(one.failure is None) for one in asked], images, confidence)
    busy = _sum([one.spent.seconds * max(one.spent.attempts, 1) for one in asked], images, confidence)
    seconds = busy.scaled(1 / concurrency)
    if tokens_per_minute is not None and tokens_in is not None and tokens_out is not None:
        seconds = Range(
            *(
                max(wait, 60 * (more + less) / tokens_per_minute)
                for wait, more, less in (
                    (seconds.expected, tokens_in.expected, tokens_out.expected),
                    (seconds.low, tokens_in.low, tokens_out.low),
                    (seconds.high, tokens_in.high, tokens_out.high),
                )
            )
        )
    return Forecast(
        images,
        len(asked),
        Range(done.expected, done.low, min(done.high, images)),
        tokens_in,
        tokens_out,
        _total([one.spent.cost for one in asked], images, confidence),
        seconds,
    )


def _total(values: Sequence[float | None], images: int, confidence: float) -> Range | None:
    """`_sum`, where half of them say how much; one that does not say (no answer came) took nothing."""
    if 2 * sum(value is not None for value in values) < len(values):
        return None
    return _sum([0.0 if value is None else float(value) for value in values], images, confidence)


def _sum(values: Sequence[float], images: int, confidence: float) -> Range:
    """The sum over `images` new ones. The mean of the sample errs, and so does the sum of the new: a prediction."""
    mean, count = fmean(values), len(values)
    error = student_t(confidence, count - 1) * stdev(values) * math.sqrt(images * images / count + images)
    return Range(images * mean, max(images * mean - error, 0.0), images * mean + error)


def student_t(confidence: float, freedom: int) -> float:
    """The two-sided quantile of Student's t, by G. W. Hill's algorithm 396 (1970): five digits from 2 degrees on.

    >>> [round(student_t(0.95, freedom), 3) for freedom in (1, 2, 5, 30, 1000)]
    [12.706, 4.303, 2.571, 2.042, 1.962]
    """
    tail = 1 - confidence
    if freedom == 1:
        return 1 / math.tan(tail * math.pi / 2)
    if freedom == 2:
        return math.sqrt(2 / (tail * (2 - tail)) - 2)
    a = 1 / (freedom - 0.5)
    b = 48 / (a * a)
    c = ((20700 * a / b - 98) * a - 16) * a + 96.36
    d = ((94.5 / (b + c) - 3) / b + 1) * math.sqrt(a * math.pi / 2) * freedom
    y = (d * tail) ** (2 / freedom)
    if y > 0.05 + a:
        x = NormalDist().inv_cdf(tail / 2)
        y = x * x
        if freedom < 5:
            c += 0.3 * (freedom - 4.5) * (x + 0.6)
        c = (((0.05 * d * x - 5) * x - 7) * x - 2) * x + b + c
        y = (((((0.4 * y + 6.3) * y + 36) * y + 94.5) / c - y - 3) / b + 1) * x
        y = math.expm1(a * y * y)
    else:
        y = (
            (1 / (((freedom + 6) / (freedom * y) - 0.089 * d - 0.822) * (freedom + 2) * 3) + 0.5 / (freedom + 4)) * y
            - 1
        ) * (freedom + 1) / (freedom + 2) + 1 / y
    return math.sqrt(freedom * y)
