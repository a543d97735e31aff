"""What failed, what it took, and how to go on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sluice.report.gather import Facts
from sluice.report.html import Html, table, tag
from sluice.report.parts import Page, as_table, chip, percent, plural, section, size
from sluice.report.plots import Series, bars_plot
from sluice.report.thresholds import loosened
from sluice.table.layout import FILTERED, FINAL, RAW

_SHOWN: Final = 24


def failures_section(facts: Facts) -> Html:
    """Failures by class and message, of every stage."""
    if not facts.failures:
        return section("failures", "Failures", "Nothing failed.")
    by_class: dict[str, int] = {}
    for failure in facts.failures:
        by_class[failure.name] = by_class.get(failure.name, 0) + failure.count
    rows = [
        [
            failure.name,
            failure.message[:240],
            f"{failure.count:,}",
            failure.stage,
            tag("code", failure.id[:12], class_="id"),
        ]
        for failure in facts.failures
    ]
    lead = "What could not be read or decoded, by class: " + ", ".join(f"{n} {c:,}" for n, c in by_class.items()) + "."
    head = ["Class", "Message", "Items", "Stage", "For example"]
    return section("failures", "Failures", lead, table(head, rows, caption="Failures", numbers=(2,), quiet=True))


def costs_section(facts: Facts, page: Page) -> Html:
    """Seconds by measure and stage, bytes in and out."""
    spent = sorted(_seconds(facts), key=lambda pair: -pair[1])[:_SHOWN]
    total = sum(seconds for _, seconds in spent)
    rows = [[name, f"{seconds:,.2f}", percent(seconds, total)] for name, seconds in spent]
    content = table(["Work", "Seconds", "Share"], rows, caption="Seconds by work", numbers=(1, 2), quiet=True)
    names, values = [name for name, _ in spent], tuple(seconds for _, seconds in spent)
    label = "Seconds: " + ", ".join(f"{name} {seconds:.2f}" for name, seconds in spent[:6])
    plot = bars_plot(names, [Series("seconds", "kept", values)], "seconds", [f"{seconds:,.2f} s" for seconds in values])
    return section(
        "costs",
        "Time and bytes",
        "Measures add up the seconds of all workers; stages are seconds on the clock.",
        page.chart(plot, label, height=28 * len(spent) + 44) if spent else None,
        as_table(content) if spent else None,
        _bytes(facts),
    )


def _seconds(facts: Facts) -> Iterator[tuple[str, float]]:
    for seconds in facts.stages.seconds.values():
        yield from ((name, float(value)) for name, value in seconds.items() if value >= 0.005)


def _bytes(facts: Facts) -> Html:
    raw, final = facts.stages.records.get(RAW, {}), facts.stages.records.get(FINAL, {})
    rows = [["sources, read in place", size(raw.get("bytes", 0)), f"{raw.get('images', 0):,} images"]]
    shards = final.get("shards", {})
    rows += [
        [f"packed as {name}", size(count), plural(shards.get(name, 0), "shard")]
        for name, count in final.get("bytes", {}).items()
    ]
    return table(["What", "Bytes", "Holds"], rows, caption="Bytes", numbers=(1,))


def rules_section(facts: Facts) -> Html:
    """The recipe's rules as they ran, those that were silent too."""
    spoke = {reason.name: reason for reason in facts.reasons}
    rows = [
        [
            rule.name,
            chip(rule.effect),
            tag("code", rule.sql[:1000]),
            f"{spoke[rule.name].samples:,}" if rule.name in spoke else "0",
        ]
        for rule in facts.rules[:200]
    ]
    if not rows:
        return section("rules", "Rules", "The recipe has no rules.")
    content = table(["Rule", "Effect", "When", "Samples"], rows, caption="Rules as they ran", numbers=(3,), quiet=True)
    return section("rules", "Rules", "Conditions over the measured columns; the name is the reason.", content)


def next_section(facts: Facts) -> Html:
    """Commands with real names in them."""
    entries = [
        tag(
            "li",
            tag("p", words),
            tag("pre", tag("code", command), tabindex=0),
            tag("button", "Copy", type="button", class_="copy", aria_label=f"Copy the command: {words}", hidden=True),
        )
        for words, command in _commands(facts)
    ]
    lead = ["From the folder that holds ", tag("code", facts.run), ":"]
    return section("next", "How to go on", lead, tag("ol", entries, class_="commands"))


def _commands(facts: Facts) -> Iterator[tuple[str, str]]:
    import shlex

    run = shlex.quote(facts.run)
    examples = [pick for group in facts.examples.values() for pick in (*group.borderline, *group.typical)]
    shown = next((facts.tiles[pick] for pick in examples if pick in facts.tiles), None)
    if shown:
        yield "Why is this sample not in the dataset?", f"sluice why {run} {shown.id[:12]}"
    for rule in facts.rules:
        other = loosened(rule.sql)
        if other:
            yield (
                "What would another threshold give?",
                f"sluice what-if {run} --set {shlex.quote(f'{rule.name}: {other}')}",
            )
            break
    if facts.thresholds:
        yield "What would every threshold give?", f"sluice curve {run} --column {facts.thresholds[0].column}"
    if FINAL in facts.stages.records:
        yield "Are the shards whole?", f"sluice verify {run}"
    elif FILTERED in facts.stages.records:
        yield "How far is it?", f"sluice status {run}"
