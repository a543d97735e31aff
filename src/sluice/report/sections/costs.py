"""What failed, what it took, and how to go on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sluice.report.gather import Facts
from sluice.report.html import Html, table, tag
from sluice.report.parts import Page, as_table, chip, percent, plural, section, size
from sluice.report.plots import Series, bars_plot
from sluice.report.spent import Spent
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
            f"{failure.count:,}",
            failure.message[:240],
            failure.stage,
            tag("code", failure.id[:12], class_="id"),
        ]
        for failure in facts.failures
    ]
    lead = "What could not be read or decoded, by class: " + ", ".join(f"{n} {c:,}" for n, c in by_class.items()) + "."
    head = ["Class", "Items", "Message", "Stage", "For example"]
    return section("failures", "Failures", lead, table(head, rows, caption="Failures", numbers=(1,), quiet=True))


def costs_section(facts: Facts, page: Page) -> Html:
    """Seconds and bytes by measure, seconds by stage, bytes in and out."""
    return section(
        "costs",
        "Time and bytes",
        _carried(facts.spent),
        _measuring(facts.spent, page),
        tag("div", _clock(facts.spent), _bytes(facts), class_="pair"),
    )


def _carried(spent: Spent) -> str:
    engines = " and ".join(f"`{name}`" for name in spent.engines)
    by = f", carried by the engine{'s' * (len(spent.engines) > 1)} {engines}" if engines else ""
    again = f" {plural(spent.lost, 'unit')} had to be done again: a machine went away." if spent.lost else ""
    return f"What the run took on the machines that it ran on{by}.{again}"


def _measuring(spent: Spent, page: Page) -> Html | None:
    parts = spent.measuring[:_SHOWN]
    if not parts:
        return None
    total = sum(part.seconds for part in parts)
    rows = [
        [
            part.name,
            f"{part.seconds:,.2f}" if total else "",
            percent(part.seconds, total) if total else "",
            "" if part.stored is None else size(part.stored),
        ]
        for part in parts
    ]
    content = table(["Work", "Seconds", "Share", "Stored"], rows, caption="Measuring", numbers=(1, 2, 3), quiet=True)
    title = tag("h3", "By measure", tag("small", "seconds of all workers, and the bytes of the columns stored"))
    note = tag("p", _untimed(spent), class_="aside") if spent.timed < spent.units else None
    if not total:
        return tag("div", title, note, content)
    ends = [f"{part.seconds:,.2f} s" + (f" · {size(part.stored)}" if part.stored is not None else "") for part in parts]
    series = Series("seconds", "plain", tuple(part.seconds for part in parts))
    label = "Seconds: " + ", ".join(f"{part.name} {part.seconds:.2f}" for part in parts[:6])
    plot = bars_plot([part.name for part in parts], [series], "seconds", ends)
    chart = page.chart(plot, label, height=28 * len(parts) + 16)
    return tag("div", title, chart, as_table(content), note)


def _untimed(spent: Spent) -> str:
    return (
        f"The seconds are those of {plural(spent.timed, 'unit')} of {spent.units:,}: "
        "the others were measured by runs that were cut off, and those kept no account."
    )


def _clock(spent: Spent) -> Html | None:
    rows = [[name, stage, f"{seconds:,.2f}"] for stage, name, seconds in spent.clock]
    return table(["Work", "Stage", "Seconds"], rows, caption="On the clock", numbers=(2,)) if rows else None


def _bytes(facts: Facts) -> Html:
    raw, final = facts.stages.records.get(RAW, {}), facts.stages.records.get(FINAL, {})
    rows = [["images of the sources", size(facts.source_bytes), plural(raw.get("images", 0), "image")]]
    if facts.spent.read is not None:
        rows.append(["read to measure", size(facts.spent.read), "in place, by all runs"])
    stored = [part.stored for part in facts.spent.measuring if part.stored is not None]
    if stored:
        rows.append(["measurements stored", size(sum(stored)), plural(len(stored), "measure")])
    shards = final.get("shards", {})
    rows += [
        [f"packed as {name}", size(count), plural(shards.get(name, 0), "shard")]
        for name, count in final.get("bytes", {}).items()
    ]
    return table(["What", "Bytes", "Of"], rows, caption="Bytes", numbers=(1,))


def rules_section(facts: Facts) -> Html:
    """The recipe's rules as they ran, those that were silent too."""
    spoke = {reason.name: reason for reason in facts.reasons}
    rows = [
        [
            rule.name,
            f"{spoke[rule.name].samples:,}" if rule.name in spoke else "0",
            chip(rule.effect),
            tag("code", rule.sql[:1000]),
        ]
        for rule in facts.rules[:200]
    ]
    if not rows:
        return section("rules", "Rules", "The recipe has no rules.")
    content = table(["Rule", "Samples", "Effect", "When"], rows, caption="Rules as they ran", numbers=(1,), quiet=True)
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
