"""The order of a pass: random bits against the published vectors, every sample once, memory of a window."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.load.order import PassOrder
from sluice.load.philox import blocks, derive, permutation, uniform, words

# Random123's known answers (kat_vectors) for philox4x32-10: counter, key, output.
ANSWERS = [
    ([0, 0, 0, 0], [0, 0], [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]
SIZES = st.lists(st.integers(0, 12), max_size=12).map(lambda sizes: np.array(sizes, np.int64))
KEYS = st.integers(0, 2**64 - 1)


@pytest.mark.parametrize(("counter", "key", "output"), ANSWERS)
def test_the_published_answers_come_out(counter: list[int], key: list[int], output: list[int]) -> None:
    one, two, three, four = (np.array([word], np.uint64) for word in counter)
    assert [int(word[0]) for word in blocks((one, two, three, four), key[0] | key[1] << 32)] == output


def test_an_order_written_in_2026_is_the_order_read() -> None:
    assert derive(2026, 11, 26) == GOLDEN_KEY
    assert permutation(42, 10).tolist() == GOLDEN_PERMUTATION
    found = PassOrder(np.array([4, 2, 5, 3]), key=42, window=6).locate(0, 14)
    assert list(zip(found.blocks.tolist(), found.places.tolist(), strict=True)) == GOLDEN_PASS


GOLDEN_KEY = 14086395053067842926
GOLDEN_PERMUTATION = [1, 9, 8, 3, 7, 5, 0, 6, 4, 2]
GOLDEN_PASS = [
    (1, 1),
    (0, 0),
    (0, 2),
    (0, 3),
    (1, 0),
    (0, 1),
    (3, 1),
    (2, 3),
    (2, 4),
    (3, 0),
    (2, 1),
    (3, 2),
    (2, 0),
    (2, 2),
]


@given(SIZES, KEYS, st.integers(0, 30))
def test_every_sample_comes_once(sizes: np.ndarray, key: int, window: int) -> None:
    order = PassOrder(sizes, key, window)
    found = order.locate(0, len(order))
    expected = [(block, place) for block, size in enumerate(sizes.tolist()) for place in range(size)]
    assert sorted(zip(found.blocks.tolist(), found.places.tolist(), strict=True)) == expected


@given(SIZES, KEYS, st.integers(0, 30), st.data())
def test_any_part_is_that_part_of_the_whole(sizes: np.ndarray, key: int, window: int, data: st.DataObject) -> None:
    order = PassOrder(sizes, key, window)
    whole = order.locate(0, len(order))
    start = data.draw(st.integers(0, len(order)))
    stop = data.draw(st.integers(start, len(order)))
    part = PassOrder(sizes, key, window).locate(start, stop)
    assert part.blocks.tolist() == whole.blocks[start:stop].tolist()
    assert part.places.tolist() == whole.places[start:stop].tolist()


@given(SIZES.filter(lambda sizes: sizes.sum() > 0), KEYS, st.integers(1, 30), st.data())
def test_a_sample_is_never_far_from_its_window(sizes: np.ndarray, key: int, window: int, data: st.DataObject) -> None:
    order = PassOrder(sizes, key, window)
    position = data.draw(st.integers(0, len(order) - 1))
    (block,) = order.locate(position, position + 1).blocks.tolist()
    held = order.blocks_of(position)
    assert block in held.tolist()
    assert sizes[held].sum() < window + int(sizes.max())


def test_without_a_window_it_lies_as_it_was_packed() -> None:
    found = PassOrder(np.array([2, 3]), key=1, window=0).locate(1, 4)
    assert (found.blocks.tolist(), found.places.tolist()) == ([0, 1, 1], [1, 0, 1])


def test_the_shuffle_is_even() -> None:
    """The mean place of each of 20 samples over 2,000 keys is within five standard errors of the middle."""
    places = np.argsort(np.stack([permutation(derive(9, key), 20) for key in range(2_000)]), axis=1)
    assert np.abs(places.mean(0) - 9.5).max() < 5 * np.sqrt((20**2 - 1) / 12 / 2_000)
    assert abs(uniform(3, 100_000).mean() - 0.5) < 5 * np.sqrt(1 / 12 / 100_000)


def test_an_order_of_a_hundred_million_samples_holds_a_window_alone() -> None:
    sizes = np.full(10_000, 10_000, np.int64)
    tracemalloc.start()
    order = PassOrder(sizes, key=3, window=65_536)
    order.locate(99_999_000, 100_000_000)
    order.locate(50_000_000, 50_001_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20 * 2**20


def test_words_of_a_key_do_not_depend_on_how_many_are_asked() -> None:
    assert words(5, 9)[:4].tolist() == words(5, 4).tolist()
