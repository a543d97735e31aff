from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.synth import Chart, Scene, Sign, Thing, captions, imagine, questions
from sluice.synth.grammar import swapped
from sluice.synth.scene import COLOURS, LANGUAGES, LYING, SHAPES
from sluice.synth.tongues import TONGUES, chinese, english, french, german, spanish

MODULES = {"en": english, "de": german, "fr": french, "es": spanish, "zh": chinese}
NUMBERS = {code: module.NUMBERS for code, module in MODULES.items()}


def things(shape: str, colour: str, count: int, x: float, texture: str = "plain", size: str = "medium"):
    return tuple(Thing(shape, colour, texture, size, x, 0.2 + 0.2 * i, 0.1, 0.0) for i in range(count))


def noun_forms(code: str, shape: str) -> tuple[str, ...]:
    entry = MODULES[code].NOUNS[shape]
    forms = entry if code == "en" else entry[1:]
    return tuple(form.split(" ")[0] for form in forms) if code in ("fr", "es") else forms


def colour_forms(code: str, colour: str) -> tuple[str, ...]:
    entry = MODULES[code].COLOURS[colour]
    return (entry,) if isinstance(entry, str) else entry


@given(seed=st.integers(0, 2**32 - 1), language=st.sampled_from(LANGUAGES))
@settings(max_examples=150, deadline=None)
def test_every_caption_names_every_shape_colour_and_count_of_its_scene(seed, language):
    scene = imagine(np.random.default_rng(seed))
    for caption in captions(scene, language, np.random.default_rng(seed), count=99):
        lower = caption.lower()
        for group in scene.groups:
            assert any(form.lower() in lower for form in noun_forms(language, group.shape)), caption
            assert any(form in lower for form in colour_forms(language, group.colour)), caption
            if group.count > 1:
                assert NUMBERS[language][group.count] in lower, caption
        if scene.sign is not None:
            assert scene.sign.word in caption
        if scene.chart is not None:
            largest = scene.chart.colours[scene.chart.values.index(max(scene.chart.values))]
            assert any(form in lower for form in colour_forms(language, largest)), caption


@given(seed=st.integers(0, 2**32 - 1), language=st.sampled_from(LANGUAGES))
@settings(max_examples=100, deadline=None)
def test_captions_are_tidy_and_different_from_each_other(seed, language):
    made = captions(imagine(np.random.default_rng(seed)), language, np.random.default_rng(seed))
    assert 1 <= len(made) <= 3
    assert len(set(made)) == len(made)
    for caption in made:
        assert caption == caption.strip()
        assert "  " not in caption
        assert caption.endswith(("。", "."))
        assert caption[0].isupper() or language == "zh"


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_every_language_says_the_same_number_of_things_of_a_scene(seed):
    scene = imagine(np.random.default_rng(seed))
    asked = {code: [(q.kind) for q in tongue.questions(scene)] for code, tongue in TONGUES.items()}
    assert len({tuple(kinds) for kinds in asked.values()}) == 1


RED_STARS = things("star", "red", 2, 0.2, "striped", "small")
BLUE_VASE = things("vase", "blue", 1, 0.8, "plain", "large")
SCENE = Scene("snow", "day", 1.5, 0.3, RED_STARS + BLUE_VASE)


@pytest.mark.parametrize(
    ("language", "sentences"),
    [
        ("en", ["Two small red striped stars to the left of a large blue vase, in the snow."]),
        (
            "de",
            [
                "Zwei kleine rot gestreifte Sterne links von einer großen blauen Vase, im Schnee.",
                "Das Foto zeigt zwei kleine rot gestreifte Sterne und eine große blaue Vase im Schnee.",
                "Im Schnee befindet sich eine große blaue Vase rechts von zwei kleinen rot gestreiften Sternen.",
            ],
        ),
        (
            "fr",
            [
                "Deux petites étoiles rouges à rayures à gauche d'un grand vase bleu, dans la neige.",
                "Un grand vase bleu à droite de deux petites étoiles rouges à rayures, dans la neige.",
            ],
        ),
        ("es", ["Un gran jarrón azul a la derecha de dos pequeñas estrellas rojas a rayas, en la nieve."]),
        ("zh", ["雪地里，两颗红色条纹的小星星在一个蓝色的大花瓶的左边。"]),
    ],
)
def test_words_agree_in_gender_number_and_case(language, sentences):
    made = set(captions(SCENE, language, np.random.default_rng(0), count=99))
    assert made >= set(sentences)


