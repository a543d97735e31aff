"""Captions for training: the true ones are true, the false ones are false."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from sluice.models.hashed_words import HashedWords
from sluice.synth import Scene, captions, imagine
from sluice.synth.scene import LANGUAGES
from sluice.synth.tongues import TONGUES
from sluice.train.batches import NOTHING, batch
from sluice.train.drawn import draw
from sluice.train.pairs import mirrored, told
from sluice.train.truth import QUESTIONS, facts, places, rows


def scenes(count: int = 400, groups: int | None = None) -> Iterator[Scene]:
    for seed in range(count):
        yield imagine(np.random.default_rng((1, seed)), 4 / 3, groups)


@pytest.mark.parametrize("code", LANGUAGES)
def test_no_false_caption_is_one_of_the_true_ones(code: str) -> None:
    for number, scene in enumerate(scenes()):
        true = set(TONGUES[code].sentences(scene))
        pair = told(scene, np.random.default_rng(number), 4, code)
        assert pair.true in true and len(pair.false) == len(pair.imagined) == 4
        assert not true & set(pair.false), pair


def test_a_false_caption_is_true_of_the_scene_it_was_imagined_for() -> None:
    for number, scene in enumerate(scenes()):
        pair = told(scene, np.random.default_rng(number), 3)
        for caption, imagined in zip(pair.false, pair.imagined, strict=True):
            assert caption in set(TONGUES[pair.language].sentences(imagined))


def test_false_captions_of_two_groups_are_often_the_demo_s_own_swap() -> None:
    rng = np.random.default_rng(0)
    swaps = sum(
        sorted(g.colour for g in imagined.groups) == sorted(g.colour for g in scene.groups)
        and facts(imagined) != facts(scene)
        for scene in scenes(300, 2)
        for imagined in told(scene, rng, 3).imagined
    )
    assert swaps > 300  # of 900


def test_a_mirrored_scene_exchanges_left_and_right_only() -> None:
    opposite = {"left": "right", "right": "left", "above": "above", "below": "below"}
    for scene in scenes(200, 2):
        turned = mirrored(scene)
        assert facts(turned) == facts(scene)
        for one, other in zip(scene.groups, turned.groups, strict=True):
            assert (one.shape, one.count) == (other.shape, other.count)
        relation = scene.relation(*scene.groups)
        if relation in ("left", "right"):
            assert turned.relation(*turned.groups) == opposite[relation]


def test_facts_have_a_place_each() -> None:
    for scene in scenes(100):
        row = rows([facts(scene), facts(scene) | places(scene)])
        assert row.shape == (2, QUESTIONS) and row[0].sum() == len(facts(scene))


def test_a_batch_is_a_function_of_seed_and_step() -> None:
    drawn, words = draw(24, 1, 96, workers=1), HashedWords(length=48, characters=(1,))
    one, same = (batch(drawn, words, 12, 8, 2, 5, 4) for _ in range(2))
    other = batch(drawn, words, 12, 8, 2, 6, 4)
    assert (one.pixels == same.pixels).all() and (one.captions == same.captions).all()
    assert (one.captions != other.captions).any()
    assert one.captions.shape == (24, 48) and one.said.shape[0] == 24 and one.seen.shape[0] == 8


def test_every_thing_is_named_in_the_cell_of_its_centre() -> None:
    drawn, words = draw(24, 1, 96, workers=1), HashedWords(length=48, characters=(1,))
    given = batch(drawn, words, 12, 24, 1, 0, 0, captions=False)
    assert ((given.looks[..., 0] != NOTHING) | (given.centres == 0)).all()
    things = sum(len(scene.things) for scene in drawn.scenes)
    assert things * 0.9 <= given.centres.sum() <= things  # two small things may share a cell


def test_captions_drawn_for_the_demo_can_be_drawn_here() -> None:
    rng = np.random.default_rng(0)
    for scene in scenes(50):
        assert captions(scene, "en", rng, count=1)[0] in set(TONGUES["en"].sentences(scene))
