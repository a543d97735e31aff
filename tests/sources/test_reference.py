"""The page about sources says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from pydantic import TypeAdapter

from sluice.sources import SourceConfig
from sluice.sources.reference import fetch_options, markdown

PAGE = Path(__file__).parents[2] / "docs" / "sources.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == markdown(), "write sluice.sources.reference.markdown() to docs/sources.md"


def test_the_options_of_fetching_are_on_their_page() -> None:
    assert fetch_options() in PAGE.with_name("web.md").read_text(), "write fetch_options() into docs/web.md"


def test_every_recipe_on_the_page_is_valid() -> None:
    recipes = re.findall(r"```yaml\n(.*?)```", markdown(), re.DOTALL)
    assert len(recipes) == 10
    for recipe in recipes:
        TypeAdapter[list[SourceConfig]](list[SourceConfig]).validate_python(yaml.safe_load(recipe)["sources"])
