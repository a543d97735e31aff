"""The head of the report and the funnel: how much came in, how much is left, where the rest went."""

from __future__ import annotations

from typing import Final

from sluice.report.gather import Facts
from sluice.report.html import Child, Html, table, tag
from sluice.report.parts import ROLES, Page, as_table, chip, percent, plural, section, size, split_bar, stats, tile
from sluice.report.plots import Series, bars_plot
from sluice.table.layout import FINAL, RAW

_FORMATS: Final = {
    "webdataset": "WebDataset",
    "parquet": "Parquet",
    "arrow": "Arrow",
    "tfrecord": "TFRecord",
    "mds": "MosaicML MDS",
    "litdata": "LitData",
    "energon": "Megatron-Energon",
    "llava": "LLaVA",
    "coco": "COCO captions",
    "obelics": "OBELICS",
}


def head(facts: Facts) -> Html:
    """Name, yield, one bar, the big figures."""
    counts = facts.counts
    entered, kept = counts["in"], counts["kept"]
    sentence = ", ".join(f"{percent(counts[role], entered)} {role}" for role in ROLES if counts[role])
    verdicts = [
        tag("li", chip(role), tag("b", f"{counts[role]:,}"), tag("span", percent(counts[role], entered)))
        for role in ROLES
    ]
    return tag(
        "header",
        tag("p", "Dataset report", class_="eyebrow"),
        tag("h1", facts.name),
        tag(
            "p",
            tag("b", f"{kept:,}"),
            f" of {plural(entered, 'sample')} are in the dataset, a yield of ",
            tag("b", percent(kept, entered)),
            ". Every other one has a reason, below.",
            class_="lead",
        ),
        split_bar([(role, counts[role]) for role in ROLES], sentence or "no samples"),
        tag("ul", verdicts, class_="verdicts", aria_label="Samples by verdict"),
        stats(_figures(facts)),
        class_="hero",
    )


def _figures(facts: Facts) -> list[tuple[str, Child, Child]]:
    raw, final = facts.stages.records.get(RAW, {}), facts.stages.records.get(FINAL, {})
    words = next((data for data in (*facts.first, *facts.more) if data.shown.name == "words"), None)
    packed = final.get("bytes", {})
    shards = final.get("shards", {})
    found: list[tuple[str, Child, Child]] = [
        ("Images", f"{raw.get('images', 0):,}", f"{size(facts.source_bytes)} in all" if facts.source_bytes else ""),
        ("Texts", f"{raw.get('texts', 0):,}", f"median {words.median:,.0f} words" if words else ""),
        ("Duplicates", f"{facts.clusters.members:,}", f"in {plural(facts.clusters.count, 'cluster')}"),
    ]
    found += [
        (_FORMATS.get(str(form), str(form)), size(count), f"packed in {plural(shards.get(form, 0), 'shard')}")
        for form, count in packed.items()
    ]
    return found


def look_section(facts: Facts) -> Html | None:
    """A draw of what is kept."""
    shown = [tile(facts.tiles[pick], "kept") for pick in facts.look if pick in facts.tiles]
    if not shown:
        return None
    lead = f"{len(shown)} of {facts.counts['kept']:,} samples, drawn with the seed of the recipe."
    return section("look", "What is kept", lead, tag("div", shown, class_="tiles"))


def funnel_section(facts: Facts, page: Page) -> Html:
    """The steps from what came in to what was packed."""
    steps = facts.funnel
    entered = steps[0].left
    names = [step.name for step in steps]
    plot = bars_plot(
        names,
        [
            Series("left", "kept", tuple(step.left for step in steps)),
            Series("taken out here", "rejected", tuple(step.lost for step in steps)),
        ],
        ends=[f"{step.left:,}" for step in steps],
    )
    label = "Funnel: " + ", ".join(f"{step.name} {step.left:,}" for step in steps)
    rows = [
        [step.name, f"{step.left:,}", percent(step.left, entered), f"{step.lost:,}" if step.lost else "", step.taken_by]
        for step in steps
    ]
    head_row = ["Step", "Left", "Share", "Taken out", "By what"]
    content = table(head_row, rows, caption="The funnel, step by step", numbers=(1, 2, 3), quiet=True)
    return section(
        "funnel",
        "Funnel",
        "A sample leaves at the first step that its verdict names.",
        page.chart(plot, label, height=44 * len(steps) + 40),
        as_table(content),
        _splits(facts),
    )


def _splits(facts: Facts) -> Html | None:
    splits = facts.stages.records.get(FINAL, {}).get("splits", {})
    if not splits:
        return None
    total = sum(splits.values())
    parts = [tag("li", tag("b", name), f" {count:,} ({percent(count, total)})") for name, count in splits.items()]
    return tag("div", tag("p", "Splits, never through a group of duplicates:"), tag("ul", parts), class_="inline")
