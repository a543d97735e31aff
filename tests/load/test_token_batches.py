"""Batches by a token budget, from a pack: nothing over it, each sample as often as its repeats, exact resume."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sluice.load.batches
from pack.making import pair
from pack.packing import pack
from sluice.errors import RecipeError
from sluice.load.global_batches import ByTokens, InSequences
from sluice.load.image_tokens import Fixed
from sluice.load.loader import Loader, Share
from sluice.load.receipt import odd_ones
from sluice.pack.base import PackText
from sluice.table.refs import RefReader

IMAGE = 10  # tokens
SETTINGS = [ByTokens(120), InSequences(100, sequences=3)]


def tokens_of(seed: int) -> int:
    return 200 if seed == 7 else 5 + seed * 7 % 40


def repeats_of(seed: int) -> int:
    return 1 + seed % 3


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """44 samples with counted tokens, one of them longer than any batch; 33 to train on, some taken several times."""
    images, final = tmp_path_factory.mktemp("images"), tmp_path_factory.mktemp("counted")
    made = []
    for seed in range(44):
        texts = (PackText(1, "caption", f"a bus {seed}", "en", tokens=tokens_of(seed)),)
        split = "val" if seed % 4 == 3 and seed != 7 else "train"
        made.append(pair(images, seed, split=split, texts=texts, repeats=repeats_of(seed)))
    with RefReader(max_bytes=2**27) as reader:
        pack(final, made, reader.read, max_samples=6)
    return final


@pytest.fixture(autouse=True)
def short_stretches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sluice.load.batches, "PLANNED", 16)


def loader(counted: Path, batch: Any, **given: Any) -> Loader:
    return Loader(counted, batch, seed=5, window=12, image_tokens=Fixed(IMAGE), **given)


def seed_of(sample: Any) -> int:
    return int(sample.document["key"])


@pytest.mark.parametrize("batch", SETTINGS, ids=repr)
@pytest.mark.parametrize("format", ["webdataset", "parquet"])
def test_no_batch_passes_the_budget_and_each_sample_comes_as_often_as_it_should(
    counted: Path, batch: Any, format: str
) -> None:
    one = loader(counted, batch, format=format)
    expected: Counter[str] = Counter()
    for part in one:
        lengths = [IMAGE + tokens_of(seed_of(sample)) for sample in part.values]
        assert sum(part.sequences) == len(part)
        if isinstance(batch, ByTokens):
            assert max(lengths) * len(lengths) <= batch.tokens
        else:
            assert len(part.sequences) <= batch.sequences
            for size in part.sequences:
                assert sum(lengths[:size]) <= batch.tokens
                del lengths[:size]
        expected.update({sample.id: repeats_of(seed_of(sample)) for sample in part.values if sample.id not in expected})
    assert len(expected) == 33 and odd_ones([one.receipt()], expected) == {}
    (long,) = {bad.id for bad in one.quarantine}
    assert {bad.failure_class for bad in one.quarantine} == {"too_large"} and long not in expected
    assert len(one.quarantine) == repeats_of(7)


@settings(max_examples=30)
@given(batch=st.sampled_from(SETTINGS), stop=st.integers(0, 6), worlds=st.tuples(st.integers(1, 4), st.integers(1, 4)))
def test_stopped_anywhere_it_goes_on_the_same_with_other_ranks(
    counted: Path, batch: Any, stop: int, worlds: tuple[int, int]
) -> None:
    whole = [part.ids for part in loader(counted, batch).batches(0, 0, Share())]
    before = loader(counted, batch, rank=worlds[0] - 1, world=worlds[0])
    batches = iter(before)
    for _ in range(stop):
        next(batches)
    state = before.state_dict()
    for told in (state, {**state, "place": []}):  # the place is a convenience alone
        parts = []
        for rank in range(worlds[1]):
            after = loader(counted, batch, rank=rank, world=worlds[1])
            after.load_state_dict(told)
            parts.append(list(after))
        assert len({len(of_rank) for of_rank in parts}) == 1
        for number, of_step in enumerate(zip(*parts, strict=True), stop):
            assert {part.step for part in of_step} == {number}
            assert sorted(id or "" for part in of_step for id in part.ids) == sorted(map(str, whole[number]))
        assert len(parts[0]) == len(whole) - stop
    assert len(before) == len(whole)


def test_another_rule_for_images_is_another_order(counted: Path) -> None:
    state = loader(counted, SETTINGS[0]).state_dict()
    other = Loader(counted, SETTINGS[0], seed=5, window=12, image_tokens=Fixed(11))
    with pytest.raises(Exception, match=r"image_tokens was .Fixed.tokens=10."):
        other.load_state_dict(state)


def test_a_pack_without_counts_says_how_to_get_them(packs: tuple[Path, Path]) -> None:
    with pytest.raises(RecipeError, match=r"text\.tokens"):
        next(iter(loader(packs[0], SETTINGS[0])))
