"""Compliance, of what is covered in images: how many were written anew, and who said where."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sluice.run.gate.check import Check, limited, shown
from sluice.run.verifying import redaction_problems
from sluice.table.read import read_table
from sluice.wording import counted

if TYPE_CHECKING:
    from sluice.run.ledger import Run


def redaction_checks(run: Run, heading: str) -> Iterator[Check]:
    """A line where the recipe has a `redact`: a packed image with boxes that was not covered is a no-go."""
    config = run.recipe.redact
    if config is None:
        return
    problems = list(redaction_problems(run.layout))
    if problems:
        how = f"`sluice run` packs it again; `sluice verify {run.layout.named}` lists all"
        yield limited(heading, "redaction", problems[0], "all", fine=False, how=how, details=problems[:20])
        return
    samples = len(set(read_table(run.layout.redactions, ["id"]).column("id").to_pylist()))
    value = f"{counted(samples, 'sample')} with covered images ({config.boxes.type})"
    yield shown(heading, "redaction", value, {"samples": samples, "boxes": config.boxes.model_dump(mode="json")})
