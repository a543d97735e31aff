"""Everything the page shows, gathered from the tables before a line of it is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Final

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
from sluice.table.layout import RAW, Layout

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
        lines = tuple(_lines(tables, rules))
        found = clusters(tables, recipe.seed, _CLUSTERED)
        why = reasons(tables, stages, rules)
        spoke = [reason for reason in why if reason.samples][:_ILLUSTRATED]
        look = kept_examples(tables, recipe.seed, _LOOK)
        room = PICTURES - len(look) - sum(1 + len(cluster.others) for cluster in found.shown)
        each = next((each for each in (4, 2) if 3 * each * len(spoke) <= room), 1)
        examples = {
            reason.name: choose(
                tables, reason.name, [line for line in lines if line.rule == reason.name], recipe.seed, each
            )
            for reason in spoke
        }
        first, more = _distributions(tables, lines)
        return Facts(
            recipe.name,
            layout.root.resolve().name,
            stages,
            _counts(stages),
            funnel(tables, stages),
            why,
            examples,
            look,
            tiles(tables, (*look, *_picks(examples, found)), limits, painter),
            tuple(rules),
            lines,
            first,
            more,
            found,
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


def _picks(examples: Mapping[str, Examples], found: Clusters) -> Iterator[Pick]:
    for cluster in found.shown:
        yield cluster.keeper
        yield from cluster.others
    for group in examples.values():
        yield from (*group.typical, *group.borderline, *group.passed)


def _distributions(tables: Tables, lines: Sequence[Threshold]) -> tuple[tuple[Histogram, ...], tuple[Histogram, ...]]:
    columns = {column.name: column for column in tables.columns}
    first, more = shown_columns(list(columns), {line.column for line in lines})
    found = [
        tuple(data for shown in part if (data := histogram(tables, columns[shown.name], shown, lines)) is not None)
        for part in (first, more)
    ]
    return found[0], found[1]
