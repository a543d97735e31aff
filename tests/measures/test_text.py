"""`text.basic` and `text.content_hash`: composition, repetition, and the hash's invariances."""

from __future__ import annotations

import unicodedata
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sluice.errors import RecipeError
from sluice.measures.base import registered
from sluice.measures.text import text_hash

any_text = st.text(st.characters(codec=None, categories=None), max_size=60)
SHARES = ("letter_share", "digit_share", "repeated_word_share", "repeated_ngram_share", "capital_share")


def basic(*texts: str, **params: Any) -> list[dict[str, Any]]:
    measure = registered("text.basic").bind(params)
    columns = measure.function(SimpleNamespace(text=list(texts)), **measure.params)
    assert columns.keys() == measure.writes.keys()
    return pa.table({name: pa.array(columns[name], kind) for name, kind in measure.writes.items()}).to_pylist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a red cube", {"characters": 10, "words": 3, "letter_share": 1, "digit_share": 0, "capital_share": 0}),
        ("A1 b2", {"characters": 5, "words": 2, "letter_share": 0.5, "digit_share": 0.5, "capital_share": 0.5}),
        ("ÄÖÜ äöü", {"letter_share": 1, "capital_share": 0.5}),
        ("红色的立方体。", {"characters": 7, "words": 6, "letter_share": 6 / 7, "capital_share": 0}),
        ("हिन्दी", {"words": 1, "letter_share": 1}),
        ("e\u0301te\u0301", {"words": 1, "letter_share": 1, "characters": 5}),
        ("٣٤", {"digit_share": 1}),
        ("", {"characters": 0, "words": 0, **dict.fromkeys(SHARES, 0)}),
        ("   ", {"characters": 3, "words": 0, **dict.fromkeys(SHARES, 0)}),
        ("dog, Dog! DOG cat", {"repeated_word_share": 0.5}),
        ("a b c a b c", {"repeated_word_share": 0.5, "repeated_ngram_share": 0.25}),
        ("a b a b a b a b", {"repeated_ngram_share": 4 / 6}),
    ],
)
def test_a_text_is_counted_as_a_reader_would_count_it(text: str, expected: dict[str, float]) -> None:
    [row] = basic(text)
    assert {name: row[name] for name in expected} == pytest.approx(expected)


def test_the_length_of_a_repeated_run_is_a_parameter() -> None:
    text = "a b c a b c"
    assert basic(text, ngram=2)[0]["repeated_ngram_share"] == pytest.approx(2 / 5)
    assert basic(text, ngram=9)[0]["repeated_ngram_share"] == 0
    with pytest.raises(RecipeError, match="at least 1"):
        basic(text, ngram=0)


def test_an_empty_batch_has_empty_columns() -> None:
    assert basic() == []


def test_all_that_a_crawl_leaves_is_flagged_at_once() -> None:
    [row] = basic("Click to enlarge<br>www.a.org a@b.org +49 30 1234567 WÃ¼rfel")
    assert (row["urls"], row["emails"], row["phones"], row["html"], row["mojibake"]) == (1, 1, 1, True, True)
    [clean] = basic("A red cube next to a blue ball in 2021")
    assert not any(clean[name] for name in ("urls", "emails", "phones", "html", "mojibake", "boilerplate"))


@given(any_text)
@example("\ud800")
@example("\x00\x1c\x85\u200b")
def test_any_text_can_be_measured_and_its_shares_are_shares(text: str) -> None:
    [row] = basic(text)
    assert all(0 <= row[name] <= 1 for name in SHARES)
    assert row["characters"] == len(text)
    assert None not in row.values()
    assert 0 <= row["letter_share"] + row["digit_share"] <= 1 + 1e-6


@given(any_text)
def test_composition_agrees_with_one_category_lookup_per_character(text: str) -> None:
    kinds = Counter("space" if c.isspace() else unicodedata.category(c)[0] for c in text)
    visible = len(text) - kinds["space"]
    letters = kinds["L"] + kinds["M"]
    assert basic(text)[0]["letter_share"] == pytest.approx(letters / visible if visible else 0)


@given(any_text)
@example("\u0345\u0301\u1f80")
@example("ß ſ İ ı ΐ K Å \U0001d400")
def test_the_hash_does_not_see_case_white_space_or_compatibility_forms(text: str) -> None:
    same = text_hash(text)
    assert len(same) == 32
    # U+0345 folds to a letter, so only after NFD is its place among the marks known (Unicode, D146).
    assert text_hash(unicodedata.normalize("NFD", text).casefold()) == same
    assert text_hash(unicodedata.normalize("NFKC", text)) == same
    assert text_hash(unicodedata.normalize("NFD", text)) == same
    assert text_hash("\t " + "\u00a0\n ".join(text.split()) + "\r\n") == same


@given(st.text("abc XYZéÉäß 红色", max_size=20), st.text("abc XYZéÉäß 红色", max_size=20))
def test_the_hash_sees_everything_else(first: str, second: str) -> None:
    canonical = [" ".join(unicodedata.normalize("NFKC", text).casefold().split()) for text in (first, second)]
    assert (text_hash(first) == text_hash(second)) == (canonical[0] == canonical[1])


def test_upper_case_hashes_like_lower_case_in_five_languages() -> None:
    for text in ("a red cube", "ein großer Würfel", "l'été à la plage", "un niño pequeño", "一个 Cube"):
        assert text_hash(text.upper()) == text_hash(text)


def test_the_measure_writes_the_same_hash_as_the_function() -> None:
    measure = registered("text.content_hash")
    assert measure.function(SimpleNamespace(text=["A  b"])) == {"text_hash": [text_hash("a b")]}
