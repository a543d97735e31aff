"""Writing the report of a run: the recipe's part of it, handed to the room that draws it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sluice.run.judging import filter_rules, rules_of
from sluice.run.recipe import RecipeFile
from sluice.table.commit import write_bytes
from sluice.table.ids import fingerprint
from sluice.table.layout import FILTERED, STAGES, Layout

if TYPE_CHECKING:
    from sluice.run.ledger import Run


def write_report(run: Run) -> Path:
    """Write `report.html` of a run that has decided."""
    run.require(FILTERED)
    return report_of(run.file, run.layout)


def refresh_report(file: RecipeFile, layout: Layout) -> bool:
    """Bring `report.html` up to date with the stages; whether there was anything to do."""
    stages = [layout.stage_file(stage) for stage in STAGES]
    shown = fingerprint("report/2", *(path.read_text() if path.is_file() else "" for path in stages))
    mark = layout.state / "report"
    if layout.report.is_file() and mark.is_file() and mark.read_text() == shown:
        return False
    report_of(file, layout)
    write_bytes(mark, shown.encode())
    return True


def report_of(file: RecipeFile, layout: Layout) -> Path:
    """Write `report.html` for what `layout` holds."""
    from sluice.report import build

    of_quality = rules_of(file.recipe.quality) if file.recipe.quality else []
    rules = [(rule.name, rule.when, rule.effect) for rule in (*of_quality, *filter_rules(file.recipe.filter))]
    return build(layout, file.recipe, rules)
