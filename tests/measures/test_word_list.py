"""`safety.words`: terms of a user's list, by language; named by what the list holds; unscored is held."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sluice
from sluice.errors import RecipeError
from sluice.measures.base import registered
from sluice.measures.word_list import listed_words
from support.corpus import encoded, picture
from support.recipes import write_recipe

LIST = """\
# ours
blorp
grum* blatt*
snazz*
[de]
gift
[zh]
坏词
"""


@pytest.fixture
def terms(tmp_path: Path) -> str:
    (tmp_path / "terms.txt").write_text(LIST.replace("grum* blatt*", "grum blatt*"), encoding="utf-8")
    return str(tmp_path / "terms.txt")


@pytest.mark.parametrize(
    ("text", "language", "count", "first"),
    [
        ("a red ball", "en", 0, None),
        ("A Blorp and a blorp", "en", 2, "blorp"),
        ("blorps", "en", 0, None),
        ("snazzy, snazz!", "en", 2, "snazz*"),
        ("grum, blattering", "en", 1, "grum blatt*"),
        ("grum or blatt", "en", 0, None),
        ("a gift for you", "en", 0, None),
        ("Gift im Schrank", "de", 1, "gift"),
        ("Gift im Schrank", "de-AT", 1, "gift"),
        ("Gift im Schrank", None, 1, "gift"),
        ("这是坏词吗", "zh", 1, "坏 词"),
        ("坏的词", "zh", 0, None),
    ],
)
def test_terms_are_words_and_phrases_of_their_language(terms, text, language, count, first) -> None:
    columns = listed_words(SimpleNamespace(text=[text], language=[language]), list=terms)
    assert columns == {"listed_terms": [count], "first_listed_term": [first]}


@given(st.lists(st.sampled_from(["blorp", "snazzle", "ball", "red"]), max_size=12))
def test_as_many_as_stand_there(tmp_path_factory, found: list[str]) -> None:
    path = tmp_path_factory.mktemp("list") / "terms.txt"
    path.write_text("blorp\nsnazz*\n")
    columns = listed_words(SimpleNamespace(text=[" ".join(found)], language=["en"]), list=str(path))
    assert columns["listed_terms"] == [sum(word in ("blorp", "snazzle") for word in found)]


@pytest.mark.parametrize(
    ("text", "says"), [("ok\n[german!]\n", "line 2: expected a language"), ("!!!\n", "line 1: '!!!' holds no word")]
)
def test_a_bad_list_says_its_line(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "bad.txt").write_text(text)
    with pytest.raises(RecipeError, match=says):
        listed_words(SimpleNamespace(text=["a"], language=[None]), list=str(tmp_path / "bad.txt"))


def test_the_measure_is_named_by_what_the_list_holds_and_not_by_where_it_lies(tmp_path: Path) -> None:
    def identity(name: str, text: str) -> str:
        (tmp_path / name).write_text(text)
        return registered("safety.words").bind({"list": str(tmp_path / name)}).identity("", "")

    assert identity("one.txt", "blorp") == identity("two.txt", "blorp") != identity("three.txt", "snazz")


def folder(tmp_path: Path) -> Path:
    made = tmp_path / "images"
    made.mkdir()
    for name, caption in (("a", "a blorp on a table"), ("b", "a ball on a table"), ("c", "")):
        (made / f"{name}.jpg").write_bytes(encoded(picture(ord(name))))
        if caption:
            (made / f"{name}.txt").write_text(caption)
    return made


def test_a_recipe_gives_the_list_beside_the_default_measures_and_what_is_unscored_is_held(tmp_path, inline) -> None:
    (tmp_path / "terms.txt").write_text("blorp\n")
    recipe = write_recipe(
        tmp_path / "recipe.yaml",
        folder(tmp_path),
        measures=["defaults", {"name": "safety.words", "list": "terms.txt"}, {"name": "text.basic", "ngram": 4}],
        filter={"reject": {"listed": "listed_terms > 0"}},
    )
    run = sluice.run(recipe, only="01_filtered")
    assert {row["key"]: row["verdict"] for row in run.samples().to_pylist()} == {
        "a.jpg": "rejected", "b.jpg": "kept", "c.jpg": "held",
    }  # fmt: skip
    assert "first_listed_term = blorp" in str(run.why("a.jpg"))
    (tmp_path / "terms.txt").write_text("ball\n")
    run = sluice.run(recipe, only="01_filtered")
    assert {row["key"]: row["verdict"] for row in run.samples().to_pylist()}["b.jpg"] == "rejected", "another list"


def test_a_list_that_is_missing_or_not_given_is_said_before_anything_runs(tmp_path, inline) -> None:
    source = folder(tmp_path)
    with pytest.raises(RecipeError, match=r"measures.*gone\.txt: cannot be read"):
        sluice.run(write_recipe(tmp_path / "a.yaml", source, measures=[{"name": "safety.words", "list": "gone.txt"}]))
    with pytest.raises(RecipeError, match=r"b\.yaml:\d+: measures.*safety\.words needs `list`"):
        sluice.run(write_recipe(tmp_path / "b.yaml", source, measures=["safety.words"]))
