"""The page of tokens and batches: its examples print what it shows, its table of rules is that of the code."""

from __future__ import annotations

import doctest
import re
from dataclasses import fields
from pathlib import Path

from sluice.load.image_tokens import RULES
from sluice.models.tokenizer import PATTERNS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "batching.md"


def test_the_examples_print_what_the_page_shows() -> None:
    failed, tried = doctest.testfile(str(PAGE), module_relative=False)
    assert tried and not failed


def test_the_page_names_every_rule_with_its_settings_and_every_pattern() -> None:
    text = PAGE.read_text(encoding="utf-8")
    named = dict(re.findall(r"^\| `\w+` \| `(\w+)` \| (.+?) \|", text, re.MULTILINE))
    settings = {name: re.findall(r"`(\w+)`", told) for name, told in named.items()}
    assert settings == {name: [field.name for field in fields(rule)] for name, rule in RULES.items()}
    assert all(f"`{name}`" in text for name in PATTERNS)
