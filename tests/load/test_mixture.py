"""The mixture: shares within a sample or two on any stretch, any part alike, each end as it is stated."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.errors import RecipeError
from sluice.load.mixture import Mixture, Phase, tempered

SOURCES = st.lists(st.tuples(st.integers(1, 60), st.integers(1, 9)), min_size=1, max_size=5)
ENDS = st.sampled_from(["repeat", "stop", "rebalance"])


def mixed(sources: list[tuple[int, int]], ends: str) -> Mixture:
    return Mixture([size for size, _ in sources], [Phase(0, tuple(float(weight) for _, weight in sources))], ends)


def webster(weights: list[int], count: int) -> list[int]:
    """The divisor method as the books have it, a seat at a time, in exact fractions: the oracle."""
    seats = [0] * len(weights)
    order: list[int] = []
    for _ in range(count):
        source = min(range(len(weights)), key=lambda one: (Fraction(2 * seats[one] + 1, 2 * weights[one]), one))
        seats[source] += 1
        order.append(source)
    return order


@given(st.lists(st.sampled_from([1, 2, 4, 8]), min_size=1, max_size=4), st.integers(1, 60))
def test_the_order_is_websters(weights: list[int], count: int) -> None:
    if sum(weights) not in (1, 2, 4, 8, 16, 32):  # so that the shares are exact in binary, and ties are ties
        weights = [1] * 4
    mixture = Mixture([10**6] * len(weights), [Phase(0, tuple(map(float, weights)))])
    assert mixture.draw(0, count).sources.tolist() == webster(weights, count)


@given(SOURCES, ENDS, st.data())
def test_any_part_is_that_part_of_the_whole(sources: list[tuple[int, int]], ends: str, data: st.DataObject) -> None:
    mixture = mixed(sources, ends)
    whole = mixture.draw(0, len(mixture))
    start = data.draw(st.integers(0, len(mixture)))
    stop = data.draw(st.integers(start, len(mixture)))
    part = mixed(sources, ends).draw(start, stop)
    assert part.sources.tolist() == whole.sources[start:stop].tolist()
    assert part.counts.tolist() == whole.counts[start:stop].tolist()


@given(SOURCES, ENDS)
def test_the_samples_of_a_source_come_in_their_order(sources: list[tuple[int, int]], ends: str) -> None:
    mixture = mixed(sources, ends)
    whole = mixture.draw(0, len(mixture))
    assert len(whole.sources) == len(mixture)
    for source in range(len(sources)):
        served = whole.counts[whole.sources == source]
        assert served.tolist() == list(range(len(served)))


@given(SOURCES, st.integers(1, 40), st.data())
def test_every_stretch_holds_its_shares(sources: list[tuple[int, int]], batch: int, data: st.DataObject) -> None:
    mixture = mixed(sources, "repeat")
    start = data.draw(st.integers(0, max(0, len(mixture) - batch)))
    drawn = mixture.draw(start, min(len(mixture), start + batch)).sources
    total = sum(weight for _, weight in sources)
    for source, (_, weight) in enumerate(sources):
        assert abs((drawn == source).sum() - len(drawn) * weight / total) < 1 + len(sources) / 2


@given(SOURCES)
def test_rebalanced_sources_are_served_once_each(sources: list[tuple[int, int]]) -> None:
    mixture = mixed(sources, "rebalance")
    served = Counter(mixture.draw(0, len(mixture)).sources.tolist())
    assert [served[source] for source in range(len(sources))] == [size for size, _ in sources]


@given(SOURCES)
def test_repeated_sources_are_served_whole_and_one_no_more_than_once(sources: list[tuple[int, int]]) -> None:
    mixture = mixed(sources, "repeat")
    served = Counter(mixture.draw(0, len(mixture)).sources.tolist())
    assert all(served[source] >= size for source, (size, _) in enumerate(sources))
    assert any(served[source] == size for source, (size, _) in enumerate(sources))


@given(SOURCES)
def test_a_stopped_epoch_repeats_nothing_and_ends_with_a_source(sources: list[tuple[int, int]]) -> None:
    mixture = mixed(sources, "stop")
    served = Counter(mixture.draw(0, len(mixture)).sources.tolist())
    assert all(served[source] <= size for source, (size, _) in enumerate(sources))
    assert any(served[source] == size for source, (size, _) in enumerate(sources))


def test_a_curriculum_changes_the_shares_where_it_says() -> None:
    phases = [Phase(0, (1, 0, 0)), Phase(100, (1, 1, 0)), Phase(200, (0, 1, 3))]
    mixture = Mixture([1_000, 50, 1_000], phases, samples=400)
    sources = mixture.draw(0, 400).sources
    counts = [np.bincount(sources[at : at + 100], minlength=3).tolist() for at in range(0, 400, 100)]
    assert counts == [[100, 0, 0], [50, 50, 0], [0, 25, 75], [0, 25, 75]]


def test_a_curriculum_whose_source_is_used_up_goes_on_with_the_others() -> None:
    mixture = Mixture([30, 30], [Phase(0, (1, 0)), Phase(40, (1, 1))], "rebalance")
    assert Counter(mixture.draw(0, len(mixture)).sources.tolist()) == {0: 30, 1: 30}


def test_resuming_deep_in_an_epoch_goes_through_nothing() -> None:
    mixture = Mixture([10**8, 10**9], [Phase(0, (0.3, 0.7))], "stop")
    at = len(mixture) - 1_000
    assert abs((mixture.draw(at, at + 1_000).sources == 0).sum() - 300) <= 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([5, 5], [Phase(0, (1, 0))]), "say how many `samples`"),
        (([5, 5], [Phase(0, (1,))]), "2 sources, 1 weights"),
        (([5, 0], [Phase(0, (1, 1))]), "needs a sample"),
        (([5], [Phase(3, (1,))]), "begin at sample 0"),
        (([5], [Phase(0, (-1.0,))]), "weights are numbers from 0 on"),
        (([5], [Phase(0, (1,))], "cycle"), "not 'cycle'"),
        (([5], [Phase(0, (1,))], "stop", 0), "a sample at least"),
    ],
)
def test_what_cannot_be_mixed_is_said(arguments: tuple, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        Mixture(*arguments)


def test_temperature_evens_the_sources_out() -> None:
    assert tempered([100, 100, 400], 1e9) == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    with pytest.raises(RecipeError, match="above 0"):
        tempered([1], 0)