@pytest.mark.parametrize(
    ("shape", "colour", "count", "language", "phrase"),
    [
        ("umbrella", "orange", 1, "en", "an orange umbrella"),
        ("fish", "black", 3, "en", "three black fish"),
        ("mug", "pink", 1, "de", "eine rosafarbene Tasse"),
        ("heart", "white", 1, "de", "ein weißes Herz"),
        ("ball", "purple", 4, "de", "vier violette Bälle"),
        ("ring", "brown", 5, "fr", "cinq anneaux marron"),
        ("flower", "white", 2, "fr", "deux fleurs blanches"),
        ("car", "green", 2, "fr", "deux voitures miniatures vertes"),
        ("fish", "blue", 3, "es", "tres peces azules"),
        ("car", "yellow", 1, "es", "un coche amarillo de juguete"),
        ("umbrella", "brown", 2, "es", "dos paraguas marrones"),
        ("fish", "red", 2, "zh", "两条红色的鱼"),
        ("car", "green", 1, "zh", "一辆绿色的玩具车"),
    ],
)
def test_noun_phrases_are_what_a_speaker_would_write(shape, colour, count, language, phrase):
    scene = Scene("table", "day", 1.5, 0.3, things(shape, colour, count, 0.5))
    made = captions(scene, language, np.random.default_rng(0), count=99)
    assert any(phrase.lower() in caption.lower() for caption in made), made


def test_german_objects_of_a_verb_are_accusative():
    scene = Scene("table", "day", 1.5, 0.3, things("ball", "red", 1, 0.5))
    assert "Das Foto zeigt einen roten Ball auf einem Holztisch." in captions(
        scene, "de", np.random.default_rng(0), count=99
    )


@given(seed=st.integers(0, 2**32 - 1), language=st.sampled_from(LANGUAGES))
@settings(max_examples=100, deadline=None)
def test_swapped_colours_make_every_caption_false(seed, language):
    rng = np.random.default_rng(seed)
    scene = imagine(rng, groups=2)
    wrong = swapped(scene, rng)
    true = set(TONGUES[language].sentences(scene))
    assert not true & set(TONGUES[language].sentences(wrong))
    assert [t.shape for t in wrong.things] == [t.shape for t in scene.things]


def test_two_things_alike_but_for_their_colour_get_a_new_colour_instead_of_swapping_in_vain():
    scene = Scene("table", "day", 1.5, 0.3, things("ball", "red", 1, 0.2) + things("ball", "blue", 1, 0.8))
    colours = {thing.colour for thing in swapped(scene, np.random.default_rng(0)).things}
    assert colours != {"red", "blue"}


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=150, deadline=None)
def test_answers_follow_from_the_scene(seed):
    scene = imagine(np.random.default_rng(seed))
    groups = {(g.shape, g.colour): g.count for g in scene.groups}
    named = {plural: shape for shape, (_, plural) in english.NOUNS.items()}
    single = {one: shape for shape, (one, _) in english.NOUNS.items()}
    for question in questions(scene, "en", np.random.default_rng(seed), count=99):
        words = question.text.rstrip("?").split(" ", 3)
        if question.kind == "count":
            shape = named[question.text[len(f"How many {words[2]} ") : -len(" are there?")]]
            assert groups[shape, words[2]] == int(question.answer)
        elif question.kind == "yes_no":
            _, _, _, phrase = words
            colour, noun = phrase.split(" ", 1)
            assert ((single[noun], colour) in groups) == (question.answer == "yes")
        elif question.kind == "reading":
            assert scene.sign is not None
            assert question.answer == scene.sign.word


@given(seed=st.integers(0, 2**32 - 1), aspect=st.floats(0.2, 5))
@settings(max_examples=150, deadline=None)
def test_a_scene_survives_json_and_its_things_lie_apart_and_within_the_picture(seed, aspect):
    scene = imagine(np.random.default_rng(seed), aspect)
    assert Scene.from_json(scene.to_json()) == scene
    across, down = min(1.0, 1 / scene.aspect), min(1.0, scene.aspect)
    for number, one in enumerate(scene.things):
        assert one.x - one.side * across / 2 >= 0 and one.x + one.side * across / 2 <= 1
        assert one.y - one.side * down / 2 >= 0 and one.y + one.side * down / 2 <= 1
        for other in scene.things[:number]:
            apart = np.hypot((one.x - other.x) / across, (one.y - other.y) / down)
            assert apart > 0.5 * (one.side + other.side)
    assert len({(g.shape, g.colour) for g in scene.groups}) == len(scene.groups)


def test_above_and_below_are_said_only_of_pictures_taken_from_above():
    upper, lower = (
        Thing("ball", "red", "plain", "small", 0.5, 0.2, 0.1, 0),
        Thing("cube", "blue", "plain", "small", 0.5, 0.8, 0.1, 0),
    )
    lying, standing = (Scene(s, "day", 1.0, 0.0, (upper, lower)) for s in (LYING[0], "snow"))
    assert lying.relation(*lying.groups) == "above"
    assert standing.relation(*standing.groups) is None


def test_signs_and_charts_survive_json():
    sign = Sign("OPEN", "red", 0.5, 0.4, 0.6, 2.0)
    chart = Chart("pie", ("red", "blue"), (3, 4), 0.5, 0.5, 0.7, -3.0)
    for scene in (Scene("snow", "day", 1.0, 0.3, sign=sign), Scene("sand", "day", 1.0, 0.0, chart=chart)):
        assert Scene.from_json(scene.to_json()) == scene


def test_every_language_has_a_word_for_everything():
    for code, module in MODULES.items():
        assert set(module.NOUNS) == set(SHAPES), code
        assert set(module.COLOURS) == set(COLOURS), code
