"""Packing: whole samples, within the budget, none lost; and the sequence a model gets."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.load.packing import arrange, attention_mask, best_fit
from sluice.load.padding import padding_waste
from support.lengths import mixed_lengths

windows = st.lists(st.integers(0, 60), max_size=80).map(lambda lengths: np.array(lengths, np.int64))


@given(windows, st.integers(1, 64))
def test_every_sample_is_whole_in_one_sequence_or_told_too_long(lengths: np.ndarray, budget: int) -> None:
    packed = best_fit(lengths, budget)
    placed = [place for sequence in packed.sequences for place in sequence.tolist()]
    assert sorted([*placed, *packed.too_long.tolist()]) == list(range(len(lengths)))
    assert all(lengths[sequence].sum() <= budget for sequence in packed.sequences)
    assert packed.too_long.tolist() == np.flatnonzero(lengths > budget).tolist()


@given(windows, st.integers(1, 64))
def test_no_sequence_is_opened_that_best_fit_did_not_need(lengths: np.ndarray, budget: int) -> None:
    """Any two sequences together pass the budget: else the later one's first sample had fitted in the other."""
    filled = sorted(int(lengths[sequence].sum()) for sequence in best_fit(lengths, budget).sequences)
    assert len(filled) < 2 or filled[0] + filled[1] > budget


@given(windows, st.integers(1, 64))
def test_samples_go_where_a_plain_search_for_the_tightest_room_puts_them(lengths: np.ndarray, budget: int) -> None:
    rooms: list[int] = []
    for length in sorted((length for length in lengths.tolist() if length <= budget), reverse=True):
        fitting = [(room, place) for place, room in enumerate(rooms) if room >= length]
        if fitting:
            rooms[min(fitting)[1]] -= length
        else:
            rooms.append(budget - length)
    packed = best_fit(lengths, budget)
    assert sorted(budget - int(lengths[sequence].sum()) for sequence in packed.sequences) == sorted(rooms)


def test_packing_is_the_same_every_time() -> None:
    first, again = (best_fit(np.array([3, 3, 2, 2, 5, 1]), 6) for _ in range(2))
    assert [one.tolist() for one in first.sequences] == [[0, 1], [2, 3], [4, 5]]
    assert [one.tolist() for one in again.sequences] == [[0, 1], [2, 3], [4, 5]]


@pytest.mark.parametrize("budget", [4096, 8192])
def test_less_than_three_percent_of_packed_tokens_are_padding(budget: int) -> None:
    lengths = mixed_lengths(4096)
    packed = best_fit(lengths, budget)
    kept = [packed.sequences]
    assert padding_waste(kept, lengths, budget) < 0.03


def test_a_large_window_is_packed_in_a_moment() -> None:
    lengths = mixed_lengths(65_536)
    started = time.process_time()
    best_fit(lengths, 8192)
    assert time.process_time() - started < 2.0  # 0.1 s on an idle core


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="token at least"):
        best_fit(np.array([1]), 0)
    with pytest.raises(ValueError, match="fewer than 0"):
        best_fit(np.array([-1]), 5)
    with pytest.raises(ValueError, match="do not fit"):
        arrange(np.array([3, 3]), 5, np.array([0, 0]))
    with pytest.raises(ValueError, match="beyond its sample"):
        arrange(np.array([3, 3]), 6, np.array([2]), np.array([0]), np.array([2]))
    with pytest.raises(ValueError, match="order of their samples"):
        arrange(np.array([3, 3]), 6, np.array([1, 1]), np.array([1, 0]))
    with pytest.raises(ValueError, match="2 images, 1 samples"):
        arrange(np.array([3]), 6, np.array([1, 1]), np.array([0]))


def test_several_images_of_a_sample_follow_each_other_or_lie_where_they_are_put() -> None:
    lengths, images, owners = np.array([6, 5]), np.array([2, 1, 0, 3]), np.array([0, 0, 1, 1])
    first = arrange(lengths, 12, images, owners)
    assert first.image_starts.tolist() == [0, 2, 6]
    assert first.image_lengths.tolist() == [2, 1, 3]
    assert first.image_samples.tolist() == [0, 0, 1]
    later = arrange(lengths, 12, images, owners, np.array([1, 5, 0, 2]))
    assert later.image_starts.tolist() == [1, 5, 8]
    assert np.flatnonzero(later.image_tokens).tolist() == [1, 2, 5, 8, 9, 10]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=8), st.integers(0, 7))
def test_a_sequence_holds_its_samples_apart(parts: list[tuple[int, int]], spare: int) -> None:
    texts, images = (np.array(column) for column in zip(*parts, strict=True))
    lengths = texts + images
    laid = arrange(lengths, int(lengths.sum()) + spare, images)
    for place, length in enumerate(lengths.tolist()):
        own = np.flatnonzero(laid.segments == place + 1)
        assert laid.positions[own].tolist() == list(range(length))
        assert own.tolist() == list(range(laid.starts[place], laid.starts[place + 1]))
        assert int(laid.image_tokens[own].sum()) == images[place]
        assert laid.image_tokens[own].tolist() == [at < images[place] for at in range(length)]
    assert (laid.segments == 0).sum() == spare
    mask = attention_mask(laid.segments)
    rows, seen = np.nonzero(mask)
    assert (laid.segments[rows] == laid.segments[seen]).all() and (seen <= rows).all()
    assert mask.sum() == sum(length * (length + 1) // 2 for length in lengths.tolist())
    assert attention_mask(laid.segments, causal=False).sum() == (lengths**2).sum()
