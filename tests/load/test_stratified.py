"""Stratified token batches: each holds its share of every source as nearly as whole samples allow."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sluice.load.batches
from pack.making import pair
from pack.packing import pack
from sluice.errors import RecipeError
from sluice.load.global_batches import BatchSettings, ByTokens, InSequences, WindowPlan, plan_window
from sluice.load.image_tokens import Fixed
from sluice.load.loader import Loader, Share
from sluice.load.padding import padding_waste
from sluice.load.stratified import evenly
from sluice.pack.base import PackText
from sluice.table.refs import RefReader
from support.lengths import mixed_lengths

windows = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 4)), max_size=120)
settings_of_batches = st.one_of(
    st.builds(ByTokens, st.integers(1, 300), st.sampled_from([1.05, 3.0]), st.just(True)),
    st.builds(InSequences, st.integers(1, 90), st.integers(1, 9), st.just(True)),
)


def columns(window: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    found = np.array(window, np.int64).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def far_off(counts: Counter[int], wanted: Counter[int]) -> float:
    """How far `counts` are from the shares of `wanted`, as a part of what is allowed: 1 sample and a little."""
    whole, size = wanted.total(), counts.total()
    shares = {source: count / whole for source, count in wanted.items()}
    others = max(0, len(wanted) - 2)
    return max(abs(counts[one] - size * share) / (1 + share * others) for one, share in shares.items())


def farthest(plan: WindowPlan, sources: np.ndarray) -> float:
    batches = [Counter(sources[batch.places].tolist()) for batch in plan.batches]
    return max((far_off(batch, sum(batches, Counter())) for batch in batches), default=0.0)


@given(windows, settings_of_batches, st.integers(0, 2**64 - 1))
def test_every_batch_holds_its_share_to_within_a_sample_and_a_little(
    window: list[tuple[int, int]], how: BatchSettings, key: int
) -> None:
    """Within 1 + share x (sources - 2): in one sample where there are two."""
    lengths, sources = columns(window)
    assert farthest(plan_window(lengths, how, key, sources=sources), sources) <= 1 + 1e-9


@given(windows, settings_of_batches, st.integers(0, 2**64 - 1))
def test_no_sample_is_lost_and_no_budget_passed_for_it(
    window: list[tuple[int, int]], how: BatchSettings, key: int
) -> None:
    lengths, sources = columns(window)
    plan = plan_window(lengths, how, key, sources=sources)
    placed = [place for batch in plan.batches for place in batch.places.tolist()]
    assert sorted([*placed, *plan.too_long.tolist()]) == list(range(len(lengths)))
    assert plan.too_long.tolist() == np.flatnonzero(lengths > how.tokens).tolist()
    for batch in plan.batches:
        filled = [int(lengths[sequence].sum()) for sequence in batch.sequences]
        assert filled and min(map(len, batch.sequences))
        if isinstance(how, ByTokens):
            assert max(filled) * len(batch) <= how.tokens
        else:
            assert max(filled) <= how.tokens and len(batch) <= how.sequences


@given(windows, st.integers(1, 300), st.integers(0, 2**64 - 1))
def test_batches_of_shapes_hold_the_shares_of_their_shape(window: list[tuple[int, int]], budget: int, key: int) -> None:
    lengths, sources = columns(window)
    shapes = lengths % 3
    plan = plan_window(lengths, ByTokens(budget, stratified=True), key, shapes, sources)
    of_shapes: dict[int, list[Counter[int]]] = {}
    for batch in plan.batches:
        (shape,) = set(shapes[batch.places].tolist())
        of_shapes.setdefault(shape, []).append(Counter(sources[batch.places].tolist()))
    for batches in of_shapes.values():
        assert all(far_off(batch, sum(batches, Counter())) <= 1 + 1e-9 for batch in batches)


@given(st.lists(st.integers(0, 5), max_size=60))
def test_each_source_keeps_its_order(sources: list[int]) -> None:
    order = evenly(np.array(sources, np.int64)).tolist()
    assert sorted(order) == list(range(len(sources)))
    for source in set(sources):
        mine = [place for place in order if sources[place] == source]
        assert mine == sorted(mine)


@given(st.integers(1, 300), st.integers(1, 40))
def test_packed_batches_of_a_window_are_as_large_as_each_other(count: int, most: int) -> None:
    plan = plan_window(np.full(count, 7), InSequences(10, most, True), key=3, sources=np.arange(count) % 3)
    sizes = [len(batch) for batch in plan.batches]
    assert len(sizes) == -(-count // most)
    assert max(sizes) - min(sizes) <= 1


SOURCES = (np.arange(8192) * 7919 % 10 < 2).astype(np.int64)  # one in five is of the second


@pytest.mark.parametrize("how", [ByTokens(16_384), InSequences(8192, 1), InSequences(8192, 8)], ids=repr)
def test_it_is_asked_for_and_costs_little_where_sources_are_alike_in_length(how: Any) -> None:
    lengths = mixed_lengths(8192)
    stratified = type(how)(**{**vars(how), "stratified": True})
    width = how.tokens if isinstance(how, InSequences) else None
    plain, plan = plan_window(lengths, how, 0), plan_window(lengths, stratified, 0, sources=SOURCES)
    assert farthest(plain, SOURCES) > 2 > 1 + 1e-9 > farthest(plan, SOURCES)
    wastes = [padding_waste([batch.sequences for batch in one.batches], lengths, width) for one in (plain, plan)]
    assert wastes[1] < wastes[0] + 0.02
    assert len(plan.batches) <= len(plain.batches) * 1.03


def test_a_window_is_planned_in_a_moment() -> None:
    lengths = mixed_lengths(8192)
    for how in (ByTokens(16_384, stratified=True), InSequences(8192, 16, True)):
        started = time.process_time()
        plan_window(lengths, how, 1, sources=SOURCES)
        assert time.process_time() - started < 1.0  # 0.05 s on an idle core


def test_without_the_sources_it_says_so() -> None:
    with pytest.raises(RecipeError, match="needs the source of each sample"):
        plan_window(np.array([1]), ByTokens(10, stratified=True), 0)


def test_the_batches_of_a_window_are_those_of_last_year() -> None:
    """Golden: whoever changes this changes the order of every run that is to be resumed."""
    lengths, sources = np.array([5, 7, 3, 11, 2, 6, 6, 4, 9, 1]), np.array([0, 1, 0, 0, 1, 0, 1, 0, 0, 0])
    for how, golden in ((ByTokens(20, stratified=True), BUCKETED), (InSequences(12, 2, True), PACKED)):
        plan = plan_window(lengths, how, 7, sources=sources)
        assert [[sequence.tolist() for sequence in batch.sequences] for batch in plan.batches] == golden


BUCKETED = [[[8], [1]], [[3]], [[6], [0], [5]], [[7], [4], [2], [9]]]
PACKED = [[[2, 4, 5, 9], [3]], [[0, 1]], [[6, 7], [8]]]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """Three packs, one of texts five times as long: 40, 24 and 12 samples."""
    packs: list[str] = []
    with RefReader(max_bytes=2**27) as reader:
        for name, first, count, longer in (("short", 0, 40, 1), ("long", 100, 24, 5), ("some", 200, 12, 1)):
            images, final = tmp_path_factory.mktemp(f"{name}-images"), tmp_path_factory.mktemp(name)
            made = [
                pair(
                    images,
                    seed,
                    texts=(PackText(1, "caption", f"a bus {seed}", "en", tokens=longer * (5 + seed * 7 % 20)),),
                )
                for seed in range(first, first + count)
            ]
            pack(final, made, reader.read, max_samples=6)
            packs.append(str(final))
    return dict(zip(packs, (5.0, 3.0, 2.0), strict=True))


@settings(max_examples=20)
@given(
    batch=st.sampled_from([ByTokens(900, stratified=True), InSequences(200, 3, True)]),
    stop=st.integers(0, 6),
    world=st.integers(1, 4),
)
def test_the_loader_holds_the_shares_of_a_mixture_and_goes_on_exactly(
    mixed: dict[str, float], batch: Any, stop: int, world: int
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sluice.load.batches, "PLANNED", 40)

        def loader(rank: int = 0, world: int = 1) -> Loader:
            return Loader(mixed, batch, seed=2, window=12, image_tokens=Fixed(4), rank=rank, world=world)

        whole = list(loader().batches(0, 0, Share()))
        for part in whole:
            assert far_off(Counter(part.sources), Counter({0: 5, 1: 3, 2: 2})) <= 1.2  # a window is 40 samples: a fifth
        before = loader(world - 1, world)
        batches = iter(before)
        for _ in range(stop % len(whole)):
            next(batches)
        after = [loader(rank, world) for rank in range(world)]
        for one in after:
            one.load_state_dict(before.state_dict())
        for expected, parts in zip(whole[stop % len(whole) :], zip(*after, strict=True), strict=True):
            assert sorted(id or "" for part in parts for id in part.ids) == sorted(map(str, expected.ids))


def test_a_state_that_was_not_stratified_is_another_order(mixed: dict[str, float]) -> None:
    state = Loader(mixed, ByTokens(300), image_tokens=Fixed(4)).state_dict()
    with pytest.raises(Exception, match=r"stratified=False.*stratified=True"):
        Loader(mixed, ByTokens(300, stratified=True), image_tokens=Fixed(4)).load_state_dict(state)
