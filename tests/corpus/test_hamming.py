"""Exact all-pairs against the one oracle that cannot be wrong: comparing everything with everything."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sluice.corpus import blocks, hamming, sorted_join
from sluice.corpus.hamming import MAX_DISTANCE, collapse, matches_against, pairs_within
from sluice.errors import RecipeError

Hashes = npt.NDArray[np.uint64]
WORLDS = ["uniform", "ball", "low bits", "clustered", "few bits set", "constant blocks"]


def world(kind: str, count: int, seed: int) -> Hashes:
    """Distinct hashes in random order, spread in one of the ways that make joins slow or wrong."""
    rng = np.random.default_rng(seed)
    hashes = rng.integers(0, 2**64, count, dtype=np.uint64)
    if kind == "ball":
        hashes = hashes[0] ^ flips(rng, count, 4)
    elif kind == "low bits":
        hashes &= np.uint64(0xFFFF)
    elif kind == "clustered":
        hashes = hashes[rng.integers(0, max(1, count // 20), count)] ^ flips(rng, count, 3)
    elif kind == "few bits set":
        hashes &= np.roll(hashes, 1) & np.roll(hashes, 2)
    elif kind == "constant blocks":
        hashes &= np.uint64(0x00FF_00FF_FF00_F0F0)
    return rng.permutation(np.unique(hashes))


def flips(rng: np.random.Generator, count: int, most: int) -> Hashes:
    bits = np.uint64(1) << rng.integers(0, 64, (count, most), dtype=np.uint64)
    return np.bitwise_xor.reduce(bits * (rng.random((count, most)) < 0.7), axis=1)


def brute_force(hashes: Hashes, k: int) -> list[tuple[int, int, int]]:
    a, b = np.triu_indices(hashes.size, 1)
    distance = np.bitwise_count(hashes[a] ^ hashes[b])
    near = distance <= k
    return list(zip(a[near].tolist(), b[near].tolist(), distance[near].tolist(), strict=True))


def found(hashes: Hashes, k: int) -> list[tuple[int, int, int]]:
    pairs = pairs_within(hashes, k)
    return list(zip(pairs.a.tolist(), pairs.b.tolist(), pairs.distance.tolist(), strict=True))


def shrink(patch: pytest.MonkeyPatch, chunk: int) -> None:
    """Make the join in NumPy use all its ways, and cross the borders between them, on few hashes."""
    patch.setattr(hamming, "kernels", lambda: None)
    patch.setattr(sorted_join, "BRUTE_FORCE", 0)
    patch.setattr(sorted_join, "_CHUNK", chunk)
    patch.setattr(sorted_join, "_LONG_RUN", 8)
    patch.setattr(sorted_join, "_TILE", (8, 32))
    patch.setattr(sorted_join, "_BATCH", 50)
    patch.setattr(blocks, "_CHUNK", chunk)


@pytest.fixture(params=["native", "numpy"])
def kind_of_join(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both joins in turn; the one in NumPy is also the fallback."""
    if request.param == "numpy":
        monkeypatch.setattr(hamming, "kernels", lambda: None)
    else:
        assert hamming.kernels() is not None
    return request.param


both = pytest.mark.usefixtures("kind_of_join")


@pytest.mark.parametrize("k", range(MAX_DISTANCE + 1))
@pytest.mark.parametrize("kind", WORLDS)
def test_the_join_finds_what_brute_force_finds(kind: str, k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = world(kind, 400, seed=k)
    expected = brute_force(hashes, k)
    assert found(hashes, k) == expected
    shrink(monkeypatch, 128)
    assert found(hashes, k) == expected
    monkeypatch.setattr(sorted_join, "_CHUNK", 65_536)
    assert found(hashes, k) == expected


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(WORLDS),
    count=st.integers(0, 200),
    k=st.integers(0, MAX_DISTANCE),
    seed=st.integers(0, 2**32),
    chunk=st.integers(1, 500),
)
def test_any_world_any_distance_the_join_is_exact(kind: str, count: int, k: int, seed: int, chunk: int) -> None:
    hashes = world(kind, count, seed) if count else np.empty(0, np.uint64)
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch, chunk)
        assert found(hashes, k) == brute_force(hashes, k)


