"""Gaps, answers, pace, batches, templates and plugins: the small parts of the captioners."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.caption.base import Box, Caption, CaptionFailure, CaptionOutcome, CaptionRequest, Spent
from sluice.caption.batches import Batches, OutOfMemoryError
from sluice.caption.config import PluginConfig, TemplateConfig
from sluice.caption.gaps import Gaps, MissingFieldError
from sluice.caption.pace import Pace
from sluice.caption.plugin import PluginCaptioner, captioner
from sluice.caption.prompts import PROMPTS
from sluice.caption.reading import UnreadableError, is_refusal, read_caption
from sluice.caption.rows import tables
from sluice.caption.template import TemplateCaptioner
from sluice.errors import RecipeError, SampleFailure


@pytest.mark.parametrize(
    ("text", "fields", "filled"),
    [
        ("A {color} bag", {"color": "red"}, "A red bag"),
        ("A bag[ in {color}][ of {material}].", {"material": "wool"}, "A bag of wool."),
        ("A bag[ in {color} {shade}].", {"color": "red"}, "A bag."),
        ("{boxes.label}", {"boxes": [{"label": "cat"}, {"label": "dog"}, {"x": 1}]}, "cat, dog"),
        ("{meta.size.cm}", {"meta": {"size": {"cm": 3.50}}}, "3.5"),
        ("{meta.size.cm}", {"meta": json.dumps({"size": {"cm": 3}})}, "3"),
        ("{json.url}", {"json.url": "x"}, "x"),
        ("{{a}} [[b]] {c}", {"c": " two \n lines "}, "{a} [b] two lines"),
        ("{n}", {"n": 0}, "0"),
        ("[{a}]{b}", {"b": True, "a": float("nan")}, "yes"),
    ],
)
def test_gaps_are_filled(text: str, fields: dict[str, object], filled: str) -> None:
    assert Gaps(text).filled(fields) == filled


@pytest.mark.parametrize(
    "fields", [{}, {"a": ""}, {"a": None}, {"a": {"b": 1}}, {"a": []}, {"a": [None, " "]}, {"A": "x"}, {"a": "  "}]
)
def test_a_gap_that_nothing_fills_is_named(fields: dict[str, object]) -> None:
    with pytest.raises(MissingFieldError, match=r"^a$"):
        Gaps("The {a}").filled(fields)


@pytest.mark.parametrize(
    ("text", "place"),
    [("{", 1), ("a }", 3), ("{a b}", 1), ("{}", 1), ("[x]", 3), ("[{a}[{b}]]", 5), ("a]", 2), ("[{a}", None)],
)
def test_a_wrong_template_says_where(text: str, place: int | None) -> None:
    with pytest.raises(RecipeError, match=f"character {place}:" if place else "is not closed"):
        Gaps(text)


@given(st.text(alphabet="ab{}[] .", max_size=20), st.dictionaries(st.sampled_from(["a", "b"]), st.just("v")))
def test_any_template_is_filled_or_refused_in_words(text: str, fields: dict[str, object]) -> None:
    try:
        filled = Gaps(text).filled(fields)
    except (RecipeError, MissingFieldError):
        return
    doubled = text.replace("{{", "").replace("}}", "").replace("[[", "").replace("]]", "")
    if not set("{}[]") & set(doubled):
        assert filled == text.replace("{{", "{").replace("}}", "}").replace("[[", "[").replace("]]", "]")


def test_the_prompts_of_all_kinds_need_nothing_but_a_language() -> None:
    for kind, prompt in PROMPTS.items():
        gaps = Gaps(prompt.text)
        assert gaps.fields <= {"language"}
        assert gaps.filled({}) in gaps.filled({"language": "German"})
        if kind in ("grounded", "qa"):
            assert '{"' in gaps.filled({}) and "[{" in gaps.filled({})


GOOD: list[tuple[str, Any, Caption]] = [
    ("A dog.\n", "short", Caption("A dog.", "short")),
    ('"A dog on a  beach."', "short", Caption("A dog on a beach.", "short")),
    ('"Stop" and "Go"', "short", Caption('"Stop" and "Go"', "short")),
    ("<think>Hm, a dog?</think>\nA dog.", "dense", Caption("A dog.", "dense")),
    ("Line one\nLine two", "ocr", Caption("Line one\nLine two", "ocr")),
    ("no text.", "ocr", Caption("", "ocr")),
    (
        '{"caption": "A dog", "boxes": [{"label": " dog ", "box": [1, 2, 3.5, 1000]}], "more": 1}',
        "grounded",
        Caption("A dog", "grounded", (Box("dog", (1, 2, 3.5, 1000)),)),
    ),
]
BAD_BOXES: list[Any] = [
    [1, 2, 3],
    [3, 2, 1, 4],
    [1, 4, 3, 4],
    [-1, 2, 3, 4],
    [1, 2, 3, 1001],
    [1, 2, "3", 4],
    [True] * 4,
    None,
]
BAD: list[tuple[str, Any, str]] = [
    ("", "short", "empty"),
    ("<think>Hm.</think>", "short", "empty"),
    ("A dog", "grounded", "schema"),
    ("[1]", "qa", "schema"),
    ('{"pairs": []}', "qa", "schema"),
    ('{"pairs": [{"question": "Who?"}]}', "qa", "schema"),
    ('{"pairs": [{"question": "Who?", "answer": 3}]}', "qa", "schema"),
    ('{"boxes": [{"label": "dog", "box": [1, 2, 3, 4]}]}', "grounded", "schema"),
    ('{"caption": "A dog"}', "grounded", "schema"),
    *[
        (json.dumps({"caption": "A dog", "boxes": [{"label": "dog", "box": box}]}), "grounded", "schema")
        for box in (
            [1, 2, 3],
            [3, 2, 1, 4],
            [1, 4, 3, 4],
            [-1, 2, 3, 4],
            [1, 2, 3, 1001],
            [1, 2, "3", 4],
            None,
            [True] * 4,
        )
    ],
    ('{"caption": "A dog", "boxes": [{"label": "dog", "box": [NaN, 2, 3, 4]}]}', "grounded", "schema"),
]


@pytest.mark.parametrize(("answer", "kind", "caption"), GOOD)
def test_an_answer_is_read(answer: str, kind: Any, caption: Caption) -> None:
    assert read_caption(answer, kind) == caption


@pytest.mark.parametrize(("answer", "kind", "why"), BAD)
def test_an_answer_that_is_none_is_said_to_be(answer: str, kind: Any, why: str) -> None:
    with pytest.raises(UnreadableError) as caught:
        read_caption(answer, kind)
    assert caught.value.kind == why


REFUSALS = [
    "I'm sorry, but I can't assist with that request.",
    "I’m sorry, I cannot identify people in images.",
    "Sorry, I can't help with that.",
    "I cannot provide a description of this image.",
    "I'm unable to process this image.",
    "As an AI language model, I do not see images.",
    "Es tut mir leid, dabei kann ich nicht helfen.",
    "Ich kann dieses Bild leider nicht beschreiben.",
    "Désolé, je ne peux pas vous aider.",
    "Je ne peux pas décrire cette image.",
    "Lo siento, pero no puedo ayudar con eso.",
    "抱歉，我无法描述这张图片。",
]
DESCRIPTIONS = [
    "A dog that looks sorry for itself.",
    "I can't read the sign on the left, but a dog sits before it.",
    "Unfortunate weather: a beach under rain.",
    "Sorry We're Closed, says a sign on a door.",
    "As an airplane lands, people watch.",
    "Ich sehe einen Hund.",
    "Sorry sign on a shop door",
    "A cannot-miss poster.",
]


@pytest.mark.parametrize("text", REFUSALS)
def test_a_refusal_is_known(text: str) -> None:
    assert is_refusal(text)


@pytest.mark.parametrize("text", DESCRIPTIONS)
def test_a_description_is_no_refusal(text: str) -> None:
    assert not is_refusal(text)


@given(st.lists(st.tuples(st.integers(1, 120), st.floats(0, 30), st.integers(0, 120)), max_size=60))
def test_no_minute_has_more_tokens_than_allowed(steps: list[tuple[int, float, int]]) -> None:
    now = [0.0]
    sent: list[tuple[float, int]] = []

    def sleep(seconds: float) -> None:
        assert seconds > 0
        now[0] += seconds

    pace = Pace(100, clock=lambda: now[0], sleep=sleep)
    for tokens, gap, true in steps:
        correct = pace.start(tokens)
        within = sum(one for when, one in sent if when > now[0] - 60 + 1e-6)
        assert within + tokens <= 100 or within == 0
        sent.append((now[0], min(true, tokens)))
        correct(min(true, tokens))
        now[0] += gap


def test_a_pause_holds_everybody() -> None:
    now = [0.0]
    pace = Pace(None, clock=lambda: now[0], sleep=lambda seconds: now.__setitem__(0, now[0] + seconds))
    pace.start(10)
    assert now == [0.0]
    pace.pause(7)
    pace.pause(3)
    pace.start(10)
    assert now == [7.0]


@given(st.lists(st.integers(1, 50), max_size=80), st.integers(1, 9), st.integers(1, 60))
def test_batches_give_each_item_its_result_whatever_fits(items: list[int], size: int, room: int) -> None:
    """A device with `room` for the padded batch: as many as there are, times the largest."""
    most: list[int] = []

    def run(batch: list[int]) -> list[int]:
        if len(batch) * max(batch) > room:
            raise OutOfMemoryError
        most.append(len(batch))
        return [-one for one in batch]

    batches = Batches[int, int](run, size, weigh=float, failed=lambda item, error: 1000 + item)
    assert list(batches(items)) == [-one if one <= room else 1000 + one for one in items]
    assert max(most, default=0) <= size


def test_one_that_the_model_cannot_take_costs_the_others_nothing() -> None:
    def run(batch: list[int]) -> list[int]:
        return [1 // one for one in batch]

    batches = Batches[int, int](run, 4, weigh=float, failed=lambda item, error: -1)
    assert list(batches([1, 1, 0, 1, 1])) == [1, 1, -1, 1, 1]
    assert batches.size == 4


def test_batches_stream() -> None:
    taken: list[int] = []

    def endless() -> Any:
        number = 0
        while True:
            taken.append(number)
            yield number
            number += 1

    batches = Batches[int, int](lambda batch: batch, 2, weigh=float, failed=lambda item, error: -1)
    stream = batches(endless())
    assert [next(stream) for _ in range(5)] == [0, 1, 2, 3, 4]
    assert len(taken) == 32


def test_a_template_captions_what_has_its_fields_and_names_what_lacks() -> None:
    config = TemplateConfig(type="template", name="t", template="A photo of {product}[ in {color}].", version="4")
    template = TemplateCaptioner(config)
    asked = [CaptionRequest("a", fields={"product": "shoes", "color": "red"}, language="en"), CaptionRequest("b")]
    good, bad = template.caption(asked)
    assert good == CaptionOutcome("a", (Caption("A photo of shoes in red.", "short", language="en"),))
    assert bad.failure is not None
    assert (bad.failure.failure_class, bad.failure.kind) == ("model", "field")
    assert "needs the field product" in bad.failure.message
    other = TemplateCaptioner(config.model_copy(update={"template": "{product}"}))
    assert other.identity.fingerprint != template.identity.fingerprint
    with pytest.raises(RecipeError, match="character"):
        TemplateCaptioner(config.model_copy(update={"template": "{"}))


@captioner("test.plugin", version=3)
def _plugin(requests: Sequence[CaptionRequest], *, suffix: str = "") -> list[Any]:
    given: dict[str, Any] = {
        "none": None,
        "empty": "  ",
        "failed": SampleFailure("io", "the disk is gone"),
        "caption": Caption("", "ocr"),
    }
    if any(request.id == "boom" for request in requests):
        raise ZeroDivisionError("no way")
    return [given.get(request.id, f"{request.id}{suffix}") for request in requests]


def test_a_plugin_gives_captions_or_failures_and_what_it_raises_costs_one() -> None:
    config = PluginConfig(type="plugin", name="p", function="test.plugin", params={"suffix": "!"}, batch=4)
    plugin = PluginCaptioner(config)
    names = ["a", "boom", "none", "b", "empty", "failed", "caption"]
    outcomes = list(plugin.caption(map(CaptionRequest, names)))
    found = [one.captions[0].text if one.failure is None else one.failure.message for one in outcomes]
    none = "the plugin gave no text"
    assert found == ["a!", "ZeroDivisionError: no way", none, "b!", none, "the disk is gone", ""]
    assert outcomes[5].failure is not None and outcomes[5].failure.failure_class == "io"
    other = PluginCaptioner(config.model_copy(update={"params": {}}))
    assert other.identity.fingerprint != plugin.identity.fingerprint
    with pytest.raises(RecipeError, match=r"unknown captioner function 'test.plugni' \(did you mean test.plugin\?\)"):
        PluginCaptioner(config.model_copy(update={"function": "test.plugni"}))
    with pytest.raises(RecipeError, match=r"takes no prefix \(it takes: suffix\)"):
        PluginCaptioner(config.model_copy(update={"params": {"prefix": 1}}))


def test_a_plugin_that_loses_count_is_stopped() -> None:
    captioner("test.short", version=1)(lambda requests: ["one"])
    plugin = PluginCaptioner(PluginConfig(type="plugin", name="p", function="test.short"))
    with pytest.raises(RecipeError, match="gave 1 captions for 2 images"):
        list(plugin.caption([CaptionRequest("a"), CaptionRequest("b")]))


def test_an_outcome_is_a_caption_or_a_failure() -> None:
    with pytest.raises(ValueError, match="captions or a failure"):
        CaptionOutcome("a")


def test_the_tables_of_a_unit_say_who_and_what_it_took_once_an_image(tmp_path: Path) -> None:
    boxes = (Box("dog", (0, 0, 10, 10)),)
    failure = CaptionFailure("api", "rate", "HTTP 429")
    outcomes = [
        CaptionOutcome(
            "a", (Caption("A dog", "grounded", boxes), Caption("A cat", "short")), spent=Spent(2, 90, 9, 0.5)
        ),
        CaptionOutcome("b", failure=failure, spent=Spent(3)),
    ]
    who = TemplateCaptioner(TemplateConfig(type="template", name="t", template="{a}")).identity
    for place, table in enumerate(tables(who, outcomes)):
        pq.write_table(table, tmp_path / f"{place}.parquet")
    captions, failures = (pq.read_table(tmp_path / f"{place}.parquet").to_pylist() for place in (0, 1))
    assert [(row["id"], row["ordinal"], row["tokens_in"], row["cost"]) for row in captions] == [
        ("a", 0, 90, 0.5),
        ("a", 1, None, None),
    ]
    assert json.loads(captions[0]["data"]) == {"boxes": [{"label": "dog", "box": [0, 0, 10, 10]}]}
    (row,) = failures
    assert (row["failure_class"], row["failure_kind"], row["attempts"], row["tokens_in"]) == ("api", "rate", 3, None)
    assert row["fingerprint"] == who.fingerprint
    assert all(table.num_rows == 0 for table in tables(who, []))


def test_threads_share_a_pace() -> None:
    pace = Pace(1000)
    threads = [threading.Thread(target=pace.start, args=(10,)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert len(pace._sent) == 20
