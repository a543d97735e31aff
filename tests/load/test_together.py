"""Many samples read by the kernel against each read alone: the same, or left to be read alone; never more is served."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pack.packing import pack, samples
from sluice.errors import SampleFailure
from sluice.load import together
from sluice.load.at_once import Here
from sluice.load.folder import PLACES, PackFolder
from sluice.load.loader import Loader
from sluice.load.reading import tar_sample
from sluice.load.together import read_together
from sluice.table.refs import RefReader


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory):
    """A shard with samples of one image, of two, and of none: (its bytes, ids, places)."""
    final = tmp_path_factory.mktemp("pack")
    with RefReader(max_bytes=2**27) as reader:
        pack(final, samples(final, several=True), reader.read, formats=("webdataset",), max_samples=100)
    folder = PackFolder(final)
    rows = folder.rows(0)
    places = np.array([[row[name] if row[name] is not None else -1 for name in PLACES] for row in rows.to_pylist()])
    return (final / folder.shards[0]).read_bytes(), rows.column("id").to_pylist(), places


def alone(data: bytes, id: str, place):
    """The sample as it is read alone; None where that fails."""
    offset, size = place[:2].tolist()
    try:
        found = tar_sample(data[offset : offset + size], size, "shard")
    except SampleFailure:
        return None
    return found if found.id == id else None


def both(data: bytes, ids, places, path: Path):
    path.write_bytes(data)
    file = os.open(path, os.O_RDONLY)
    try:
        many = read_together([file] * len(ids), ids, places)
        return many, [alone(data, *one) for one in zip(ids, places, strict=True)]
    finally:
        os.close(file)


def test_what_is_read_together_is_what_is_read_alone(shard, tmp_path):
    many, each = both(*shard, tmp_path / "shard.tar")
    assert [one is None for one in many] == [place[2] < 0 for place in shard[2].tolist()]  # those without an image
    assert all(one in (None, other) for one, other in zip(many, each, strict=True))
    assert {len(one.images) for one in many if one} == {1, 2}
    assert [list(one.parts) for one in many if one] == [list(other.parts) for other in each if other.images]


@pytest.mark.parametrize("most", [1, 2_000, 5_000, 2**24])
def test_more_than_are_read_at_once_are_read_in_several_goes(shard, tmp_path, monkeypatch, most):
    data, ids, places = shard
    beside = places[:, 1] - np.maximum(places[:, 3], 0)
    fits = (places[:, 2] >= 0) & (beside <= most)
    assert (most < beside.min()) != fits.any()
    monkeypatch.setattr(together, "_MOST", most)
    many, each = both(data, ids * 70, np.tile(places, (70, 1)), tmp_path / "shard.tar")
    assert [one is not None for one in many] == fits.tolist() * 70
    assert all(one in (None, other) for one, other in zip(many, each, strict=True))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), flipped=st.integers(1, 255), cut=st.one_of(st.none(), st.floats(0, 1)))
@example(place=0.0, flipped=1, cut=None)
def test_damage_is_never_served_where_a_single_read_refuses_it(shard, tmp_path, place, flipped, cut):
    data, ids, places = shard
    damaged = bytearray(data)
    damaged[int(place * len(data))] ^= flipped
    many, each = both(bytes(damaged[: None if cut is None else int(cut * len(data))]), ids, places, tmp_path / "shard")
    assert all(one in (None, other) for one, other in zip(many, each, strict=True))
    assert sum(one is None for one in many) <= len(ids) if cut is not None else 3  # no image, and the damaged one


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(row=st.integers(0, 8), column=st.integers(0, 3), by=st.integers(-(2**62), 2**62))
def test_a_manifest_that_lies_leads_nowhere(shard, tmp_path, row, column, by):
    data, ids, places = shard
    wrong = places.copy()
    wrong[row % len(ids), column] += by
    many, _ = both(data, ids, wrong, tmp_path / "shard")
    right = [alone(data, *one) for one in zip(ids, places, strict=True)]
    assert all(one in (None, other) for one, other in zip(many, right, strict=True))


def test_nothing_is_kept_of_what_was_read(shard, tmp_path):
    path = tmp_path / "shard.tar"
    path.write_bytes(shard[0])
    file = os.open(path, os.O_RDONLY)
    before = sys.getrefcount(None)
    for _ in range(50):
        many = read_together([file] * len(shard[1]), *shard[1:])
    os.close(file)
    (whole, *_) = [one for one in many if one]
    image, text = whole.images[0], whole.parts["txt"]
    del many
    # The sample's tuple or dictionary, `image` or `text`, and the argument: nobody else knows of them.
    assert (sys.getrefcount(image), sys.getrefcount(text), sys.getrefcount(whole.parts)) == (4, 3, 2)
    assert abs(sys.getrefcount(None) - before) < 100


def test_without_the_kernel_each_is_read_alone(shard, monkeypatch):
    monkeypatch.setattr(together, "_kernel", lambda: None)
    assert read_together([0] * len(shard[1]), *shard[1:]) == [None] * len(shard[1])


def test_a_loader_serves_the_same_with_the_kernel_without_it_and_without_threads(packs, monkeypatch):
    with_it = [list(batch.values) for batch in Loader(packs[0], 4, seed=3)]
    here = [list(batch.values) for batch in Loader(packs[0], 4, seed=3, threads=0)]
    monkeypatch.setattr(together, "_kernel", lambda: None)
    without = [list(batch.values) for batch in Loader(packs[0], 4, seed=3)]
    assert with_it == without == here


def test_without_threads_nothing_is_done_before_it_is_wanted():
    done = []
    first, second = Here().submit(done.append, 1), Here().submit(done.append, 2)
    assert done == []
    second.result()
    assert (first.cancel(), done) == (True, [2])
    with pytest.raises(ZeroDivisionError):
        Here().submit(lambda: 1 / 0).result()
