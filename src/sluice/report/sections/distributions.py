"""What was measured: a histogram a column, the recipe's thresholds drawn in."""

from __future__ import annotations

from sluice.report.examples import figure
from sluice.report.gather import Facts
from sluice.report.histograms import Histogram
from sluice.report.html import Html, table, tag
from sluice.report.parts import Page, as_table, legend, section
from sluice.report.plots import histogram_plot, span, written
from sluice.report.tables import VERDICTS


def distributions_section(facts: Facts, page: Page) -> Html | None:
    """The columns that rules read and the usual ones; the others on demand."""
    if not facts.first and not facts.more:
        return None
    more = [_plot(data, page) for data in facts.more]
    return section(
        "distributions",
        "Distributions",
        "What was measured, stacked by verdict. Dashed lines are the thresholds of the recipe.",
        legend(),
        tag("div", [_plot(data, page) for data in facts.first], class_="plots"),
        tag(
            "details",
            tag("summary", f"{len(more)} more columns"),
            tag("div", more, class_="plots"),
            class_="more",
        )
        if more
        else None,
    )


def _plot(data: Histogram, page: Page) -> Html:
    shown = data.shown
    lines = [f"{line.rule} at {written(line.value)}" for line in data.thresholds]
    label = f"{shown.title}: median {figure(data.median)}, 5% below {figure(data.p5)}, 5% above {figure(data.p95)}" + (
        f"; thresholds {', '.join(lines)}" if lines else ""
    )
    facts = [("p5", data.p5), ("median", data.median), ("p95", data.p95)]
    used = [code for code in range(len(VERDICTS)) if any(data.counts[code])]
    rows = [
        [span(data, bar), *(f"{data.counts[code][bar]:,}" for code in used)]
        for bar in range(len(data.counts[0]))
        if any(data.counts[code][bar] for code in used)
    ]
    content = table(
        [shown.unit or shown.title, *(VERDICTS[code] for code in used)],
        rows,
        caption=f"{shown.title} by verdict",
        numbers=range(len(used) + 1),
    )
    return tag(
        "article",
        tag("h3", shown.title, tag("small", ", ".join(filter(None, (shown.unit, shown.note))) or None)),
        page.chart(histogram_plot(data), label, height=190),
        tag(
            "p",
            [tag("span", f"{name} ", tag("b", figure(value))) for name, value in facts],
            tag("span", "unmeasured ", tag("b", f"{data.unmeasured:,}")) if data.unmeasured else None,
            class_="quantiles",
        ),
        as_table(content),
        class_="plot",
    )
