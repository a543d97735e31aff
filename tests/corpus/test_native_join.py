"""The native join with every plan, register width, band and thread: against comparing everything with everything."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.corpus import hamming, native_join
from sluice.corpus.blocks import dealt, information
from sluice.corpus.hamming import Pairs, across, collapse, matches_against, pairs_within
from sluice.corpus.native_join import Work
from sluice.corpus.tree_plan import TreePlan, tree_plan
from sluice.errors import RecipeError

Hashes = npt.NDArray[np.uint64]
Found = set[tuple[int, int, int]]
SPREADS = ["even", "ball", "clusters", "few bits"]


def rows(kind: str, count: int, words: int, seed: int) -> Hashes:
    """Distinct hashes of so many words, in random order."""
    rng = np.random.default_rng(seed)
    hashes = rng.integers(0, 2**64, (count, words), dtype=np.uint64)
    if kind == "few bits":
        hashes &= np.uint64(0x0101_0101_0303_0101)
    if kind in ("ball", "clusters"):
        centres = hashes[rng.integers(0, 1 if kind == "ball" else 1 + count // 50, count)]
        hashes = flipped(centres, rng, rng.integers(0, 6, count))
    return rng.permutation(collapse(hashes)[0]) if count else hashes


def flipped(hashes: Hashes, rng: np.random.Generator, flips: npt.NDArray[np.int64]) -> Hashes:
    """`hashes`, each with exactly so many of its bits changed."""
    changed, bits = hashes.copy(), hashes.shape[1] * 64
    for row, count in enumerate(flips.tolist()):
        for bit in rng.choice(bits, count, replace=False).tolist():
            changed[row, bit // 64] ^= np.uint64(1 << bit % 64)
    return changed


def brute_force(hashes: Hashes, k: int, others: Hashes | None = None) -> Found:
    found: Found = set()
    everything = hashes if others is None else others
    for row, one in enumerate(hashes):
        first = row + 1 if others is None else 0
        bits = np.bitwise_count(everything[first:] ^ one).sum(axis=1)
        near = np.flatnonzero(bits <= k)
        found.update(zip([row] * near.size, (near + first).tolist(), bits[near].tolist(), strict=True))
    return found


def forced(hashes: Hashes, k: int, agree: int, others: Hashes | None = None) -> TreePlan:
    """A plan whether it pays or not."""
    blocks = tuple(block[:56] for block in dealt(information(hashes), k + agree))
    return TreePlan(blocks, agree, hashes.shape[1], (1.0,) * (k + 1))


def joined(
    hashes: Hashes,
    k: int,
    chosen: TreePlan,
    others: Hashes | None = None,
    *,
    threads: int = 1,
    bands: int = 1,
    wide: bool = False,
    bare: bool = False,
) -> tuple[list[tuple[int, int, int]], Work]:
    """The pairs by their places; `bare` hashes, of one word, carry none: they are known by their value."""
    order = chosen.order()
    sides = [None if side is None else native_join.spread(side, order, named=not bare) for side in (hashes, others)]
    assert sides[0] is not None
    place = {value: row for row, value in enumerate(sides[0][:, 0].tolist())} if bare else {}
    found: list[tuple[int, int, int]] = []

    def take(one: Hashes, other: Hashes, bits: npt.NDArray[np.uint16]) -> None:
        named = [[place[value] for value in side.tolist()] if bare else side.tolist() for side in (one, other)]
        found.extend(zip(*named, bits.tolist(), strict=True))

    work = native_join.join(sides[0], sides[1], chosen, k, take, threads=threads, bands=bands, wide=wide)
    return found, work


WIDTHS = [False, True] if native_join.has_wide() else [False]


@settings(max_examples=100, deadline=None)
@given(
    kind=st.sampled_from(SPREADS),
    count=st.integers(2, 900),
    words=st.sampled_from([1, 2, 4, 5, 16]),
    k=st.integers(0, 12),
    agree=st.integers(1, 6),
    bands=st.integers(1, 5),
    threads=st.integers(1, 3),
    wide=st.sampled_from(WIDTHS),
    bare=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_every_way_finds_each_pair_once(
    kind: str, count: int, words: int, k: int, agree: int, bands: int, threads: int, wide: bool, bare: bool, seed: int
) -> None:
    hashes = rows(kind, count, words, seed)
    chosen = forced(hashes, k, agree)
    found, _ = joined(hashes, k, chosen, threads=threads, bands=bands, wide=wide, bare=bare and words == 1)
    assert len(found) == len(set(found))
    assert {(min(a, b), max(a, b), bits) for a, b, bits in found} == brute_force(hashes, k)


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(SPREADS),
    count=st.integers(2, 600),
    others=st.integers(1, 600),
    words=st.sampled_from([1, 4]),
    k=st.integers(0, 12),
    agree=st.integers(1, 4),
    wide=st.sampled_from(WIDTHS),
    seed=st.integers(0, 2**32),
)
def test_two_sets_are_joined_and_neither_with_itself(
    kind: str, count: int, others: int, words: int, k: int, agree: int, wide: bool, seed: int
) -> None:
    everything = rows(kind, count + others, words, seed)
    split = min(count, len(everything) - 1)
    hashes, reference = everything[:split], everything[split // 2 :]
    chosen = forced(everything, k, agree)
    found, _ = joined(hashes, k, chosen, reference, bands=2, wide=wide)
    assert len(found) == len(set(found))
    assert set(found) == brute_force(hashes, k, reference)


@pytest.mark.parametrize("words", [1, 4])
@pytest.mark.parametrize("kernels", ["native", "numpy"])
@pytest.mark.parametrize("kind", SPREADS)
def test_both_kernels_give_the_same_arrays(
    kind: str, kernels: str, words: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes, k = rows(kind, 500, words, 3), 8 if words == 1 else 31
    if kernels == "numpy":
        monkeypatch.setattr(hamming, "kernels", lambda: None)
    pairs = pairs_within(hashes[:, 0] if words == 1 else hashes, k)
    listed = list(zip(pairs.a.tolist(), pairs.b.tolist(), pairs.distance.tolist(), strict=True))
    assert listed == sorted(brute_force(hashes, k))
    half = hashes[:200, 0] if words == 1 else hashes[:200]
    rest = hashes[200:, 0] if words == 1 else hashes[200:]
    index, nearest, distance = matches_against(half, rest, k)
    best: dict[int, tuple[int, int]] = {}
    for one, other, bits in brute_force(hashes[:200], k, hashes[200:]):
        best[one] = min(best.get(one, (999, 0)), (bits, other))
    assert dict(zip(index.tolist(), zip(distance.tolist(), nearest.tolist(), strict=True), strict=True)) == best


@pytest.mark.parametrize(("words", "k"), [(1, 4), (1, 8), (1, 12), (4, 31), (4, 48), (16, 100)])
def test_at_the_distance_yes_one_bit_further_no(words: int, k: int) -> None:
    rng = np.random.default_rng(k)
    base = rng.integers(0, 2**64, (1_000, words), dtype=np.uint64)
    more = np.arange(1_000) % 2
    pairs = pairs_within(np.concatenate([base, flipped(base, rng, k + more)]), k)
    far_apart = pairs.b - pairs.a == 1_000
    assert pairs.a[far_apart & (pairs.distance == k)].tolist() == list(range(0, 1_000, 2))


@pytest.mark.parametrize("kind", ["even", "ball"])
def test_fifty_thousand_as_brute_force(kind: str) -> None:
    rng = np.random.default_rng(5)
    hashes = rng.integers(0, 2**64, 50_000, dtype=np.uint64)
    if kind == "ball":  # all within 12 bits of one: nearly every key is shared
        hashes = hashes[0] ^ np.bitwise_or.reduce(np.uint64(1) << rng.integers(0, 64, (50_000, 12), dtype=np.uint64), 1)
    k = 4 if kind == "ball" else 12
    hashes[1::10] = hashes[::10] ^ (np.uint64(1) << rng.integers(0, 64, 5_000, dtype=np.uint64))
    hashes = np.unique(hashes)
    pairs = pairs_within(hashes, k)
    seen = 0
    for start in range(0, hashes.size, 500):
        bits = np.bitwise_count(hashes[start : start + 500, None] ^ hashes[None, start:])
        row, column = np.nonzero(bits <= k)
        later = column > row
        row, column = row[later], column[later]
        part = slice(seen, seen + row.size)
        assert np.array_equal(pairs.a[part], row + start)
        assert np.array_equal(pairs.b[part], column + start)
        assert np.array_equal(pairs.distance[part], bits[row, column])
        seen += row.size
    assert seen == len(pairs)
    assert seen > 4_000


def test_a_crowd_is_compared_once_not_once_for_every_combination() -> None:
    rng = np.random.default_rng(1)
    centre = rng.integers(0, 2**64, (1, 1), dtype=np.uint64)
    crowd = collapse(flipped(np.repeat(centre, 6_000, 0), rng, rng.integers(2, 5, 6_000)))[0]
    chosen = TreePlan(tuple(tuple(range(start, min(64, start + 7))) for start in range(0, 64, 7)), 2, 1, (1.0,) * 9)
    _, work = joined(crowd, 8, chosen)
    pairs = len(crowd) * (len(crowd) - 1) // 2
    assert work.compared < 3 * pairs  # of 45 combinations a pair agrees on 10 to 45
    assert work.moved < 200 * len(crowd)


def test_hashes_beyond_the_memory_go_to_a_file_and_come_back_in_bands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = np.unique(rows("clusters", 30_000, 1, 8)[:, 0])
    expected = pairs_within(hashes, 6)
    bands: list[int] = []
    plain = native_join.join

    def noted(*arguments: object, **named: object) -> Work:
        assert isinstance(arguments[0], np.memmap)
        bands.append(int(str(named["bands"])))
        return plain(*arguments, **named)  # pyright: ignore[reportArgumentType, reportCallIssue]

    monkeypatch.setattr(native_join, "join", noted)
    banded = pairs_within(hashes, 6, memory=100_000, folder=tmp_path)
    assert bands[0] > 4
    assert len(expected) > 1_000
    for name in ("a", "b", "distance"):
        assert np.array_equal(getattr(expected, name), getattr(banded, name))
    assert not list(tmp_path.iterdir())


def test_what_goes_wrong_with_a_batch_ends_the_join() -> None:
    hashes = rows("ball", 3_000, 1, 2)
    chosen = tree_plan(hashes, 8)
    batches = 0

    def take(*_: object) -> None:
        nonlocal batches
        batches += 1
        raise RecipeError("enough")

    spread = native_join.spread(hashes, chosen.order())
    before = set(threading.enumerate())
    with pytest.raises(RecipeError, match="enough"):
        native_join.join(spread, None, chosen, 8, take, threads=2)
    assert batches == 1
    assert set(threading.enumerate()) <= before


def test_progress_is_told_in_shares_that_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_join, "_POLL", 0.001)
    hashes = np.unique(rows("even", 60_000, 1, 4)[:, 0])
    told: list[float] = []
    pairs_within(hashes, 10, threads=2, progress=told.append)
    assert told == sorted(told)
    assert told
    assert 0 <= told[0] <= told[-1] <= 1


def test_hashes_of_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="rows of 1 to 16"):
        pairs_within(np.zeros((3, 17), np.uint64), 1)
    with pytest.raises(ValueError, match="64 bits against a reference of 256"):
        matches_against(np.zeros(1, np.uint64), np.zeros((1, 4), np.uint64), 1)
    with pytest.raises(RecipeError, match="between 0 and 48 bits of 256"):
        pairs_within(np.zeros((3, 4), np.uint64), 49)
    with pytest.raises(ValueError, match="collapse"):
        pairs_within(np.zeros((3, 4), np.uint64), 9)


def test_no_hashes_have_no_pairs() -> None:
    for empty in (np.zeros(0, np.uint64), np.zeros((0, 4), np.uint64), np.zeros((1, 4), np.uint64)):
        assert len(pairs_within(empty, 5)) == 0
        assert matches_against(empty, empty[:0], 5)[0].size == 0
    across(np.zeros((1, 1), np.uint64), np.zeros((0, 1), np.uint64), 3, lambda *_: pytest.fail("a pair of nothing"))
    assert isinstance(pairs_within(np.zeros((1, 4), np.uint64), 5), Pairs)
