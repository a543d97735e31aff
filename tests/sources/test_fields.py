"""What a field means by its name, and conversations in the forms that datasets use."""

from __future__ import annotations

from decimal import Decimal

import pytest

from sluice.sources.chat import turns
from sluice.sources.fields import Fields, Plans, texts_of, to_json
from sluice.sources.texts import Refused


def read(row: dict[str, object], **options: object):
    fields = Fields(list(row), **options)
    values = list(row.values())
    return fields.captions(values), fields.rights(values), fields.meta(values)


def test_rights_are_read_under_their_usual_names_and_the_rest_is_kept() -> None:
    captions, rights, meta = read(
        {
            "TEXT": "a kite",
            "License": "CC0",
            "license_url": "http://cc",
            "photographer": "Ann",
            "URL": "http://x",
            "date_fetched": "2024-01-01",
            "dataset": "mine",
            "alt": "kite",
        }
    )
    assert [item.text for item in captions] == ["a kite"]
    assert (rights.licence, rights.author, rights.source_url) == ("CC0", "Ann", "http://x")
    assert (rights.fetched, rights.dataset) == ("2024-01-01", "mine")
    assert meta == {"license_url": "http://cc", "alt": "kite"}


def test_each_caption_may_have_its_own_language() -> None:
    captions, _, _ = read({"captions": ["a dog", "ein Hund"], "languages": 1, "lang": ["en", "de"]})
    assert [item.language for item in captions] == ["en", "de"]
    unequal, _, _ = read({"captions": ["a dog", "ein Hund"], "lang": ["en"]})
    assert [item.language for item in unequal] == [None, None]
    number, _, _ = read({"caption": "a dog", "lang": 5})
    assert number[0].language == "5"


def test_captions_may_be_objects_numbers_or_nothing() -> None:
    assert texts_of([{"raw": "a", "tokens": []}, {"caption": ["b"]}, {"id": 1}, None, "", 5]) == ["a", "b", "5"]
    assert read({"caption": None, "n": 1})[0] == []
    assert read({"n": 1})[0] == []


def test_values_become_json() -> None:
    assert to_json(Decimal("1.5")) == "1.5"
    assert to_json({1: float("inf")}) == {"1": None}


def test_plans_are_forgotten_before_they_fill_the_memory() -> None:
    plans = Plans()
    first = plans.of(("caption",))
    assert plans.of(("caption",)) is first
    for number in range(2000):
        plans.of((f"x{number}",))
    assert len(plans._known) <= 1024
    assert plans.of(("caption",)).has_captions


def test_chat_templates_and_pairs_are_turns() -> None:
    parts = [{"type": "image"}, {"type": "text", "text": "what?"}, "really"]
    said, images = turns([{"role": "user", "content": parts}, {"role": "assistant", "content": "kite"}], "a")
    assert [(item.role, item.text) for item in said] == [("human", "<image>\nwhat?\nreally"), ("gpt", "kite")]
    assert images == 1
    pair, images = turns([{"user": "q", "assistant": "a", "source": "s"}], "a")
    assert ([(item.role, item.text) for item in pair], images) == ([("human", "q"), ("gpt", "a")], 0)
    with pytest.raises(Refused, match="expected a part of type text or image"):
        turns([{"role": "user", "content": [{"type": "audio"}]}], "a")
