"""Retrieval, against a count that looks at each candidate in turn."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sluice.corpus.retrieval import FEWEST, ranks, slices


def naive(queries, pool, right, neutral):
    """The rank of the best right candidate: one more than the wrong ones that are not below it."""
    result = []
    for query, vector in enumerate(queries):
        scores = [float(np.dot(vector, other)) for other in pool]
        good = {candidate for one, candidate in right if one == query}
        silent = {candidate for one, candidate in neutral if one == query}
        best = max(scores[candidate] for candidate in good)
        wrong = [scores[place] for place in range(len(pool)) if place not in good | silent]
        result.append(1 + sum(score >= best for score in wrong))
    return result


@st.composite
def worlds(draw):
    """Vectors of small whole numbers: products are exact, and many tie."""
    count, size, dim = draw(st.integers(1, 9)), draw(st.integers(1, 9)), draw(st.integers(1, 4))
    number = st.integers(-2, 2)
    queries = draw(st.lists(st.lists(number, min_size=dim, max_size=dim), min_size=count, max_size=count))
    pool = draw(st.lists(st.lists(number, min_size=dim, max_size=dim), min_size=size, max_size=size))
    place = st.integers(0, size - 1)
    right = [(query, draw(place)) for query in range(count)]
    right += draw(st.lists(st.tuples(st.integers(0, count - 1), place), max_size=6))
    neutral = draw(st.lists(st.tuples(st.integers(0, count - 1), place), max_size=6))
    return np.float32(queries), np.float32(pool), draw(st.permutations(right)), neutral


@given(world=worlds(), block=st.integers(1, 40))
def test_ranks_are_those_of_looking_at_each_candidate(world, block):
    queries, pool, right, neutral = world
    pairs = tuple(np.array(side, np.int64) for side in zip(*right, strict=True))
    others = np.array(neutral, np.int64).reshape(-1, 2)
    found = ranks(queries, pool, pairs, (others[:, 0], others[:, 1]), block)
    assert found.tolist() == naive(queries, pool, right, neutral)


def test_an_encoder_that_says_the_same_of_everything_finds_nothing():
    same = np.ones((30, 4), np.float32)
    assert ranks(same, same, (np.arange(30), np.arange(30))).tolist() == [30] * 30


def test_slices_count_each_kind_and_judge_only_where_there_are_queries_enough():
    found = np.array([True] * FEWEST + [False, True, False])
    values = ["en"] * FEWEST + ["de"] * 3
    de, en = slices("image_to_text", "language", values, found, 99, [f"id{row}" for row in range(len(values))])
    assert (de.value, de.hits, de.queries, de.judged, de.missed) == ("de", 1, 3, False, ("id50", "id52"))
    assert (en.value, en.share, en.judged, en.pool) == ("en", 1.0, True, 99)
    assert de.interval[0] < de.share < de.interval[1]
