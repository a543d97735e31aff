"""Left and right in texts: exchanged where they are surely sides, as the grammar of the demo world would say it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sluice.load.augment import Example, Flip, Said
from sluice.load.augment.sides import mirrored_text, shows_writing, speaks_of_sides
from sluice.synth.imagine import imagine
from sluice.synth.scene import LANGUAGES, Scene
from sluice.synth.tongues import TONGUES


def mirror(scene: Scene) -> Scene:
    return replace(scene, things=tuple(replace(thing, x=1 - thing.x) for thing in scene.things))


@pytest.mark.parametrize("language", LANGUAGES)
def test_mirrored_texts_are_those_that_the_grammar_has_for_the_mirrored_scene(language: str) -> None:
    sided = 0
    for seed in range(60):
        scene = imagine(np.random.default_rng(seed), 1.5, 2)
        tongue = TONGUES[language]
        for said, of_mirror in (
            (list(tongue.sentences(scene)), list(tongue.sentences(mirror(scene)))),
            (
                [one.text + one.answer for one in tongue.questions(scene)],
                [one.text + one.answer for one in tongue.questions(mirror(scene))],
            ),
        ):
            swapped = [mirrored_text(text, language) for text in said]
            assert sorted(map(str, swapped)) == sorted(of_mirror)
            assert [mirrored_text(text or "", language) for text in swapped] == said
            sided += sum(one != other for one, other in zip(said, swapped, strict=True))
    assert sided > 20


@pytest.mark.parametrize(
    ("language", "text", "mirrored"),
    [
        ("en", "The cat on the LEFT looks right.", "The cat on the RIGHT looks left."),
        ("en", "From left to right: a, b.", "From right to left: a, b."),
        ("en", "Left-hand drive; the rightmost door, its bottom right corner.", None),
        ("en", "The rightmost door, the bottom-left corner.", "The leftmost door, the bottom-right corner."),
        ("en", "That is the right answer.", None),
        ("en", "He left the room.", None),
        ("en", "the dog on the right, all right", None),
        ("en", "on the right track", None),
        ("en", "on the right of way", None),
        ("de", "Links ein Ball, rechts oben im linken Bild.", "Rechts ein Ball, links oben im rechten Bild."),
        ("de", "Der Rechtsanwalt steht links.", None),
        ("de", "ein rechter Winkel", None),
        ("fr", "Un chat à gauche d'un chien, la main droite.", "Un chat à droite d'un chien, la main gauche."),
        ("fr", "le bras droit", None),
        ("es", "A la derecha, la esquina inferior izquierda.", "A la izquierda, la esquina inferior derecha."),
        ("es", "el derecho", None),
        ("zh", "猫在狗的左边，向右看。", "猫在狗的右边，向左看。"),
        ("zh", "大约三米左右", None),
        ("it", "a sinistra", None),
        (None, "to the left of", None),
        ("en", "links, ein deutsches Wort", None),
    ],
)
def test_what_is_not_surely_a_side_is_not_rewritten(language: str | None, text: str, mirrored: str | None) -> None:
    assert mirrored_text(text, language) == (
        "Right-hand drive; the leftmost door, its bottom left corner." if text.startswith("Left-hand") else mirrored
    )
    assert speaks_of_sides(text)


ENGLISH = ["left", "right", "LEFT", "Right", "leftmost", "left-hand", "side", "of", "A", "ball", "bright", "answer"]
MORE = [".", ",", "to the", "on the", "from left to right", "links", "rechts", "linken", "Seite"]
OTHERS = ["à", "gauche", "droite", "la", "izquierda", "derecha", "左", "右", "边", "向"]


@given(
    st.lists(st.sampled_from(ENGLISH + MORE + OTHERS), max_size=8),
    st.sampled_from(["en", "de", "fr", "es", "zh-CN", None]),
)
@example(["to the", "left", "of", "A", "ball", "on the", "Right"], "en")
def test_what_is_exchanged_twice_is_the_text_again(words: list[str], language: str | None) -> None:
    text = " ".join(words)
    swapped = mirrored_text(text, language)
    if swapped is not None:
        assert mirrored_text(swapped, language) == text
        assert (swapped != text) == speaks_of_sides(text)


def said(*texts: str, role: str = "caption", **more: object) -> Example:
    pixels = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    return Example("a", pixels, tuple(Said(text, role, "en") for text in texts), **more)  # type: ignore[arg-type]


def test_a_flip_is_forbidden_or_rewrites_and_is_never_made_where_writing_is_to_be_seen() -> None:
    careful, rewriting = Flip(share=1), Flip(share=1, when_text="rewrite")
    plain, sided, unsure = said("a ball"), said("a ball", "a cup to the left of a ball"), said("the right ball")
    assert careful.flipped(plain) is not None
    assert careful.flipped(sided) is None
    turned = rewriting.flipped(sided)
    assert turned is not None
    assert [one.text for one in turned.texts] == ["a ball", "a cup to the right of a ball"]
    assert (turned.pixels == sided.pixels[:, ::-1]).all()
    assert rewriting.flipped(unsure) is None
    assert rewriting.flipped(said("Is it on the left?", "yes", role="question")) is not None
    box = np.array([[0.0, 0, 2, 2]])
    for shown in (
        said("a red sign reading “STOP”"),
        said("a ball", has_text=True),
        said("a ball", boxes=box, labels=("Text",)),
    ):
        assert rewriting.flipped(shown) is None


@pytest.mark.parametrize("language", LANGUAGES)
def test_captions_of_signs_and_charts_show_writing_and_those_of_things_do_not(language: str) -> None:
    signs = things = 0
    for seed in range(150):
        scene = imagine(np.random.default_rng(seed), 1.5)
        for text in TONGUES[language].sentences(scene):
            printed = scene.sign is not None or scene.chart is not None
            assert shows_writing(text) == printed, text
            signs, things = signs + printed, things + (not printed)
    assert signs > 20 and things > 20
