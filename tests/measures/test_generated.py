"""`text.generated`: recall on what models say, silence on what people write, and what holds of any text."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.measures.captioner_phrases import ASSISTANT_TALK, INSTRUCTIONS, REFUSALS
from sluice.measures.generated import generated, loop_words
from sluice.measures.unclosed import count_unclosed
from sluice.measures.words import words
from support import spoken


def measured(rows: list[tuple[str | None, str]] | tuple[tuple[str | None, str], ...]) -> dict[str, list[Any]]:
    columns = generated(SimpleNamespace(text=[text for _, text in rows], language=[language for language, _ in rows]))
    return {name: list(values) for name, values in columns.items()}


# What is missed is said in docs/measures.md: new ways to say the same.
@pytest.mark.parametrize(
    ("rows", "column", "found"),
    [
        (spoken.REFUSALS, "refusal", 29),
        (spoken.TALK, "assistant_talk", 28),
        (spoken.LEAKS, "prompt_leak", 21),
        (spoken.CUT, "cut_off", 16),
        ([(None, text) for text in spoken.UNCLOSED], "unclosed", 10),
        ([(None, text) for text in spoken.LOOPS], "loop_words", 6),
    ],
    ids=["refusals", "talk", "leaks", "cut", "unclosed", "loops"],
)
def test_what_models_leave_behind_is_found(rows: Any, column: str, found: int) -> None:
    assert sum(map(bool, measured(rows)[column])) == found


def test_what_people_write_is_left_alone() -> None:
    said = measured(spoken.PEOPLE)
    loops = [text for (_, text), count in zip(spoken.PEOPLE, said.pop("loop_words"), strict=True) if count >= 6]
    assert loops == []
    for column, values in said.items():
        assert [text for (_, text), value in zip(spoken.PEOPLE, values, strict=True) if value] == [], column


def test_clean_captions_in_five_languages_are_left_alone() -> None:
    rows = list(spoken.drawn(seed=0, count=1000))
    for column, values in measured(rows).items():
        assert [text for (_, text), value in zip(rows, values, strict=True) if value] == [], column


def test_a_phrase_that_is_quoted_was_read_and_one_around_the_whole_was_said() -> None:
    rows = [(None, "A card that says “I'm sorry, but I can't come”"), (None, "“I'm sorry, but I can't describe this.”")]
    assert measured(rows)["refusal"] == [False, True]


@pytest.mark.parametrize("phrases", [REFUSALS, ASSISTANT_TALK, INSTRUCTIONS], ids=["refusals", "talk", "instructions"])
def test_every_phrase_is_found_wherever_it_stands(phrases: Any) -> None:
    listed = {phrase for same in phrases._by_rarest.values() for phrase, _ in same}
    assert len(listed) > 50
    for phrase in listed:
        assert phrases.found_in(["before", *phrase, "after"]), phrase
        assert not phrases.found_in(list(phrase[:-1])) or any(
            other != phrase and set(other) <= set(phrase[:-1]) for other in listed
        ), phrase


unit = st.lists(st.sampled_from(["a", "red", "ball", "on", "红"]), min_size=1, max_size=8)


@given(unit, st.integers(3, 6), st.lists(st.sampled_from(["x", "y", "z"]), max_size=5))
def test_whatever_is_said_three_times_in_a_row_is_a_loop(unit: list[str], times: int, around: list[str]) -> None:
    assert loop_words([*around, *unit * times, *around]) >= len(unit) * times


@given(st.lists(st.sampled_from("abc"), max_size=24))
def test_a_loop_is_what_a_plain_search_finds(found: list[str]) -> None:
    longest = 0
    for start in range(len(found)):
        for period in range(1, len(found) // 3 + 1):
            end = start + period
            while end < len(found) and found[end] == found[end - period]:
                end += 1
            if end - start >= 3 * period:
                longest = max(longest, end - start)
    assert loop_words(found) == longest


def nests(kinds: tuple[str, ...]) -> st.SearchStrategy[str]:
    """Texts with pairs of `kinds` side by side and inside each other."""
    return st.recursive(
        st.sampled_from(["red", "ball ", "5", ""]),
        lambda inner: st.tuples(st.sampled_from(kinds), inner, inner).map(
            lambda made: f"{made[0][0]}{made[1]}{made[0][1]}{made[2]}"
        ),
        max_leaves=8,
    )


# English quotation marks inside German ones have two readings: “ may close „ there. One writer uses one sort.
BRACKETS = ("()", "[]", "{}", "«»", "「」", "（）")
nested = nests((*BRACKETS, "“”")) | nests((*BRACKETS, "„“"))


@given(nested)
def test_what_is_closed_in_order_is_not_unclosed(text: str) -> None:
    assert count_unclosed(text) == 0


@given(nested, st.sampled_from("([{（「『"))
def test_one_more_that_opens_is_one_unclosed(text: str, opener: str) -> None:
    assert count_unclosed(text + opener) == 1


@given(st.text(max_size=80), st.sampled_from([None, "en", "de-AT", "fr", "es", "zh", "tlh"]))
def test_any_text_has_values_that_their_columns_hold(text: str, language: str | None) -> None:
    (row,) = zip(*measured([(language, text)]).values(), strict=True)
    refusal, talk, leak, loop, run, unclosed, cut = row
    assert {type(flag) for flag in (refusal, talk, leak, cut)} == {bool}
    assert 0 <= loop <= len(words(text))
    assert 0 <= run <= len(text)
    assert 0 <= unclosed <= len(text)
