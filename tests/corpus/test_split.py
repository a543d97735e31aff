"""Splits: through no group, whatever else is in the corpus."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.corpus.duplicates import near_index
from sluice.corpus.split import assign, equal_links, group_ids, near_links, split_groups
from sluice.errors import RecipeError

ids = st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=60)
SHARES = {"train": 0.8, "val": 0.15, "test": 0.05}


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 100), k=st.integers(0, 6))
def test_what_is_near_or_equal_is_in_one_group_and_nothing_else_is(seed: int, n: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    hashes = rng.integers(0, 2**64, n, dtype=np.uint64) & np.uint64(0x0101_0101_0303_0101)
    valid = rng.random(n) < 0.8
    sha256 = pa.array([None if value == 0 else str(value) for value in rng.integers(0, n, n).tolist()], pa.string())
    groups = split_groups(n, near_links(near_index(hashes[valid], k), hashes, valid), equal_links(sha256))
    linked = (np.bitwise_count(hashes[:, None] ^ hashes[None, :]) <= k) & valid[:, None] & valid[None, :]
    values = sha256.to_pylist()
    for a in range(n):
        for b in range(n):
            linked[a, b] |= a == b or (values[a] is not None and values[a] == values[b])
    for via in range(n):
        linked |= linked[:, via, None] & linked[None, via, :]
    assert groups.tolist() == linked.argmax(axis=1).tolist()


def test_a_rejected_sample_bridges_two_that_are_kept() -> None:
    hashes = np.array([0b0, 0b1, 0b11], np.uint64)
    index = near_index(hashes, 1)
    assert split_groups(3, near_links(index, hashes, np.ones(3, np.bool_))).tolist() == [0, 0, 0]
    assert split_groups(3).tolist() == [0, 1, 2]


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 50))
def test_a_group_is_named_by_its_smallest_id(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    names = [f"{value:04x}" for value in rng.permutation(n).tolist()]
    groups = split_groups(n, (rng.integers(0, n, n // 2), rng.integers(0, n, n // 2)))
    expected = [min(name for name, other in zip(names, groups, strict=True) if other == group) for group in groups]
    assert group_ids(groups, pa.chunked_array([names])).to_pylist() == expected


@settings(max_examples=80, deadline=None)
@given(ids, ids, st.integers(0, 5))
def test_a_group_stays_in_its_split_when_the_corpus_grows(few: list[str], more: list[str], seed: int) -> None:
    alone = assign(pa.array(few), SHARES, seed).to_pylist()
    among = assign(pa.chunked_array([pa.array(more), pa.array(few)]), SHARES, seed).to_pylist()
    assert among[len(more) :] == alone
    assert len(dict(zip(few, alone, strict=True)).items()) == len(set(zip(few, alone, strict=True)))


def test_shares_are_met_on_average_and_the_seed_matters() -> None:
    groups = pa.array([f"{value:032x}" for value in range(20_000)])
    first, second = (np.array(assign(groups, SHARES, seed).to_pylist()) for seed in (0, 1))
    for name, share in SHARES.items():
        assert abs((first == name).mean() - share) < 4 * (share * (1 - share) / len(groups)) ** 0.5
    assert (first != second).mean() > 0.2


def test_a_larger_first_share_moves_nothing_out_of_it() -> None:
    groups = pa.array([str(value) for value in range(5_000)])
    small = np.array(assign(groups, {"train": 0.5, "val": 0.5}, 0).to_pylist())
    large = np.array(assign(groups, {"train": 0.7, "val": 0.3}, 0).to_pylist())
    assert (large[small == "train"] == "train").all()


def test_a_split_of_no_share_gets_nothing() -> None:
    groups = pa.array([str(value) for value in range(2_000)])
    assert set(assign(groups, {"none": 0.0, "all": 1.0, "last": 0.0}, 0).to_pylist()) == {"all"}


@pytest.mark.parametrize("shares", [{}, {"a": 0.5}, {"a": 1.5, "b": -0.5}, {"a": float("nan")}])
def test_shares_that_are_no_whole_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(RecipeError, match="sum to 1"):
        assign(pa.array(["x"]), shares, 0)


def test_a_row_without_a_group_is_refused() -> None:
    with pytest.raises(ValueError, match="without a group"):
        assign(pa.array(["x", None]), SHARES, 0)
