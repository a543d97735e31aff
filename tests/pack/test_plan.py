"""Cutting samples into shards."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.errors import RecipeError
from sluice.pack.plan import cut_shards

SAMPLES = st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["train", "val", "test"])), max_size=80)


def cut(samples, max_bytes, max_samples):
    sizes = np.array([size for size, _ in samples], np.int64)
    return cut_shards(sizes, pa.array([split for _, split in samples], pa.string()), max_bytes, max_samples)


def one_by_one(samples, split, max_bytes, max_samples):
    """The same said plainly: walk, and start a new shard when the next would not fit."""
    shards = []
    for row, (size, name) in enumerate(samples):
        if name != split:
            continue
        held = sum(samples[r][0] for r in shards[-1]) if shards else 0
        if not shards or held + size > max_bytes or len(shards[-1]) == max_samples:
            shards.append([])
        shards[-1].append(row)
    return shards


@given(SAMPLES, st.integers(1, 100), st.integers(1, 12))
def test_shards_are_those_of_walking_through_the_samples(samples, max_bytes, max_samples):
    shards = cut(samples, max_bytes, max_samples)
    for split in ["train", "val", "test"]:
        mine = [shard for shard in shards if shard.split == split]
        assert [shard.rows.tolist() for shard in mine] == one_by_one(samples, split, max_bytes, max_samples)
        assert [shard.index for shard in mine] == list(range(len(mine)))


@given(SAMPLES, st.integers(1, 100), st.integers(1, 12))
def test_every_sample_is_in_one_shard_of_its_split(samples, max_bytes, max_samples):
    shards = cut(samples, max_bytes, max_samples)
    assert sorted(row for shard in shards for row in shard.rows.tolist()) == list(range(len(samples)))
    assert all(samples[row][1] == shard.split for shard in shards for row in shard.rows)
    paths = [shard.path("webdataset") for shard in shards]
    assert paths == sorted(paths) and len(set(paths)) == len(paths)


def test_splits_may_be_chunked_or_numpy_or_a_list():
    sizes = np.ones(4, np.int64)
    names = ["b", "a", "b", "a"]
    forms = [names, np.array(names), pa.array(names), pa.chunked_array([names[:2], names[2:]])]
    plans = [[(s.split, s.rows.tolist()) for s in cut_shards(sizes, form, 10, 10)] for form in forms]
    assert plans == [[("a", [1, 3]), ("b", [0, 2])]] * 4


def test_a_sample_larger_than_a_shard_has_one_to_itself():
    assert [shard.rows.tolist() for shard in cut([(1, "a"), (99, "a"), (1, "a")], 10, 10)] == [[0], [1], [2]]


def test_a_shard_of_nothing_is_refused():
    with pytest.raises(RecipeError, match="at least 1"):
        cut([(1, "a")], 0, 10)
    with pytest.raises(ValueError, match="no split"):
        cut_shards(np.ones(1, np.int64), pa.array([None], pa.string()), 1, 1)
    with pytest.raises(ValueError, match="2 sizes, 1 splits"):
        cut_shards(np.ones(2, np.int64), ["a"], 1, 1)
