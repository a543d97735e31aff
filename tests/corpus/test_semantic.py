"""Pairs of vectors with at least a cosine, against all with all."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.corpus import crowds, semantic
from sluice.corpus.semantic import similar_pairs
from sluice.corpus.unit_vectors import Half, Held, equal_vectors


def crowded(rng: np.random.Generator, n: int, dim: int, spread: float) -> Half:
    """Unit vectors around few centres, some of them equal."""
    centres = rng.standard_normal((max(1, n // 8), dim))
    vectors = centres[rng.integers(0, len(centres), n)] + spread * rng.standard_normal((n, dim))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[rng.integers(0, n, n // 10)] = vectors[rng.integers(0, n, n // 10)]
    return vectors.astype(np.float16)


def exactly(vectors: Half, rows: np.ndarray, cosine: float) -> dict[tuple[int, int], float]:
    double = vectors[rows].astype(np.float64)
    double /= np.linalg.norm(double, axis=1, keepdims=True)
    likeness = double @ double.T
    a, b = np.nonzero(np.triu(likeness >= cosine, 1))
    return {(int(rows[i]), int(rows[j])): float(likeness[i, j]) for i, j in zip(a, b, strict=True)}


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    n=st.integers(1, 300),
    dim=st.sampled_from([2, 8, 33]),
    cosine=st.sampled_from([0.5, 0.9, 0.99, 0.999]),
    partitions=st.integers(1, 12),
    spread=st.floats(0, 0.5),
)
def test_no_pair_is_missed_whatever_the_partitions(seed, n, dim, cosine, partitions, spread) -> None:
    rng = np.random.default_rng(seed)
    vectors = crowded(rng, n, dim, spread)
    node = equal_vectors(Held(vectors))
    rows = np.flatnonzero(node == np.arange(n))
    found = similar_pairs(Held(vectors), rows, cosine, partitions)
    got = dict(zip(zip(found.a.tolist(), found.b.tolist(), strict=True), found.similarity.tolist(), strict=True))
    least, most = exactly(vectors, rows, cosine + 1e-6), exactly(vectors, rows, cosine - 1e-6)
    assert least.keys() <= got.keys() <= most.keys()
    assert all(got[pair] == pytest.approx(most[pair], abs=1e-6) for pair in got)


def test_the_partitions_have_no_say_in_what_is_found(monkeypatch) -> None:
    monkeypatch.setattr(semantic, "BLOCK", 64)  # many blocks and tiles
    monkeypatch.setattr(semantic, "_TILE", 16)
    vectors = crowded(np.random.default_rng(3), 1_500, 16, 0.2)
    rows = np.flatnonzero(equal_vectors(Held(vectors)) == np.arange(1_500))
    one, *others = (similar_pairs(Held(vectors), rows, 0.95, partitions) for partitions in (1, 7, 40))
    assert len(one) > 100
    for other in others:
        assert one.a.tolist() == other.a.tolist()
        assert one.b.tolist() == other.b.tolist()
        assert one.similarity.tolist() == other.similarity.tolist()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), cosine=st.sampled_from([0.8, 0.95, 0.99]), spread=st.floats(0.001, 0.2))
def test_crowds_are_told_by_their_hubs_and_any_two_of_one_are_near(seed, cosine, spread) -> None:
    rng = np.random.default_rng(seed)
    vectors = crowded(rng, 300, 12, spread)
    rows = np.flatnonzero(equal_vectors(Held(vectors)) == np.arange(300))
    before = crowds.WHOLE
    crowds.WHOLE = 10
    try:
        found = similar_pairs(Held(vectors), rows, cosine, 6)
    finally:
        crowds.WHOLE = before
    told = set(zip(found.a[~found.crowd].tolist(), found.b[~found.crowd].tolist(), strict=True))
    members_of: dict[int, set[int]] = {}
    for hub, member in zip(found.a[found.crowd].tolist(), found.b[found.crowd].tolist(), strict=True):
        members_of.setdefault(hub, {hub}).add(member)
    told |= {(i, j) for members in members_of.values() for i in members for j in members if i < j}
    least, most = exactly(vectors, rows, cosine + 1e-6), exactly(vectors, rows, cosine - 1e-6)
    assert least.keys() <= told <= most.keys()


def test_a_fifth_of_the_corpus_in_few_crowds_has_few_pairs() -> None:
    rng = np.random.default_rng(8)
    vectors = rng.standard_normal((20_000, 32))
    vectors[:4_000] = vectors[np.arange(4_000) % 10] + 0.01 * rng.standard_normal((4_000, 32))
    vectors = np.float16(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    rows = np.flatnonzero(equal_vectors(Held(vectors)) == np.arange(20_000))
    found = similar_pairs(Held(vectors), rows, 0.95)
    assert len(found) < 5_000, "ten crowds of 400 have 800,000 pairs"
    assert len({*found.a.tolist(), *found.b.tolist()} & set(range(4_000))) == 4_000


def test_fewer_guests_find_a_part_of_it() -> None:
    vectors = crowded(np.random.default_rng(4), 2_000, 8, 0.3)
    rows = np.flatnonzero(equal_vectors(Held(vectors)) == np.arange(2_000))
    found = [
        set(zip(*pairs, strict=True))
        for pairs in (
            (one.a.tolist(), one.b.tolist())
            for one in (similar_pairs(Held(vectors), rows, 0.95, 20, probes) for probes in (0, 1, 3, None))
        )
    ]
    assert all(fewer <= more for fewer, more in pairwise(found))
    assert len(found[0]) < len(found[-1])


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 60))
def test_equal_vectors_share_the_first_of_them(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = np.float16(rng.integers(-1, 2, (n, 3)))
    vectors[rng.random(n) < 0.1] = np.nan
    expected = []
    for row, vector in enumerate(vectors):
        same = [other for other in range(row + 1) if vectors[other].tobytes() == vector.tobytes()]
        expected.append(-1 if np.isnan(vector).any() or not vector.any() else same[0])
    assert equal_vectors(Held(vectors)).tolist() == expected


def test_too_many_pairs_are_an_error_that_says_what_to_do(monkeypatch) -> None:
    monkeypatch.setattr(semantic, "MAX_PAIRS", 100)
    vectors = np.float16(np.random.default_rng(0).normal(1, 0.01, (50, 8)))
    with pytest.raises(Exception, match=r"raise `quality\.duplicates\.cosine`"):
        similar_pairs(Held(vectors), np.arange(50), 0.9)
