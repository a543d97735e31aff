"""`text.claims` against drawn scenes, whose things are counted and whose signs are known."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from sluice.measures.claims import claimed_counts, claims, quoted
from sluice.measures.words import words
from sluice.synth import Scene, captions, imagine
from support.spoken import drawn

LANGUAGES = ("en", "de", "fr", "es", "zh")


def scenes(language: str, count: int) -> list[tuple[Scene, str]]:
    made = []
    for number in range(count):
        rng = np.random.default_rng((7, number))
        scene = imagine(rng)
        made.append((scene, captions(scene, language, rng, count=1)[0]))
    return made


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_counts_of_drawn_things_are_found_and_nothing_else(language: str) -> None:
    claimed: Counter[bool] = Counter()
    stated: Counter[bool] = Counter()
    for scene, text in scenes(language, 400):
        if scene.chart is not None:
            continue  # its values are numbers, and count nothing
        found = Counter(claimed_counts(text, words(text), language))
        true = Counter(group.count for group in scene.groups if group.count > 1)
        claimed[True] += (found & true).total()
        claimed[False] += (found - true).total()
        stated[True] += (found & true).total()
        stated[False] += (true - found).total()
    assert claimed[False] == 0
    assert stated[True] > 150
    assert stated[False] <= 1  # "GATE 4, three flowers": a number beside a number is not taken


def test_what_a_drawn_sign_says_is_read_from_its_caption() -> None:
    for language in LANGUAGES:
        for scene, text in scenes(language, 100):
            assert quoted(text) == ([scene.sign.word] if scene.sign else []), text


@pytest.mark.parametrize(
    "text",
    [
        "In 2021",
        "Boeing 747 at the gate",
        "a boy, 10 years old",
        "Route 66 in the evening",
        "at 10 pm",
        "5 km to the sea",
        "3D printer",
        "1920 x 1080 pixels",
        "a 2-door car",
        "25 percent off",
        "12 May",
        "one of the dogs",
        "once upon a time",
        "Once more",
        "星期三的早上",
        "二月的雪",
    ],
)
def test_numbers_that_count_nothing_are_none(text: str) -> None:
    assert claimed_counts(text, words(text), "en") == []


@pytest.mark.parametrize(
    ("text", "fine"),
    [
        ("A close-up of her long eyelashes and freckles", True),
        ("The fine print at the bottom of the label", True),
        ("Das Kleingedruckte auf der Packung", True),
        ("Une affiche avec de petits caractères", True),
        ("Una etiqueta con letra pequeña", True),
        ("她的睫毛很长", True),
        ("A red sign reading “OPEN” on a street", False),
        ("A dog with brown hair on a beach", False),
        ("Ein kleiner Hund", False),
    ],
)
def test_detail_that_needs_many_pixels(text: str, fine: bool) -> None:
    assert claims(SimpleNamespace(text=[text], language=[None]))["fine_detail"] == [fine]


def test_drawn_captions_claim_no_fine_detail() -> None:
    rows = list(drawn(seed=3, count=500))
    said = claims(SimpleNamespace(text=[text for _, text in rows], language=[language for language, _ in rows]))
    assert not any(said["fine_detail"])
    assert max(said["largest_claimed_count"]) <= 9
