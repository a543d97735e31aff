"""Writing report.html."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sluice.report.facts import RecipePart, Rule
from sluice.report.gather import gather
from sluice.report.page import render
from sluice.table.commit import write_bytes
from sluice.table.layout import Layout


def build(layout: Layout, recipe: RecipePart, rules: Iterable[tuple[str, str, str]]) -> Path:
    """Write the report of a run whose 01_filtered is done; equal runs give equal reports, but for what they took.

    `rules` are (name, SQL condition, effect: `rejected` or `held`), in the order of the recipe.
    """
    facts = gather(layout, recipe, [Rule(*rule) for rule in rules])
    write_bytes(layout.report, render(facts).encode("utf-8", "replace"))
    return layout.report
