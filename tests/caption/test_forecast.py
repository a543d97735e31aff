"""The forecast: scipy has the quantiles, and drawn bills tell whether the intervals hold what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from sluice.caption.base import Caption, CaptionFailure, CaptionOutcome, Spent
from sluice.caption.forecast import forecast, student_t
from sluice.errors import RecipeError


@pytest.mark.parametrize("confidence", [0.5, 0.8, 0.95, 0.99])
def test_the_quantiles_are_students(confidence: float) -> None:
    for freedom in (1, 2, 3, 4, 5, 7, 10, 30, 100, 5000):
        expected = stats.t.ppf((1 + confidence) / 2, freedom)
        assert student_t(confidence, freedom) == pytest.approx(expected, rel=2e-3 if freedom < 5 else 1e-5)


def _outcome(tokens: tuple[int, int], cost: float, seconds: float, fails: bool) -> CaptionOutcome:
    spent = Spent(1, *tokens, cost, seconds)
    if fails:
        return CaptionOutcome("x", failure=CaptionFailure("api", "refused", "no"), spent=spent)
    return CaptionOutcome("x", (Caption("a dog", "short"),), spent=spent)


def test_the_true_bill_lies_in_the_interval_as_often_as_it_says() -> None:
    chance = np.random.default_rng(1)
    inside = {"cost": 0, "tokens_out": 0, "captioned": 0}
    rounds, sampled, images = 400, 120, 2_000
    for _ in range(rounds):
        tokens = chance.lognormal(4, 0.5, (images + sampled)).astype(int)
        fails = chance.random(images + sampled) < 0.1
        made = [
            _outcome((1000, int(n)), n * 2e-6, n / 50, bool(f))
            for n, f in zip(tokens[:sampled], fails[:sampled], strict=True)
        ]
        bill = forecast(made, images)
        assert bill.cost is not None and bill.tokens_out is not None
        truth = {
            "cost": (bill.cost, tokens[sampled:].sum() * 2e-6),
            "tokens_out": (bill.tokens_out, tokens[sampled:].sum()),
            "captioned": (bill.captioned, (~fails[sampled:]).sum()),
        }
        for name, (found, true) in truth.items():
            inside[name] += found.low <= true <= found.high
    for name, count in inside.items():
        assert 0.92 <= count / rounds <= 0.98, name


def test_time_is_that_of_the_requests_at_a_time_or_of_the_tokens_a_minute() -> None:
    some = [_outcome((900, 100), 0.001, 4.0, False)] * 10
    assert forecast(some, 1000, concurrency=10).seconds.expected == pytest.approx(400)
    assert forecast(some, 1000, concurrency=10, tokens_per_minute=60_000).seconds.expected == pytest.approx(1000)


def test_what_was_not_asked_tells_nothing_and_too_few_are_refused() -> None:
    unasked = CaptionOutcome("y", failure=CaptionFailure("api", "budget", "not asked"))
    some = [_outcome((900, 100), 0.001, 4.0, False)] * 10
    assert forecast([*some, *[unasked] * 90], 100) == forecast(some, 100)
    with pytest.raises(RecipeError, match="needs two images"):
        forecast([some[0], unasked], 100)


def test_where_nobody_counts_nothing_is_made_up() -> None:
    silent = CaptionOutcome("x", (Caption("a dog", "short"),), spent=Spent(1, None, None, None, 2.0))
    bill = forecast([silent] * 5, 100)
    assert (bill.cost, bill.tokens_in) == (None, None)
    assert bill.seconds.expected == pytest.approx(200)
