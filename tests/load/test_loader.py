"""The loader: the same global batches whoever asks, wherever it was stopped; bad samples cost themselves."""

from __future__ import annotations

import pickle
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pack.making import image_bytes
from pack.packing import pack as packed
from pack.packing import samples as made
from sluice.errors import RecipeError, RunError
from sluice.load.decode import Pixels
from sluice.load.loader import Loader, Share
from sluice.load.receipt import odd_ones
from sluice.pack.manifest import read_manifest
from sluice.table.refs import RefReader

WINDOW = 8


def loader(packs: Any, batch: int = 4, **settings: Any) -> Loader:
    return Loader(packs, batch, **{"seed": 3, "window": WINDOW, **settings})


def whole(packs: Any, epoch: int = 0, batch: int = 4, **settings: Any) -> list[tuple[str | None, ...]]:
    """The global batches of an epoch, as one process alone would get them."""
    return [one.ids for one in loader(packs, batch, **settings).batches(epoch, 0, Share())]


def ids_of(pack: Path) -> list[str]:
    rows = read_manifest(pack).to_pylist()
    return [row["id"] for row in rows if row["format"] == "webdataset" and row["split"] == "train"]


def rejoined(parts: list[tuple[str | None, ...]]) -> tuple[str | None, ...]:
    """A global batch from the parts of all ranks."""
    return tuple(one for part in parts for one in part)


@pytest.mark.parametrize("format", ["webdataset", "parquet"])
def test_an_epoch_serves_each_sample_once_as_it_was_packed(packs: tuple[Path, Path], format: str) -> None:
    one = loader(packs[0], format=format)
    samples = [sample for batch in one for sample in batch.values]
    assert odd_ones([one.receipt()], ids_of(packs[0])) == {}
    by_id = {sample.id: sample for sample in samples}
    for row in read_manifest(packs[0]).to_pylist():
        if row["format"] == format:
            assert by_id[row["id"]].images == (image_bytes(int(row["key"])),)
            assert by_id[row["id"]].caption == f"a red büs №{int(row['key'])}"
            assert by_id[row["id"]].document["key"] == row["key"]


@pytest.mark.parametrize("several", [False, True])
def test_energon_and_arrow_are_read_as_webdataset_and_parquet_are(tmp_path: Path, several: bool) -> None:
    formats = ("arrow", "energon", "parquet", "webdataset")
    with RefReader(max_bytes=2**27) as reader:
        packed(tmp_path, made(tmp_path, several), reader.read, formats=formats)
    served = {
        format: {
            sample.id: (sample.images, sample.caption, sample.document["key"])
            for batch in loader(tmp_path, format=format)
            for sample in batch.values
        }
        for format in formats
    }
    assert len(served["webdataset"]) == 9
    assert all(served[format] == served["webdataset"] for format in formats)


