"""The page of augmentation: its examples print what it shows, its table is that of the steps."""

from __future__ import annotations

import doctest
import re
from pathlib import Path
from typing import get_args

from sluice.load.augment.steps import Step

PAGE = Path(__file__).resolve().parents[2] / "docs" / "augmentation.md"


def test_the_examples_print_what_the_page_shows() -> None:
    failed, tried = doctest.testfile(str(PAGE), module_relative=False)
    assert tried and not failed


def test_the_page_names_every_step_with_its_settings() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (yes|no) \| (.+?) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    named = {name: (draws == "yes", set(re.findall(r"`(\w+)`(?!\))", told))) for name, draws, told in rows}
    steps = get_args(get_args(Step)[0])
    assert named == {
        step.model_fields["type"].default: (step.drawn, step.model_fields.keys() - {"type"}) for step in steps
    }
