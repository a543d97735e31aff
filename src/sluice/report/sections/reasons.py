"""Why samples are not in the dataset: each reason with its counts and samples to look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sluice.report.clusters import Cluster
from sluice.report.examples import Examples, Pick
from sluice.report.facts import Reason
from sluice.report.gather import Facts
from sluice.report.html import Html, table, tag
from sluice.report.parts import Page, as_table, chip, percent, plural, section, strip, tile
from sluice.report.plots import Series, bars_plot, columns_plot
from sluice.report.thumbs import Picture
from sluice.report.tiles import Tile

_OPEN: Final = 4  # reasons unfolded from the start
_LISTED: Final = 60
_PLOTTED: Final = 24


def reasons_section(facts: Facts, page: Page) -> Html:
    """All reasons in a plot and a table, then one by one with examples."""
    entered = facts.counts["in"]
    spoke = [reason for reason in facts.reasons if reason.samples]
    silent = [reason.name for reason in facts.reasons if not reason.samples]
    if not spoke:
        return section("reasons", "Reasons", "No rule took anything out.")
    plotted = spoke[:_PLOTTED]
    plot = bars_plot(
        [reason.name for reason in plotted],
        [
            Series("this reason alone", "plain", tuple(_alone(reason) for reason in plotted)),
            Series("with others", "quiet", tuple(reason.samples - _alone(reason) for reason in plotted)),
        ],
        ends=[f"{reason.samples:,}  {percent(reason.samples, entered)}" for reason in plotted],
    )
    label = "Samples by reason: " + ", ".join(f"{reason.name} {reason.samples:,}" for reason in plotted[:8])
    return section(
        "reasons",
        "Reasons",
        "A sample may have several. What a reason takes out alone is what would come back without it.",
        page.chart(plot, label, height=30 * len(plotted) + 56),
        as_table(_table(spoke[:_LISTED], entered)),
        tag("p", f"Silent: {', '.join(silent[:_LISTED])}.", class_="aside") if silent else None,
        [_reason(reason, facts, entered, place < _OPEN) for place, reason in enumerate(spoke[:_LISTED])],
    )


def _alone(reason: Reason) -> int:
    return reason.samples if reason.alone is None else reason.alone


def _table(reasons: Sequence[Reason], entered: int) -> Html:
    rows = [
        [
            reason.name,
            chip(reason.effect),
            f"{reason.samples:,}",
            percent(reason.samples, entered),
            "" if reason.alone is None else f"{reason.alone:,}",
            tag("code", reason.sql[:400]) if reason.sql else reason.words,
        ]
        for reason in reasons
    ]
    head = ["Reason", "Effect", "Samples", "Share", "Alone", "When"]
    return table(head, rows, caption="Reasons", numbers=(2, 3, 4), quiet=True)


def _reason(reason: Reason, facts: Facts, entered: int, unfolded: bool) -> Html | None:
    examples = facts.examples.get(reason.name)
    if examples is None:
        return None
    counts = [tag("b", f"{reason.samples:,}"), f" {percent(reason.samples, entered)}"]
    if reason.alone is not None:
        counts.append(f" · {reason.alone:,} alone")
    typical = "a seeded draw" if examples.drawn else "around the median of what it took out"
    return tag(
        "details",
        tag(
            "summary",
            tag("h3", reason.name),
            chip(reason.effect),
            tag("span", counts, class_="counts"),
            tag("code", reason.sql[:400], class_="sql") if reason.sql else tag("span", reason.words, class_="sql"),
        ),
        tag(
            "div",
            strip("Examples" if examples.drawn else "Typical", typical, _tiles(examples.typical, reason, facts)),
            strip("Borderline", "nearest to the threshold", _tiles(examples.borderline, reason, facts)),
            strip("Just passed", "kept, nearest to the threshold", _tiles(examples.passed, reason, facts)),
            class_=f"strips of-{_groups(examples)}",
        ),
        class_="reason",
        open=unfolded,
    )


def _groups(examples: Examples) -> int:
    return sum(1 for group in (examples.typical, examples.borderline, examples.passed) if group)


def _tiles(picks: Sequence[Pick], reason: Reason, facts: Facts) -> list[Html]:
    return [
        tile(facts.tiles[pick], f"passed {reason.name}" if pick.kept else f"{reason.effect}: {reason.name}")
        for pick in picks
        if pick in facts.tiles
    ]


def duplicates_section(facts: Facts, page: Page) -> Html | None:
    """Clusters side by side, the kept one marked."""
    found = facts.clusters
    if not found.count:
        return None
    plot: Html | None = None
    if len(found.distances) > 1:
        plot = _distances(found.distances, facts.near, page)
    lead = (
        f"{plural(found.members, 'sample')} {'repeats' if found.members == 1 else 'repeat'} another in "
        f"{plural(found.count, 'cluster')}; the largest has {found.largest:,} members. "
        "Shown are the largest clusters and those whose farthest member is farthest from the one kept."
    )
    shown = [
        tag(
            "li",
            tag(
                "p",
                tag("b", plural(cluster.size, "member")),
                f" · {_apart(cluster)}",
                class_="aside",
            ),
            tag(
                "div",
                [_member(facts.tiles[pick]) for pick in (cluster.keeper, *cluster.others) if pick in facts.tiles],
                class_="tiles",
            ),
            class_="wide" if len(cluster.others) > 2 else None,
        )
        for cluster in found.shown
    ]
    return section("duplicates", "Duplicates", lead, plot, tag("ol", shown, class_="clusters"))


def _distances(distances: Sequence[tuple[int, int]], most: int | None, page: Page) -> Html:
    """How far near-duplicates are from the one kept, up to the distance that the recipe allows."""
    counts = dict(distances)
    names = [str(bits) for bits in range(max(*counts, most or 0) + 1)]
    values = tuple(counts.get(bits, 0) for bits in range(len(names)))
    label = "Bits between a near-duplicate and the one kept: " + ", ".join(
        f"{bits} bits {count:,}" for bits, count in distances if count
    )
    limit = None if most is None else (most, f"near ≤ {most}")
    plot = columns_plot(names, [Series("near-duplicates", "plain", values)], limit=limit)
    chart = page.chart(plot, label if most is None else f"{label}; threshold {most}", height=200)
    rows = [[name, f"{count:,}"] for name, count in zip(names, values, strict=True)]
    listed = table(["Bits", "Duplicates"], rows, caption="Distance to the kept one", numbers=(0, 1))
    said = tag("small", f"the recipe takes what is within {plural(limit[0], 'bit')}") if limit else None
    return tag("div", tag("h3", "Bits between a near-duplicate and the one kept", said), chart, as_table(listed))


def _apart(cluster: Cluster) -> str:
    if not cluster.farthest:
        return "equal in bytes or hash"
    bits = plural(cluster.farthest, "bit")
    return f"{bits} apart" if cluster.size == 2 else f"the farthest {bits} from the one kept"


def _member(shown: Tile) -> Html:
    """A member of a cluster: its distance to the one kept, and its size, which often says why that one is."""
    picture = shown.picture
    size = None
    if isinstance(picture, Picture):
        size = tag("small", f"{picture.full_width:,} × {picture.full_height:,}".replace(" ", "\N{NO-BREAK SPACE}"))
    heading = [shown.label or ("the one kept" if shown.kept else None), size]
    return tile(shown, "kept" if shown.kept else "duplicate", mark="kept" if shown.kept else None, heading=heading)
