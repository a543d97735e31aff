"""What holds for every type of source: its words are checked, and its samples can be written to a table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest
from pydantic import TypeAdapter, ValidationError

from sluice.sources import SourceConfig
from sluice.sources.open import _OPENERS

CONFIG = TypeAdapter[SourceConfig](SourceConfig)
MODELS = get_args(get_args(SourceConfig)[0])


def test_every_type_can_be_opened_and_every_option_is_described() -> None:
    assert set(MODELS) == set(_OPENERS)
    for model in MODELS:
        assert model.__doc__
        for name, option in model.model_fields.items():
            assert name == "type" or option.description, (model, name)


@pytest.mark.parametrize(
    "words",
    [
        {"type": "folder"},
        {"type": "folder", "path": "x", "captoins": "y"},
        {"type": "floder", "path": "x"},
        {"type": "coco", "path": "x"},
        {"path": "x"},
        {"type": "table", "path": "x", "unlisted": "drop"},
    ],
)
def test_words_that_mean_nothing_are_refused(words: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        CONFIG.validate_python(words)


def test_the_name_is_the_recipe_s_or_the_path_s(tmp_path: Path, source) -> None:
    assert source("folder", "data/photos/").name == "photos"
    assert source("folder", "data/photos/", name="mine").name == "mine"
    assert source("webdataset", "data/laion/{000..127}.tar").name == "laion"


def test_a_sample_with_too_many_items_fails(tmp_path: Path, samples, image) -> None:
    (tmp_path / "a.jpg").write_bytes(image(1))
    (tmp_path / "t.jsonl").write_text(json.dumps({"path": "a.jpg", "captions": ["x"] * 40_000}))
    sample = samples("table", "t.jsonl")["a.jpg"]
    assert sample.failure == ("too_large", "a.jpg: 40,001 items, the limit is 32,767")


@pytest.mark.parametrize("field", ["license", "caption", "url"])
def test_text_that_is_no_unicode_fails_its_sample(tmp_path: Path, samples, image, field: str) -> None:
    (tmp_path / "a.jpg").write_bytes(image(1))
    (tmp_path / "a.json").write_text(f'{{"{field}": "x\\ud800"}}')
    sample = samples("folder", ".")["a.jpg"]
    assert sample.failure is not None and sample.failure[0] == "decode"
    assert "not valid Unicode" in sample.failure[1]


def test_every_text_may_be_in_the_language_that_the_recipe_says(tmp_path: Path, samples, image) -> None:
    (tmp_path / "a.jpg").write_bytes(image(1))
    (tmp_path / "a.txt").write_text("ein Drache")
    sample = samples("folder", ".", language="de", dataset="d")["a.jpg"]
    assert [item.language for item in sample.items] == [None, "de"]
    assert (sample.rights.dataset, sample.rights.licence) == ("d", None)
