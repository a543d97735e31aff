"""A run with its report, for the tests of this room."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from sluice.report import build
from sluice.run.conductor import run
from sluice.run.judging import rules_of
from sluice.run.ledger import Run
from sluice.run.recipe import load_recipe
from sluice.table.layout import Layout

HOSTILE = (
    "<script>document.title = 'taken over'</script>",
    "\"'><img src=x onerror=\"document.title='taken over'\">",
    "</script></style></title><!-- ]]> &lt;b&gt; \u202e reversed \x07",
)
FILTER = {
    "reject": {
        "blurry": "sharpness < 100",
        "tiny": "min_side < 96",
        "banner": "aspect > 3 OR aspect < 0.1",
        "short": "words < 4",
        "<b>bold</b>": "brightness < 40",
        "file_name": "file_name_like",
    },
    "hold": {"no_licence": "licence IS NULL"},
    "duplicates": {"boilerplate": 8, "near": {"hash": "phash", "distance": 8}},
}


@dataclass(frozen=True)
class Reported:
    """A run with its report."""

    run: Run
    rules: list[tuple[str, str, str]]

    @property
    def layout(self) -> Layout:
        return self.run.layout

    @property
    def html(self) -> str:
        return self.layout.report.read_text(encoding="utf-8")

    def build(self) -> str:
        return build(self.layout, self.run.recipe, self.rules).read_text(encoding="utf-8")


def report_of(folder: Path, recipe: dict[str, object]) -> Reported:
    """Carry out `recipe` in `folder` and report it."""
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump({"name": "world", "run": "run", "unit": 64, "engine": {"workers": 2}, **recipe}))
    opened = Run.open(run(load_recipe(path)))
    asked = [opened.recipe.filter, *([opened.recipe.quality] if opened.recipe.quality else [])]
    rules = [(rule.name, rule.when, rule.effect) for part in asked for rule in rules_of(part)]
    reported = Reported(opened, rules)
    reported.build()
    return reported
