"""`retry`: forget the failures of a class, so that the next run tries them again; nothing else is done anew.

A URL is fetched again by itself, a measure is taken again on the whole unit that holds such a failure, a captioner asks
again only for what failed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from sluice.errors import FAILURE_CLASSES, RunError
from sluice.run.fetching import forget_fetched
from sluice.run.holding import working_in
from sluice.run.ledger import Run
from sluice.run.stage import reopen
from sluice.table.compute import pc
from sluice.table.layout import BOXES, CAPTIONED, CHECKED, FILTERED, FINAL, RAW, Layout
from sluice.table.read import read_table
from sluice.wording import counted


@dataclass(frozen=True)
class Retry:
    """What will be tried again."""

    failure_class: str
    failures: dict[str, int]  # by stage

    @property
    def anything(self) -> bool:
        """Whether there was a failure of this class."""
        return bool(sum(self.failures.values()))

    def __str__(self) -> str:
        if not self.anything:
            return f"no failure of the class {self.failure_class!r} that can be tried again"
        return "\n".join(
            f"{stage}: {counted(count, 'failure')} of the class {self.failure_class!r} to be tried again"
            for stage, count in self.failures.items()
            if count
        )


def forget(run: Run, failure_class: str) -> Retry:
    """Forget the failures of a class in measures, vectors and captions; RunError for a class that there is not."""
    if failure_class not in FAILURE_CLASSES:
        raise RunError(f"there is no failure class {failure_class!r} (there are: {', '.join(FAILURE_CLASSES)})")
    layout = run.layout
    failures: dict[str, int] = {}
    with working_in(layout):
        failures[RAW] = forget_fetched(layout, failure_class)
        failures[FILTERED] = _forget_measured(layout, FILTERED, failure_class)
        failures[CAPTIONED] = _forget_said(layout, failure_class)
        failures[CHECKED] = _forget_measured(layout, CHECKED, failure_class)
        failures[FINAL] = _forget_found(layout, failure_class)
        for stage in (RAW, FILTERED, CAPTIONED, CHECKED, FINAL):
            if failures[stage]:
                reopen(layout, stage)
    return Retry(failure_class, failures)


def _forget_measured(layout: Layout, stage: str, failure_class: str) -> int:
    """Remove the tables of measures that hold such a failure; how many there were."""
    found = sum(_forget_one(path, failure_class) for path in sorted(layout.measures(stage).glob("*/unit-*.parquet")))
    if found:
        layout.rows_of(stage).unlink(missing_ok=True)  # it names what it was made from, not what that said
    return found


def _forget_found(layout: Layout, failure_class: str) -> int:
    """Remove the boxes of units in which a detector failed so; how often it did."""
    return sum(_forget_one(path, failure_class) for path in sorted((layout.root / BOXES).glob("*/unit-*.parquet")))


def _forget_one(path: Path, failure_class: str) -> int:
    """Remove the table at `path` if it holds such a failure; how many it holds."""
    errors = read_table(path, ["error"]).column("error")
    count: int = pc.sum(pc.starts_with(errors, f"{failure_class}: ")).as_py() or 0
    if count:
        path.unlink()
    return count


def _forget_said(layout: Layout, failure_class: str) -> int:
    """Remove the captions of units in which a captioner failed so; good answers stay where answers are cached."""
    found = 0
    for path in sorted((layout.root / CAPTIONED / "captions").glob("*/unit-*.parquet")):
        if "failure_class" not in pq.read_schema(path).names:
            continue
        classes = read_table(path, ["failure_class"]).column("failure_class")
        count: int = pc.sum(pc.equal(classes, failure_class)).as_py() or 0
        if count:
            (layout.root / CAPTIONED / "items" / path.name).unlink(missing_ok=True)
            found += count
    return found
