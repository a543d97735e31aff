"""Strata: how many are drawn of each, and what a stratified sample says of the whole."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sluice.corpus.intervals import wilson
from sluice.corpus.strata import allot, gathered
from sluice.corpus.stratified import Counted, Estimate, estimate

COUNTS = st.dictionaries(st.tuples(st.text("abc", min_size=1, max_size=4)), st.integers(1, 3000), min_size=1)


@given(COUNTS, st.integers(1, 400), st.integers(0, 5))
def test_all_are_dealt_out_and_none_beyond_what_is_there(counts, size, least):
    drawn = allot(counts, size, least)
    assert sum(drawn.values()) == min(size, sum(counts.values()))
    assert all(0 <= drawn[stratum] <= counts[stratum] for stratum in counts)
    if sum(min(least, count) for count in counts.values()) <= size:
        assert all(drawn[stratum] >= min(least, counts[stratum]) for stratum in counts)


@given(COUNTS, st.integers(1, 400))
def test_without_a_minimum_each_stratum_has_its_share_to_the_sample(counts, size):
    whole = sum(counts.values())
    drawn = allot(counts, min(size, whole), 0)
    big = [one for one in counts if drawn[one] < counts[one]]
    # Sainte-Laguë may stray from a quota by more than one, but never ranks a larger stratum behind a smaller one.
    assert all(drawn[a] >= drawn[b] for a in big for b in big if counts[a] > counts[b])


@given(COUNTS, st.integers(1, 20))
def test_gathered_strata_are_few_and_the_largest_stay_their_own(counts, most):
    named = gathered(counts, most)
    assert named.keys() == counts.keys()
    assert len(set(named.values())) <= max(most, 1)
    own = [counts[one] for one in counts if named[one] == one]
    rest = [counts[one] for one in counts if named[one] != one]
    assert not own or not rest or min(own) >= max(rest)


def test_a_proportional_sample_has_the_interval_of_a_plain_one():
    found = estimate([Counted(600, 60, 6), Counted(400, 40, 4)])
    assert found.share is not None
    assert np.allclose((found.share, found.low, found.high), (0.1, *wilson(10, 100)))


def test_a_stratum_weighs_what_it_holds_and_not_what_was_drawn_of_it():
    found = estimate([Counted(990, 10, 0), Counted(10, 10, 10)])
    assert found.share is not None
    assert abs(found.share - 0.01) < 1e-12


def test_where_nothing_was_looked_at_nothing_is_known():
    assert estimate([Counted(10, 0, 0)]) == Estimate(None, 0.0, 1.0, 0.0)
    found = estimate([Counted(800, 80, 0), Counted(200, 0, 0)])
    assert abs(found.low) < 1e-9
    assert found.high > 0.2


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    sizes, rates = np.array([8000, 1500, 500]), np.array([0.02, 0.1, 0.3])
    truth = float((sizes * rates).sum() / sizes.sum())
    drawn = list(allot({(str(i),): int(size) for i, size in enumerate(sizes)}, 200, 2).values())
    held = 0
    for _ in range(600):
        strata = zip(sizes.tolist(), drawn, rates.tolist(), strict=True)
        found = estimate([Counted(size, n, int(rng.binomial(n, rate))) for size, n, rate in strata])
        held += found.low <= truth <= found.high
    assert held / 600 >= 0.93
