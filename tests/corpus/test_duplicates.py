"""What is measured once over everything must decide, for any survivors, as if they had been alone."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.corpus.clusters import components, stars
from sluice.corpus.duplicates import (
    Cluster,
    load_near_index,
    measured_near_index,
    near_clusters,
    near_index,
    repeated_captions,
    same_bytes,
    save_near_index,
)
from sluice.corpus.hamming import Hashes, Pairs
from sluice.errors import RunError
from sluice.table.commit import write_table


def crowded(rng: np.random.Generator, n: int) -> Hashes:
    """Hashes with many equal and near ones: few bits vary."""
    return rng.integers(0, 2**64, n, dtype=np.uint64) & np.uint64(0x0101_0101_0303_0101)


def plain_pairs(hashes: Hashes, k: int) -> Pairs:
    """All pairs of rows within k, equal hashes included."""
    a, b = np.triu_indices(hashes.size, 1)
    distance = np.bitwise_count(hashes[a] ^ hashes[b])
    near = distance <= k
    return Pairs(a[near], b[near], distance[near])


@pytest.mark.parametrize("cluster", ["star", "components"])
@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 120), k=st.integers(0, 6), share=st.floats(0, 1))
def test_the_index_decides_as_if_the_survivors_had_been_alone(
    cluster: Cluster, seed: int, n: int, k: int, share: float
) -> None:
    rng = np.random.default_rng(seed)
    hashes, has_hash = crowded(rng, n), rng.random(n) < 0.8
    survivor = rng.random(n) < share
    index = near_index(hashes[has_hash], k)
    rank = rng.permutation(3 * n)[: int(survivor.sum())]
    keeper, distance = near_clusters(index, hashes[survivor], has_hash[survivor], rank, cluster)

    rows = np.flatnonzero(has_hash[survivor])
    alone = hashes[survivor][rows]
    pairs = plain_pairs(alone, k)
    if cluster == "star":
        expected, bits = stars(rank[rows], pairs, rows.size)
    else:
        label = components(pairs, rows.size)
        best = {one: min(np.flatnonzero(label == one), key=lambda row: rank[rows][row]) for one in np.unique(label)}
        expected = np.array([best[one] for one in label], np.int64)
        bits = np.bitwise_count(alone ^ alone[expected])
    assert keeper[rows].tolist() == rows[expected].tolist()
    assert distance[rows].tolist() == bits.tolist()
    others = np.flatnonzero(~has_hash[survivor])
    assert keeper[others].tolist() == others.tolist()
    assert not distance[others].any()


def test_a_saved_index_decides_the_same_and_its_bytes_repeat(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    hashes = crowded(rng, 500)
    index = near_index(hashes, 5)
    save_near_index(index, tmp_path / "a.parquet")
    save_near_index(near_index(hashes, 5), tmp_path / "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    loaded = load_near_index(tmp_path / "a.parquet")
    rank, valid = rng.permutation(500), np.ones(500, np.bool_)
    for one, other in [(index, loaded), (index.within(3), loaded.within(3)), (near_index(hashes, 3), loaded.within(3))]:
        for ours, theirs in zip(
            near_clusters(one, hashes, valid, rank), near_clusters(other, hashes, valid, rank), strict=True
        ):
            assert np.array_equal(ours, theirs)


def test_an_index_knows_nothing_beyond_its_distance() -> None:
    with pytest.raises(ValueError, match="does not know"):
        near_index(np.array([1, 2], np.uint64), 3).within(4)


def test_pairs_at_a_distance_are_stored_for_every_lesser_one_of_the_same_hashes(tmp_path: Path) -> None:
    hashes = crowded(np.random.default_rng(3), 500)
    save_near_index(near_index(hashes, 5), tmp_path / "five.parquet", "these")
    save_near_index(near_index(hashes, 3), tmp_path / "three.parquet", "these")
    narrowed = measured_near_index(tmp_path / "five.parquet", "these", 3)
    assert narrowed is not None
    save_near_index(narrowed, tmp_path / "narrowed.parquet", "these")
    assert (tmp_path / "narrowed.parquet").read_bytes() == (tmp_path / "three.parquet").read_bytes()
    assert measured_near_index(tmp_path / "five.parquet", "these", 6) is None
    assert measured_near_index(tmp_path / "five.parquet", "others", 3) is None
    assert measured_near_index(tmp_path / "none.parquet", "these", 3) is None


def test_an_empty_index_is_saved_and_loaded(tmp_path: Path) -> None:
    save_near_index(near_index(np.empty(0, np.uint64), 8), tmp_path / "near.parquet")
    loaded = load_near_index(tmp_path / "near.parquet")
    assert (len(loaded.pairs), loaded.k) == (0, 8)


def test_another_table_is_not_taken_for_an_index(tmp_path: Path) -> None:
    write_table(tmp_path / "near.parquet", pa.table({"a": [1]}))
    with pytest.raises(RunError, match="no index of near pairs"):
        load_near_index(tmp_path / "near.parquet")


texts = st.lists(st.tuples(st.one_of(st.none(), st.sampled_from("abc")), st.integers(0, 4)), max_size=40)


@settings(max_examples=150, deadline=None)
@given(texts)
def test_a_caption_is_counted_by_images_not_by_texts(rows: list[tuple[str | None, int]]) -> None:
    images = Counter(text for text, _ in {row for row in rows if row[0] is not None})
    hashes, sample = pa.array([text for text, _ in rows], pa.string()), np.array([one for _, one in rows], np.int64)
    assert repeated_captions(hashes, sample)[0].tolist() == [images[text] for text, _ in rows]


@settings(max_examples=150, deadline=None)
@given(texts)
def test_the_first_of_equal_captions_of_a_sample_is_no_repeat(rows: list[tuple[str | None, int]]) -> None:
    hashes = pa.chunked_array([pa.array([text], pa.string()) for text, _ in rows], pa.string())
    sample = np.array([one for _, one in rows], np.int64)
    expected = [row[0] is not None and row in rows[:place] for place, row in enumerate(rows)]
    assert repeated_captions(hashes, sample)[1].tolist() == expected


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.one_of(st.none(), st.sampled_from("abcd")), st.booleans()), min_size=1, max_size=40))
def test_equal_bytes_keep_the_best_ranked(rows: list[tuple[str | None, bool]]) -> None:
    sha256 = pa.array([value for value, _ in rows], pa.string())
    valid = np.array([one for _, one in rows])
    rank = np.random.default_rng(len(rows)).permutation(len(rows))
    expected = []
    for row, (value, is_valid) in enumerate(rows):
        twins = [other for other, twin in enumerate(rows) if twin == (value, True)]
        expected.append(min(twins, key=rank.__getitem__) if is_valid and value is not None else row)
    assert same_bytes(sha256, valid, rank).tolist() == expected
