"""What the corpus is made of: sizes, captions, languages, licences, sources, formats."""

from __future__ import annotations

from collections.abc import Sequence

from sluice.report.composition import Share
from sluice.report.examples import figure
from sluice.report.gather import Facts
from sluice.report.html import Html, table, tag
from sluice.report.parts import ROLES, Page, as_table, percent, plural, section, stats
from sluice.report.plots import Series, bars_plot
from sluice.report.sections.balance import balance_part


def composition_section(facts: Facts, page: Page) -> Html:
    """Sizes as a plot, the others as bars in a table, which need no script."""
    return section(
        "composition",
        "Composition",
        "What came in, and how much of each kind is kept.",
        _sizes(facts, page),
        _captions(facts),
        tag(
            "div",
            _mix("Languages", "text", facts.languages),
            _mix("Sources", "sample", facts.sources),
            _mix("Formats", "image", facts.formats),
            _mix("Licences", "sample", facts.licences),
            class_="mixes",
        ),
        balance_part(facts),
    )


def _sizes(facts: Facts, page: Page) -> Html | None:
    if not facts.sizes:
        return None
    names = [share.name or "" for share in facts.sizes]
    series = [Series(role, role, tuple(share.counts[code] for share in facts.sizes)) for code, role in enumerate(ROLES)]
    label = "Images by shorter side: " + ", ".join(f"{share.name} {share.total:,}" for share in facts.sizes)
    images = sum(share.total for share in facts.sizes)
    ends = [f"{share.total:,}  {percent(share.total, images)}" for share in facts.sizes]
    rows = [[share.name, *(f"{count:,}" for count in share.counts)] for share in facts.sizes]
    content = table(["Shorter side", *ROLES], rows, caption="Images by shorter side", numbers=range(1, 5))
    return tag(
        "div",
        tag("h3", "Images by shorter side, in px"),
        page.chart(bars_plot(names, series, "images", ends), label, height=34 * len(names) + 20),
        as_table(content),
    )


def _captions(facts: Facts) -> Html | None:
    measured = {data.shown.name: data for data in (*facts.first, *facts.more)}
    found = [measured[name] for name in ("words", "characters") if name in measured]
    if not found:
        return None
    pairs = [
        (
            f"{data.shown.title} a text",
            figure(data.median),
            f"median · p5 {figure(data.p5)} · p95 {figure(data.p95)}",
        )
        for data in found
    ]
    return tag("div", tag("h3", "Text length"), stats(pairs))


def _mix(title: str, thing: str, shares: Sequence[Share]) -> Html | None:
    if not shares:
        return None
    total = sum(share.total for share in shares)
    most = max(share.total for share in shares) or 1
    rows = [
        [
            tag("bdi", _name(share)),
            tag(
                "span",
                tag("i", style=f"width:{100 * share.counts[0] / most:.2f}%", class_="kept"),
                tag("i", style=f"width:{100 * (share.total - share.counts[0]) / most:.2f}%", class_="rejected"),
                class_="bar",
                aria_hidden="true",
            ),
            f"{share.total:,}",
            percent(share.total, total),
            percent(share.counts[0], share.total),
        ]
        for share in shares
    ]
    head = [f"of {plural(total, thing)}", tag("span", "bar", class_="unseen"), "In", "Share", "Kept"]
    return table(head, rows, caption=title, numbers=(2, 3, 4))


def _name(share: Share) -> str:
    if share.others:
        return f"{share.others:,} others"
    return "unknown" if share.name is None else share.name or "(empty)"
