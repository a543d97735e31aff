"""Buckets and global batches: nothing lost, nothing twice, within the budget, the same for the same key."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.errors import RecipeError
from sluice.load.buckets import ASPECTS, aspect_buckets, batch_buckets, length_buckets
from sluice.load.global_batches import BatchSettings, ByTokens, InSequences, WindowPlan, plan_window
from sluice.load.padding import padding_waste
from support.lengths import mixed_lengths

windows = st.lists(st.integers(1, 60), max_size=60).map(lambda lengths: np.array(lengths, np.int64))
settings = st.one_of(
    st.builds(ByTokens, st.integers(1, 200), st.sampled_from([1.05, 1.5, 3.0])),
    st.builds(InSequences, st.integers(1, 80), st.integers(1, 5)),
)


def listed(plan: WindowPlan) -> list[list[list[int]]]:
    return [[sequence.tolist() for sequence in batch.sequences] for batch in plan.batches]


@given(windows, settings, st.integers(0, 2**64 - 1))
def test_every_place_is_in_one_batch_or_told_too_long(lengths: np.ndarray, how: BatchSettings, key: int) -> None:
    plan = plan_window(lengths, how, key)
    placed = [place for batch in plan.batches for place in batch.places.tolist()]
    assert sorted([*placed, *plan.too_long.tolist()]) == list(range(len(lengths)))
    assert all(len(batch) for batch in plan.batches)
    for batch in plan.batches:
        filled = [int(lengths[sequence].sum()) for sequence in batch.sequences]
        if isinstance(how, ByTokens):
            assert max(filled) * len(batch) <= how.tokens
        else:
            assert max(filled) <= how.tokens and len(batch) <= how.sequences
    assert plan.too_long.tolist() == np.flatnonzero(lengths > how.tokens).tolist()


@given(windows, settings, st.integers(0, 2**64 - 1))
def test_a_plan_is_a_function_of_its_arguments(lengths: np.ndarray, how: BatchSettings, key: int) -> None:
    assert listed(plan_window(lengths, how, key)) == listed(plan_window(lengths.copy(), how, key))


@given(st.integers(1, 200), st.integers(1, 40))
def test_packed_batches_of_a_window_are_as_large_as_each_other(count: int, most: int) -> None:
    plan = plan_window(np.full(count, 7), InSequences(10, most), key=3)
    sizes = [len(batch) for batch in plan.batches]
    assert len(sizes) == -(-count // most)
    assert max(sizes) - min(sizes) <= 1


def test_another_key_is_another_order_of_the_same_batches() -> None:
    lengths = mixed_lengths(500)
    for how in (ByTokens(8192), InSequences(4096, 1)):
        one, other = (listed(plan_window(lengths, how, key)) for key in (1, 2))
        assert one != other
        assert sorted(one) == sorted(other)


def test_the_batches_of_a_window_are_those_of_last_year() -> None:
    """Golden: whoever changes this changes the order of every run that is to be resumed."""
    lengths = np.array([5, 7, 3, 11, 2, 6, 6, 4, 9, 1])
    assert listed(plan_window(lengths, InSequences(12, 2), key=7)) == GOLDEN_PACKED
    assert listed(plan_window(lengths, ByTokens(20), key=7)) == GOLDEN_BUCKETED


GOLDEN_PACKED = [[[2, 8]], [[0, 1], [3, 9]], [[5, 6], [4, 7]]]
GOLDEN_BUCKETED = [[[8], [1]], [[3]], [[5], [6], [0]], [[7], [2], [4], [9]]]


def test_buckets_leave_a_fifth_of_the_padding_that_batches_in_order_have() -> None:
    lengths = mixed_lengths(4096)
    naive = padding_waste([np.arange(first, first + 16).reshape(-1, 1) for first in range(0, 4096, 16)], lengths)
    assert 0.58 < naive < 0.65
    for tokens in (16_384, 65_536):
        bucketed = plan_window(lengths, ByTokens(tokens), 0)
        assert padding_waste([batch.sequences for batch in bucketed.batches], lengths) < 0.12
    packed = plan_window(lengths, InSequences(8192, 8), 0)
    assert padding_waste([batch.sequences for batch in packed.batches], lengths, 8192) < 0.03


def test_a_bucketed_batch_fills_most_of_its_budget() -> None:
    lengths = mixed_lengths(4096)
    plan = plan_window(lengths, ByTokens(16_384), 0)
    rooms = [lengths[batch.places].max() * len(batch) for batch in plan.batches]
    assert np.mean(rooms) > 0.9 * 16_384


@given(st.lists(st.integers(0, 10**6), min_size=1), st.sampled_from([1.01, 1.1, 2.0]))
def test_lengths_of_a_bucket_are_alike_and_buckets_ascend(lengths: list[int], ratio: float) -> None:
    buckets = length_buckets(np.array(lengths), ratio)
    for bucket in np.unique(buckets):
        inside = [length for length, found in zip(lengths, buckets, strict=True) if found == bucket and length]
        assert not inside or max(inside) < min(inside) * ratio + 1
    assert (np.diff(buckets[np.argsort(lengths, kind="stable")]) >= 0).all()


@given(st.lists(st.tuples(st.integers(1, 5000), st.integers(1, 5000)), min_size=1))
def test_an_image_goes_to_the_shape_nearest_by_ratio(sizes: list[tuple[int, int]]) -> None:
    widths, heights = (np.array(column) for column in zip(*sizes, strict=True))
    for (width, height), bucket in zip(sizes, aspect_buckets(widths, heights), strict=True):
        distances = np.abs(np.log(width / height) - np.log(ASPECTS))
        assert distances[bucket] <= distances.min() + 1e-9


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 3)), max_size=50), st.integers(1, 90))
def test_batches_of_shapes_hold_one_shape_each(samples: list[tuple[int, int]], budget: int) -> None:
    found = np.array(samples, np.int64).reshape(-1, 2)
    batched = batch_buckets(found[:, 0], found[:, 1], budget, np.arange, merge=False)
    assert all(len(set(found[batch, 1].tolist())) == 1 for batch in batched.batches)
    assert sum(map(len, batched.batches)) + len(batched.too_long) == len(samples)
    plan = plan_window(found[:, 0], ByTokens(budget), 5, buckets=found[:, 1])
    assert all(len(set(found[batch.places, 1].tolist())) == 1 for batch in plan.batches)


def test_a_large_window_is_planned_in_a_moment() -> None:
    lengths = mixed_lengths(65_536)
    for how in (ByTokens(16_384), InSequences(8192, 16)):
        started = time.process_time()
        plan_window(lengths, how, 1)
        assert time.process_time() - started < 2.0  # 0.1 s on an idle core


def test_settings_that_make_no_sense_are_told() -> None:
    for make, told in (
        (lambda: ByTokens(0), "`tokens` is 1 or more, not 0"),
        (lambda: ByTokens(10, 1.0), "`ratio` is above 1"),
        (lambda: InSequences(10, 0), "`sequences` is 1 or more"),
    ):
        with pytest.raises(RecipeError, match=told):
            make()
    with pytest.raises(ValueError, match="ascending"):
        aspect_buckets(np.array([1]), np.array([1]), (2.0, 1.0))
    with pytest.raises(ValueError, match="more than once"):
        length_buckets(np.array([1]), 1.0)
    with pytest.raises(ValueError, match="token at least"):
        batch_buckets(np.array([1]), np.array([0]), 0, np.arange)
