"""The page of captioning: its options are today's, its examples are accepted, its code prints what is shown."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, TypeAdapter

from sluice.caption import CaptionerConfig, reference
from sluice.caption.translate_config import TranslatorConfig
from sluice.run.recipe import Recipe

PAGE = Path(__file__).parents[2] / "docs" / "captioning.md"


def test_the_committed_page_holds_the_current_options(tmp_path: Path) -> None:
    copy = tmp_path / "page.md"
    copy.write_text(PAGE.read_text("utf-8"), "utf-8")
    reference.write(copy)
    current = copy.read_text("utf-8") == PAGE.read_text("utf-8")
    assert current, "run: python -m sluice.caption.reference docs/captioning.md"


def test_every_example_is_accepted_and_every_type_has_one() -> None:
    captioners: TypeAdapter[BaseModel] = TypeAdapter(CaptionerConfig)
    translators: TypeAdapter[BaseModel] = TypeAdapter(TranslatorConfig)
    before, _, after = PAGE.read_text("utf-8").partition("## Variations")
    for text, known, types in (
        (before, captioners, {"chat", "transformers", "template", "plugin"}),
        (after, translators, {"chat", "transformers", "ctranslate2"}),
    ):
        blocks = re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        examples = [yaml.safe_load(block) for block in blocks]
        alone = [example for example in examples if "type" in example]  # others are a part of a recipe
        assert {known.validate_python(example).model_dump()["type"] for example in alone} == types


def test_the_example_of_a_recipe_is_one() -> None:
    (part,) = [
        example
        for block in re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
        if "captions" in (example := yaml.safe_load(block))
    ]
    Recipe.model_validate({"name": "x", "sources": [{"type": "folder", "path": "images"}], **part})


def test_the_code_of_the_page_prints_what_it_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    told: dict[str, Any] = {}
    blocks = re.findall(
        r"^```python\n(.*?)^```\n\n```text\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    assert len(blocks) == 6
    for code, shown in blocks:
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec(code, told)
        assert said.getvalue() == shown
