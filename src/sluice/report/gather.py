"""Everything the page shows, gathered from the tables before a line of it is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Final

from sluice.report.alike import AlikeClusters, alike
from sluice.report.clusters import Clusters, clusters
from sluice.report.columns import shown_columns
from sluice.report.composition import Share, shares, size_buckets
from sluice.report.examples import Examples, Pick, choose, kept_examples
from sluice.report.facts import (
    Failure,
    Reason,
    RecipePart,
    Rule,
    Stages,
    Step,
    failures,
    funnel,
    near_distance,
    reasons,
)
from sluice.report.histograms import Histogram, histogram
from sluice.report.spent import Spent, spent
from sluice.report.tables import Tables, open_tables
from sluice.report.thresholds import Threshold, thresholds
from sluice.report.thumbs import easel
from sluice.report.tiles import Tile, tiles
from sluice.table.layout import CAPTIONED, CHECKED, FILTERED, RAW, Layout

PICTURES: Final = 150  # in the whole report
_CLUSTERED: Final = 36  # of them, at most, for duplicate clusters
_LOOK: Final = 8  # kept samples shown first
_ILLUSTRATED: Final = 36  # reasons with pictures


@dataclass(frozen=True)
class Facts:
    """The whole report as values."""

    name: str
    run: str  # name of the run folder
    stages: Stages
    counts: Mapping[str, int]  # samples by their latest verdict; `in` is all that came in
    funnel: tuple[Step, ...]
    reasons: tuple[Reason, ...]
    examples: Mapping[str, Examples]
    look: tuple[Pick, ...]  # a draw of what is kept
    tiles: Mapping[Pick, Tile]
    rules: tuple[Rule, ...]
    thresholds: tuple[Threshold, ...]
    first: tuple[Histogram, ...]
    more: tuple[Histogram, ...]
    clusters: Clusters
    alike: tuple[AlikeClusters, ...]
    sizes: tuple[Share, ...]
    languages: tuple[Share, ...]
    licences: tuple[Share, ...]
    sources: tuple[Share, ...]
    formats: tuple[Share, ...]
    failures: tuple[Failure, ...]
    spent: Spent
    source_bytes: int  # of the images, where their sources or the measurements say
    near: int | None  # bits within which images count as near-duplicates


def gather(layout: Layout, recipe: RecipePart, rules: Sequence[Rule]) -> Facts:
    """Read a run whose 01_filtered is done."""
    limits = recipe.limits.limits()
    stages = Stages.read(layout)
    own = easel(limits) if stages.count(RAW, "images") else nullcontext()
    with open_tables(layout) as tables, own as painter:
        found = clusters(tables, recipe.seed, _CLUSTERED)
        why = reasons(tables, stages, rules)
        spoke = [reason for reason in why if reason.samples][:_ILLUSTRATED]
        look = kept_examples(tables, recipe.seed, _LOOK)
        room = PICTURES - len(look) - sum(1 + len(cluster.others) for cluster in found.shown)
        each = next((each for each in (4, 2) if 3 * each * len(spoke) <= room), 1)
        own_reasons = [reason.name for reason in spoke if reason.stage == FILTERED]
        parts = [_part(tables, rules, own_reasons, recipe.seed, each, set())]
        pictured = tiles(tables, (*look, *parts[0].picks, *_members(found)), limits, painter)
        known = {column.name for column in tables.columns}
        for stage in (CHECKED, CAPTIONED):  # the last one shows the columns that are new
            if layout.verdicts(stage).is_file() and layout.rows_of(stage).is_file():
                with open_tables(layout, stage) as later:
                    heard = [reason.name for reason in spoke if reason.stage == stage]
                    parts.append(_part(later, rules, heard, recipe.seed, each, known))
                    pictured |= tiles(later, parts[-1].picks, limits, painter)
                    known |= {column.name for column in later.columns}
        return Facts(
            recipe.name,
            layout.root.resolve().name,
            stages,
            _counts(stages),
            funnel(tables, stages),
            why,
            {name: examples for part in parts for name, examples in part.examples.items()},
            look,
            pictured,
            tuple(rules),
            tuple(dict.fromkeys(line for part in parts for line in part.lines)),
            tuple(shown for part in reversed(parts) for shown in part.first),
            tuple(shown for part in reversed(parts) for shown in part.more),
            found,
            alike(tables, stages),
            size_buckets(tables),
            shares(tables, "language", "text") or shares(tables, "declared_language", "text"),
            shares(tables, "spdx", "sample") or shares(tables, "licence", "sample"),
            shares(tables, "source", "sample"),
            shares(tables, "format", "image"),
            failures(tables, stages),
            spent(layout, stages),
            max(stages.count(RAW, "bytes"), _measured_bytes(tables)),
            near_distance(recipe),
        )


def _lines(tables: Tables, rules: Sequence[Rule]) -> Iterator[Threshold]:
    """The thresholds on measured columns, which rules may name in any letter case."""
    names = {column.name.lower(): column.name for column in tables.columns}
    for rule in rules:
        for line in thresholds(rule.name, rule.sql):
            if line.column.lower() in names:
                yield replace(line, column=names[line.column.lower()])


def _counts(stages: Stages) -> dict[str, int]:
    """Samples by the verdict of the last stage they reached."""
    done = list(stages.records)
    counts = {kind: sum(stages.count(stage, kind) for stage in done) for kind in ("rejected", "held", "failed")}
    return {"in": stages.count(done[0], "in"), "kept": stages.count(done[-1], "kept"), **counts}


def _measured_bytes(tables: Tables) -> int:
    """Bytes of the images by their measured column: sources of tables do not say how large their images are."""
    column = next((column for column in tables.columns if column.name == "bytes" and column.grain == "image"), None)
    return int(sum(values.sum() for values, _ in tables.values(column))) if column else 0


def _members(found: Clusters) -> Iterator[Pick]:
    for cluster in found.shown:
        yield cluster.keeper
        yield from cluster.others


@dataclass(frozen=True)
class _Part:
    """What one stage has to show of its own."""

    lines: tuple[Threshold, ...]
    examples: Mapping[str, Examples]  # by reason
    first: tuple[Histogram, ...]
    more: tuple[Histogram, ...]

    @property
    def picks(self) -> Iterator[Pick]:
        for group in self.examples.values():
            yield from (*group.typical, *group.borderline, *group.passed)


def _part(tables: Tables, rules: Sequence[Rule], heard: Sequence[str], seed: int, each: int, known: Set[str]) -> _Part:
    """The examples of the reasons `heard` in a stage, and the distributions of its columns that are not `known`."""
    lines = tuple(_lines(tables, rules))
    examples = {name: choose(tables, name, [line for line in lines if line.rule == name], seed, each) for name in heard}
    columns = {column.name: column for column in tables.columns if column.name not in known}
    first, more = (
        tuple(data for shown in some if (data := histogram(tables, columns[shown.name], shown, lines)) is not None)
        for some in shown_columns(list(columns), {line.column for line in lines})
    )
    return _Part(lines, examples, first, more)
