"""What the stages say of themselves, and what follows for the funnel, the reasons and the failures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from sluice.media.limits import Limits
from sluice.report.tables import Tables
from sluice.table.layout import CAPTIONED, CHECKED, FILTERED, FINAL, RAW, STAGES, Layout

_DUPLICATES: Final = ("duplicate_bytes", "near_duplicate")
_FAILURES: Final = 24  # kinds of failure that are listed
CORPUS_RULES: Final = {
    "near_duplicate": "an image that another one, kept, nearly equals",
    "duplicate_bytes": "an image whose bytes equal a kept one's",
    "duplicate_caption": "a caption that repeats an earlier one of its sample",
    "boilerplate_caption": "a caption that stands on too many images",
    "contaminated": "an image that matches one of a reference set",
    "near_duplicate_text": "a text that shares most of its n-grams with a kept one",
    "semantic_duplicate": "a sample whose vector nearly equals a kept one's",
    "opted_out": "a sample that an opt-out list names",
    "captions_worse": "captions of a captioner that made a unit's captions fit worse",
    "not_best": "a caption that fits, beside one that fits better",
}


class LimitsPart(Protocol):
    """The limits of a recipe."""

    def limits(self) -> Limits:
        """As `media` takes them."""
        ...


class NearPart(Protocol):
    """What a recipe says of near-duplicates."""

    @property
    def distance(self) -> int: ...


class DuplicatesPart(Protocol):
    """What a recipe says of duplicates."""

    @property
    def near(self) -> NearPart | None: ...


class FilterPart(Protocol):
    """What a recipe says of filtering, beside its rules."""

    @property
    def duplicates(self) -> DuplicatesPart: ...


class RecipePart(Protocol):
    """What the report reads of a recipe; `sluice.run.recipe.Recipe` has all of it."""

    @property
    def name(self) -> str: ...
    @property
    def seed(self) -> int: ...
    @property
    def limits(self) -> LimitsPart: ...
    @property
    def filter(self) -> FilterPart: ...


def near_distance(recipe: RecipePart) -> int | None:
    """Bits within which images are near-duplicates; None where the recipe does not look for them."""
    near = recipe.filter.duplicates.near
    return near.distance if near else None


@dataclass(frozen=True)
class Rule:
    """A rule of the recipe as it ran."""

    name: str
    sql: str
    effect: str  # rejected | held


@dataclass(frozen=True)
class Reason:
    """Why samples are not in the dataset: a rule, a corpus step or a class of failures."""

    name: str
    effect: str  # rejected | held | failed
    samples: int
    alone: int | None  # excluded by nothing else; None where that is not known
    sql: str | None
    words: str | None  # what it means, where there is no SQL
    stage: str = FILTERED  # which heard it


@dataclass(frozen=True)
class Failure:
    """Failures of one class whose messages differ in numbers only."""

    stage: str
    name: str
    message: str
    count: int
    id: str  # one of them


@dataclass(frozen=True)
class Step:
    """A step of the funnel: how many samples are left after it, and what took the others."""

    name: str
    left: int
    lost: int
    taken_by: str


@dataclass(frozen=True)
class Stages:
    """`stage.json` and `seconds.json` of the stages that are done."""

    records: Mapping[str, Mapping[str, Any]]
    seconds: Mapping[str, Mapping[str, float]]

    @staticmethod
    def read(layout: Layout) -> Stages:
        """Read them; a stage that is not done has none."""
        records = {stage: _json(layout.stage_file(stage)) for stage in STAGES}
        return Stages(
            {stage: record for stage, record in records.items() if record},
            {stage: _json(layout.seconds_file(stage)) for stage in STAGES if records[stage]},
        )

    def count(self, stage: str, name: str) -> int:
        """A count of a stage; 0 where it says nothing."""
        return int(self.records.get(stage, {}).get(name, 0))


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def funnel(tables: Tables, stages: Stages) -> tuple[Step, ...]:
    """From what came in to what was packed; each sample is lost at the first step that its verdict names."""
    rejected, held, failed = (int(np.count_nonzero(tables.verdicts == code)) for code in (1, 2, 3))
    repeated: int = tables.rows(
        "SELECT count(DISTINCT ordinal) FROM spoke WHERE verdict = 1 AND rule IN (SELECT unnest(?::VARCHAR[]))",
        list(_DUPLICATES),
    )[0][0]
    entered = stages.count(RAW, "in")
    steps = [Step("came in", entered, 0, "")]

    def after(name: str, count: int, taken_by: str) -> None:
        steps.append(Step(name, steps[-1].left - count, count, taken_by))

    after("readable", entered - stages.count(RAW, "kept"), "not a whole sample in its source")
    after("measured", failed, "failed while measured")
    after("passed the rules", rejected - repeated, "rejected by a rule")
    after("not a repeat", repeated, "duplicate of a kept sample")
    after("not held", held, "held for a review")
    if CAPTIONED in stages.records:
        lost = stages.count(CAPTIONED, "in") - stages.count(CAPTIONED, "kept") - stages.count(CAPTIONED, "taken_up")
        after("captioned", lost, "not worth a caption, or no captioner gave one")
    if CHECKED in stages.records:
        lost = stages.count(CHECKED, "in") - stages.count(CHECKED, "kept")
        after("text fits image", lost, "a rule of 03_quality_checked")
    if FINAL in stages.records:
        lost = steps[-1].left - stages.count(FINAL, "kept")
        after("packed", lost, "not drawn, taken down, or gone from its source")
    return tuple(steps)


def reasons(tables: Tables, stages: Stages, rules: Sequence[Rule]) -> tuple[Reason, ...]:
    """Every reason that spoke, most samples first; rules that were silent come last."""
    said = {
        name: (stage, counts)
        for stage in (CHECKED, CAPTIONED, FILTERED)  # of two rules of one name the filter's
        for name, counts in stages.records.get(stage, {}).get("rules", {}).items()
    }
    by_name = {rule.name: rule for rule in rules}
    found: list[Reason] = []
    for name, (stage, counts) in said.items():
        rule = by_name.get(name)
        effect = rule.effect if rule else "rejected"
        words = CORPUS_RULES.get(name) if rule is None else None
        found.append(Reason(name, effect, counts["samples"], counts["alone"], rule.sql if rule else None, words, stage))
    failed = tables.rows("SELECT rule, count(DISTINCT ordinal) FROM spoke WHERE effect = 0 GROUP BY rule")
    found += [Reason(name, "failed", n, None, None, f"failure of the class {name!r}") for name, n in failed]
    return tuple(sorted(found, key=lambda reason: (-reason.samples, reason.name)))


def failures(tables: Tables, stages: Stages) -> tuple[Failure, ...]:
    """Failures of all stages by class and message, most frequent first."""
    found: list[Failure] = []
    for stage in stages.records:
        listed = tables.layout.failures(stage)
        if listed.is_file():
            source = "SELECT id, class AS name, message FROM read_parquet(?)"
        else:
            listed = tables.layout.verdicts(stage)
            source = (
                "SELECT id, r.rule AS name, json_extract_string(r.values, '$.message') AS message "
                "FROM (SELECT id, unnest(reasons) AS r FROM read_parquet(?) WHERE verdict = 'failed')"
            )
        rows = tables.rows(
            rf"""SELECT name, regexp_replace(regexp_replace(message, '(/[^\s:]+)+', '…', 'g'), '\d[\d,.]*', 'N', 'g')
                          AS kind, count(*) AS n, min(id), min(message)
            FROM ({source}) GROUP BY name, kind ORDER BY n DESC, name, kind LIMIT {_FAILURES}""",
            str(listed),
        )
        found += [
            Failure(stage, name, (first if count == 1 else kind) or "", count, identity)
            for name, kind, count, identity, first in rows
        ]
    return tuple(sorted(found, key=lambda failure: -failure.count)[:_FAILURES])