@both
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(hnp.arrays(np.uint64, st.integers(0, 60), elements=st.integers(0, 2**64 - 1)), st.integers(0, MAX_DISTANCE))
def test_hypothesis_own_hashes_are_joined_exactly(hashes: Hashes, k: int) -> None:
    unique, inverse = collapse(hashes)
    assert np.array_equal(unique[inverse], hashes)
    assert found(unique, k) == brute_force(unique, k)


@both
@pytest.mark.parametrize("k", range(1, MAX_DISTANCE + 1))
def test_a_pair_at_exactly_k_is_found_and_one_at_k_plus_1_is_not(k: int) -> None:
    rng = np.random.default_rng(k)
    base = rng.integers(0, 2**64, 4_000, dtype=np.uint64)
    partners = base.copy()
    for row in range(base.size):
        for bit in rng.choice(64, k + row % 2, replace=False).tolist():
            partners[row] ^= np.uint64(1 << bit)
    hashes = np.concatenate([base, partners])
    pairs = pairs_within(hashes, k)
    at_k = {
        (a, b) for a, b, d in zip(pairs.a.tolist(), pairs.b.tolist(), pairs.distance.tolist(), strict=True) if d == k
    }
    assert {(row, row + base.size) for row in range(0, base.size, 2)} <= at_k
    assert not any((row, row + base.size) in at_k for row in range(1, base.size, 2))
    assert pairs.distance.max() == k


@both
def test_long_runs_of_equal_keys_are_walked_not_expanded() -> None:
    hashes = np.arange(20_000, dtype=np.uint64) * np.uint64(0x9E37) & np.uint64(0xFFFFF)
    hashes = np.unique(hashes)
    pairs = pairs_within(hashes, 1)
    expected = {
        (row, int(other))
        for bit in range(20)
        for row, other in enumerate(np.searchsorted(hashes, hashes ^ np.uint64(1 << bit)).tolist())
        if other < hashes.size and hashes[other] == hashes[row] ^ np.uint64(1 << bit) and row < other
    }
    assert set(zip(pairs.a.tolist(), pairs.b.tolist(), strict=True)) == expected


@both
def test_all_equal_hashes_collapse_to_one() -> None:
    unique, inverse = collapse(np.full(1_000, 7, np.uint64))
    assert unique.tolist() == [7]
    assert inverse.tolist() == [0] * 1_000
    assert len(pairs_within(unique, 8)) == 0


@both
def test_equal_hashes_are_refused() -> None:
    with pytest.raises(ValueError, match="collapse"):
        pairs_within(np.array([7, 7], np.uint64), 2)


@pytest.mark.parametrize("k", [-1, 13])
def test_a_distance_out_of_range_is_refused(k: int) -> None:
    with pytest.raises(RecipeError, match="between 0 and 12"):
        pairs_within(np.array([1], np.uint64), k)


@both
def test_too_many_pairs_say_how_to_mend_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hamming, "MAX_PAIRS", 100)
    with pytest.raises(RecipeError, match=r"lower `near\.distance`"):
        pairs_within(world("ball", 500, seed=1), 8)


@both
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(WORLDS), st.integers(0, 200), st.integers(0, 200), st.integers(0, MAX_DISTANCE), st.integers(0, 99)
)
def test_the_nearest_reference_hash_is_found(kind: str, count: int, references: int, k: int, seed: int) -> None:
    everything = world(kind, count + references, seed) if count + references else np.empty(0, np.uint64)
    hashes = np.concatenate([everything[:count], everything[:count]])
    reference = everything[count // 2 : count // 2 + references]
    index, nearest, distance = matches_against(hashes, reference, k)
    expected = [
        (row, int(bits.argmin()), int(bits.min()))
        for row, one in enumerate(hashes)
        if reference.size and (bits := np.bitwise_count(reference ^ one)).min() <= k
    ]
    assert list(zip(index.tolist(), nearest.tolist(), distance.tolist(), strict=True)) == expected