def test_a_damaged_arrow_file_costs_its_samples_or_is_named(tmp_path: Path) -> None:
    with RefReader(max_bytes=2**27) as reader:
        packed(tmp_path, made(tmp_path), reader.read, formats=("arrow",))
    one = loader(tmp_path)
    shard = tmp_path / "arrow/train/shard-000001.arrow"
    data = bytearray(shard.read_bytes())
    shard.write_bytes(data[: len(data) // 2])  # while it is open
    served = [id for batch in one for id in batch.ids]
    assert served.count(None) == 4 and {bad.failure_class for bad in one.quarantine} == {"io"}
    with pytest.raises(RunError, match=r"shard-000001\.arrow is no whole shard"):
        loader(tmp_path)


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_sample_is_pickled_by_any_protocol(packs: tuple[Path, Path], protocol: int) -> None:
    sample = next(iter(loader(packs[0]))).values[0]
    assert pickle.loads(pickle.dumps(sample, protocol)) == sample


def test_both_formats_and_both_epochs(packs: tuple[Path, Path]) -> None:
    assert whole(packs[0]) != whole(packs[0], epoch=1)
    assert whole(packs[0], seed=4) != whole(packs[0])
    assert sorted(id or "" for batch in whole(packs[0], epoch=1) for id in batch) == sorted(ids_of(packs[0]))


@settings(max_examples=40)
@given(stop=st.integers(0, 5), worlds=st.tuples(st.integers(1, 8), st.integers(1, 8)), workers=st.integers(1, 4))
def test_stopped_anywhere_it_goes_on_the_same_with_other_ranks_and_workers(
    packs: tuple[Path, Path], stop: int, worlds: tuple[int, int], workers: int
) -> None:
    expected = whole(packs[0])
    before, after = worlds
    states = []
    for rank in range(before):
        one = loader(packs[0], rank=rank, world=before)
        batches = iter(one)
        for _ in range(stop):
            next(batches)
        states.append(one.state_dict())
    assert all(state == states[0] for state in states)
    parts: dict[int, list[tuple[str | None, ...]]] = {}
    for rank in range(after):
        other = loader(packs[0], rank=rank, world=after)
        other.load_state_dict(states[0])
        epoch, first = other.position
        for worker in range(workers):
            for batch in other.batches(epoch, first, Share(rank, after, worker, workers)):
                parts.setdefault(batch.step, []).append(batch.ids)
    assert [rejoined(parts[step]) for step in sorted(parts)] == expected[stop:]


def test_the_next_epoch_follows_by_itself_and_a_state_at_its_end_begins_it(packs: tuple[Path, Path]) -> None:
    one = loader(packs[0])
    first, second = [batch.ids for batch in one], [batch.ids for batch in one]
    assert (first, second) == (whole(packs[0]), whole(packs[0], epoch=1))
    assert one.position == (2, 0)


def test_an_epoch_leaves_no_file_open(packs: tuple[Path, Path]) -> None:
    one = loader(packs[0])
    before = len(list(Path("/dev/fd").iterdir()))
    for _ in range(3):
        for _ in one:
            pass
    deadline = time.monotonic() + 10
    while len(list(Path("/dev/fd").iterdir())) > before:  # the threads of an epoch end a little after it
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_mixture_holds_its_shares_and_resumes(packs: tuple[Path, Path]) -> None:
    mixed = {packs[0]: 3.0, packs[1]: 1.0}
    one = loader(mixed, 8)
    batches = [one_batch for _, one_batch in zip(range(4), one, strict=False)]
    assert all(batch.sources.count(1) == 2 for batch in batches)
    other = loader(mixed, 8)
    other.load_state_dict(one.state_dict())
    assert next(iter(other)).ids == next(iter(one)).ids


@pytest.mark.parametrize("world", [2, 3, 4])
def test_every_rank_has_its_share_of_each_source(packs: tuple[Path, Path], world: int) -> None:
    for rank in range(world):
        one = loader({packs[0]: 1, packs[1]: 1}, batch=4 * world)
        for batch in one.batches(0, 0, Share(rank, world)):
            assert abs(batch.sources.count(0) - len(batch) / 2) <= 1


def test_every_rank_has_as_many_steps_and_a_short_last_batch_is_kept_or_dropped(packs: tuple[Path, Path]) -> None:
    for rank in range(3):
        assert [len(batch) for batch in loader(packs[0], 5, rank=rank, world=3)][:4] == [2 if rank < 2 else 1] * 4
    assert len(whole(packs[0], batch=5)) == 5 and len(whole(packs[0], batch=5, last="drop")) == 4


def test_a_state_of_another_order_is_refused_and_says_what_changed(packs: tuple[Path, Path]) -> None:
    state = loader(packs[0]).state_dict()
    for other, words in [
        (loader(packs[0], seed=4), "seed was 3 and is 4"),
        (loader(packs[1]), "packs was"),
        (loader(packs[0], 5), "batch was 4 and is 5"),
    ]:
        with pytest.raises(RunError, match=words):
            other.load_state_dict(state)
    with pytest.raises(RunError, match="no state of a loader"):
        loader(packs[0]).load_state_dict({"epoch": 1})


def test_a_bad_sample_is_replaced_by_the_next_of_its_shard_and_recorded(
    packs: tuple[Path, Path], tmp_path: Path
) -> None:
    pack = tmp_path / "pack"
    shutil.copytree(packs[0], pack)
    rows = [row for row in read_manifest(pack).to_pylist() if row["format"] == "webdataset"]
    for row in (rows[2], rows[4]):  # 4 is the last of its shard: the first of it takes its place
        with (pack / row["shard"]).open("r+b") as file:
            file.seek(row["image_offset"])
            file.write(b"garbage" * 10)
    one = loader(pack, decode=Pixels(16))
    served = [id for batch in one for id in batch.ids]
    assert {(bad.id, bad.replaced_by) for bad in one.quarantine} == {
        (rows[2]["id"], rows[3]["id"]),
        (rows[4]["id"], rows[0]["id"]),
    }
    assert all(bad.failure_class == "decode" for bad in one.quarantine)
    good = whole(packs[0])
    replaced = {bad.id: bad.replaced_by for bad in one.quarantine}
    assert served == [replaced.get(id or "", id) for batch in good for id in batch]


def test_a_block_of_bad_samples_serves_none_and_goes_on(packs: tuple[Path, Path], tmp_path: Path) -> None:
    pack = tmp_path / "pack"
    shutil.copytree(packs[0], pack)
    shard = next(row["shard"] for row in read_manifest(pack).to_pylist() if row["format"] == "webdataset")
    (pack / shard).write_bytes(b"")
    one = loader(pack)
    served = [id for batch in one for id in batch.ids]
    assert served.count(None) == 5 and len(served) == 22
    assert {bad.replaced_by for bad in one.quarantine} == {None}


@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_pixels_have_one_size_and_are_not_distorted(packs: tuple[Path, Path], fit: Any) -> None:
    for batch in loader(packs[0], decode=Pixels(20, fit)):
        for pair in batch.values:
            assert pair.image.shape == (20, 20, 3) and pair.image.dtype == np.uint8


def test_what_cannot_be_loaded_is_said(packs: tuple[Path, Path], tmp_path: Path) -> None:
    for make, words in [
        (lambda: loader(tmp_path), "has no manifest.parquet"),
        (lambda: loader(packs[0], split="test"), "no split 'test' .there are: train"),
        (lambda: loader(packs[0], format="mds"), "the loader reads webdataset, parquet, energon and arrow"),
        (lambda: loader(packs[0], format="mds"), "no 'mds' that can be loaded .it holds parquet, webdataset"),
        (lambda: loader(packs[0], temperature=0.0), "a temperature is above 0"),
        (lambda: loader(packs[0], 0), "a sample at least"),
        (lambda: loader(packs[0], rank=2, world=2), "no such one"),
        (lambda: loader(packs[0], temperature=1.0, curriculum={0: [1.0]}), "give one of them"),
    ]:
        with pytest.raises((RunError, RecipeError), match=words):
            make()
