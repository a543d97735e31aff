"""Caps, concepts, mixtures, clusters and choices for diversity against their definitions, worked out the slow way."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.corpus.caps import capped
from sluice.corpus.diversity import facility_location, facility_stochastic
from sluice.corpus.draws import keys, mixed, uniform
from sluice.corpus.farthest import farthest_first
from sluice.corpus.kmeans import kmeans, nearest_centre
from sluice.corpus.mixture import importance, quotas, shares_of, taken, tempered

GROUPS = st.lists(st.integers(-1, 4), max_size=60)


def key_of(groups):
    return keys([f"sample-{row}" for row in range(len(groups))], 3)


@given(groups=GROUPS, cap=st.integers(1, 20))
def test_a_cap_is_met_to_the_sample(groups, cap):
    of = np.asarray(groups, np.int64)
    stays = capped(of, key_of(groups), cap)
    before, after = Counter(groups), Counter(of[stays].tolist())
    for group, count in before.items():
        assert after[group] == (count if group < 0 else min(count, cap))


@given(groups=GROUPS, cap=st.integers(1, 20))
def test_a_larger_cap_keeps_what_a_smaller_one_kept(groups, cap):
    of = np.asarray(groups, np.int64)
    less, more = (capped(of, key_of(groups), one) for one in (cap, cap + 1))
    assert not (less & ~more).any()


@given(groups=GROUPS, cap=st.integers(1, 20), order=st.randoms(use_true_random=False))
def test_the_order_of_the_corpus_has_no_say(groups, cap, order):
    of, key = np.asarray(groups, np.int64), key_of(groups)
    moved = list(range(len(groups)))
    order.shuffle(moved)
    assert (capped(of[moved], key[moved], cap) == capped(of, key, cap)[moved]).all()


def test_draws_are_even_and_those_of_two_entries_have_nothing_to_do_with_each_other():
    key = keys(map(str, range(20_000)), 0)
    one, other = (uniform(mixed(key, np.full_like(key, entry))) for entry in keys(["a", "b"], 0))
    for drawn in (one, other):
        assert np.abs(np.histogram(drawn, 10, (0, 1))[0] - 2_000).max() < 250  # 5 sigma are 212
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.035


COUNTS = st.lists(st.tuples(st.integers(1, 500), st.floats(0.1, 10)), min_size=1, max_size=6)


@given(groups=COUNTS, size=st.none() | st.integers(1, 2_000))
def test_quotas_have_the_shares_and_no_larger_ones_do(groups, size):
    counts, shares = np.array([count for count, _ in groups]), shares_of([weight for _, weight in groups])
    quota = quotas(counts, shares, size)
    whole = min((counts / shares).min(), np.inf if size is None else size)
    assert (quota <= counts).all()
    assert (np.abs(quota - whole * shares) < 1 + 1e-6).all()


@given(groups=COUNTS)
def test_weights_give_the_shares_and_average_one(groups):
    counts, shares = np.array([count for count, _ in groups]), shares_of([weight for _, weight in groups])
    given = importance(counts, shares) * counts
    assert np.allclose(given / given.sum(), shares)
    assert np.isclose(given.sum(), counts.sum())


@given(counts=st.lists(st.integers(1, 10_000), min_size=2, max_size=6), temperature=st.floats(1, 50))
def test_a_temperature_moves_shares_towards_equal_ones(counts, temperature):
    of = np.array(counts)
    assert np.allclose(tempered(of, 1), of / of.sum())
    assert tempered(of, temperature).max() <= tempered(of, 1).max() + 1e-9


def vectors(count, dim=8, seed=0):
    drawn = np.random.default_rng(seed).normal(size=(count, dim))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float16)


@given(counts=st.lists(st.integers(1, 40), min_size=1, max_size=5), repeats=st.integers(1, 6), data=st.data())
def test_repeating_meets_the_shares_and_takes_no_sample_too_often(counts, repeats, data):
    weights = data.draw(st.lists(st.integers(1, 9), min_size=len(counts), max_size=len(counts)))
    groups = np.repeat(np.arange(len(counts)), counts)
    shares = shares_of(weights)
    quota = quotas(np.asarray(counts), shares, repeats=repeats)
    times = taken(groups, key_of(groups.tolist()), np.ones(len(groups), np.int64), quota)
    of = np.bincount(groups, times, minlength=len(counts))
    assert of.tolist() == quota.tolist()
    assert times.max() <= repeats
    assert (np.abs(of - shares * of.sum()) <= len(counts)).all()
    for group in range(len(counts)):  # as evenly as can be
        assert np.ptp(times[groups == group]) <= 1
    if repeats > 1:
        fewer = quotas(np.asarray(counts), shares, repeats=repeats - 1)
        assert (fewer <= quota).all()
        assert (taken(groups, key_of(groups.tolist()), np.ones(len(groups), np.int64), fewer) <= times).all()


def test_what_is_repeated_already_is_drawn_down_time_by_time():
    groups, before = np.zeros(2_000, np.int64), np.repeat([4, 1], 1_000)
    times = taken(groups, key_of(groups.tolist()), before, np.array([2_500]))
    assert times.sum() == 2_500
    assert (times <= before).all()
    assert times[:1_000].sum() == pytest.approx(2_000, rel=0.05)  # four of five, as before


def farthest_slowly(values, size):
    values = values.astype(np.float64)
    chosen = [0]
    while len(chosen) < size:
        likeness = (values @ values[chosen].T).max(axis=1)
        likeness[chosen] = np.inf
        chosen.append(int(np.argmin(likeness)))
    return chosen


def facility_slowly(values, size):
    likeness = np.maximum(values.astype(np.float64) @ values.astype(np.float64).T, 0)
    served, chosen = np.zeros(len(values)), []
    for _ in range(size):
        gains = np.maximum(likeness - served, 0).sum(axis=1)
        gains[chosen] = -1
        chosen.append(int(np.argmax(gains)))
        served = np.maximum(served, likeness[chosen[-1]])
    return chosen


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), pool=st.integers(1, 60), size=st.integers(1, 30))
def test_farthest_first_is_the_plain_one_with_any_pool(seed, pool, size):
    values = vectors(50, seed=seed)
    assert farthest_first(values, size, pool).tolist() == farthest_slowly(values, size)


@settings(max_examples=25, deadline=None)
@given(rows=st.lists(st.integers(0, 7), min_size=1, max_size=60), least=st.integers(1, 60), data=st.data())
def test_among_equals_the_earlier_row_is_taken(rows, least, data):
    values = np.eye(4, dtype=np.float16)[np.asarray(rows) % 4] * np.where(np.asarray(rows) < 4, 1, -1)[:, None]
    size = data.draw(st.integers(1, len(rows)))
    assert farthest_first(values.astype(np.float16), size, least).tolist() == farthest_slowly(values, size)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), size=st.integers(1, 30))
def test_lazy_facility_location_is_the_plain_greedy_one(seed, size):
    values = vectors(150, seed=seed)
    assert facility_location(values, size, reference=150).tolist() == facility_slowly(values, size)


def test_stochastic_facility_location_serves_nearly_as_well_and_never_takes_one_twice():
    values = vectors(400, seed=5)
    likeness = np.maximum(values.astype(np.float64) @ values.astype(np.float64).T, 0)
    sampled = facility_stochastic(values, 40, reference=400)
    assert len(set(sampled.tolist())) == 40
    assert (sampled == facility_stochastic(values, 40, reference=400)).all()
    most = likeness[facility_slowly(values, 40)].max(axis=0).sum()
    assert likeness[sampled].max(axis=0).sum() > 0.95 * most > likeness[:40].max(axis=0).sum()


def test_more_is_asked_for_than_there_is():
    assert sorted(farthest_first(vectors(5), 9).tolist()) == [0, 1, 2, 3, 4]
    assert sorted(facility_location(vectors(5), 9).tolist()) == [0, 1, 2, 3, 4]
    assert farthest_first(vectors(0), 3).tolist() == []
    assert facility_location(vectors(0), 3).tolist() == []
    assert facility_stochastic(vectors(0), 3).tolist() == []
    assert sorted(facility_stochastic(vectors(5), 9).tolist()) == [0, 1, 2, 3, 4]


def test_clusters_are_found_again():
    true = np.repeat(np.arange(4), 200)[np.random.default_rng(1).permutation(800)]
    noise = np.random.default_rng(2).normal(size=(800, 16)) * 0.05
    values = np.eye(16)[true] + noise
    values = (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float16)
    order = np.r_[[np.flatnonzero(true == one)[0] for one in range(4)], np.arange(800)]
    found = nearest_centre(values, kmeans(values[order], 4))
    assert len({(a, b) for a, b in zip(true.tolist(), found.tolist(), strict=True)}) == 4
    assert (found == nearest_centre(values, kmeans(values[order], 4))).all()


def test_concepts_are_drawn_as_metaclip_draws_them():
    pytest.importorskip("ahocorasick", reason="the extra `concepts` is not installed")
    from sluice.corpus.concepts import Concepts, draw

    concepts = Concepts(["dog", "Blue Whale", "猫"])
    texts = [(row, "a DOG barks") for row in range(4_000)]
    texts += [(4_000 + row, "dogs and hotdog") for row in range(10)]
    texts += [(4_010, "a blue  whale and a dog"), (4_011, "这是一只猫在睡觉"), (4_011, None)]
    matches = concepts.match(texts)
    assert np.bincount(matches.entry).tolist() == [4_001, 1, 1]
    key = key_of(range(4_012))
    entries = keys(concepts.entries, 3)
    found = draw(matches, entries, key, 1_000)
    assert abs(int(found.drawn[:4_000].sum()) - 1_000) < 140  # 5 sigma are 137
    assert found.drawn[4_010:].all(), "what is rare is never left out"
    assert not found.drawn[4_000:4_010].any(), "nothing stands in them"
    assert concepts.entries[found.rarest[4_010]] == "blue whale"
    assert not (found.drawn & ~draw(matches, entries, key, 1_100).drawn).any()
