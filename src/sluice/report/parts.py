"""The pieces that sections are made of: tiles, plots with their tables, chips, figures."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from sluice.report.html import Child, Html, join, raw, tag
from sluice.report.plots import Plot
from sluice.report.thumbs import NoPicture, Picture
from sluice.report.tiles import Tile

ROLES: Final = ("kept", "rejected", "held", "failed")
_MOST_TITLE: Final = 300  # characters


@dataclass
class Page:
    """What sections leave behind for the end of the page: the plots, in order."""

    plots: list[Plot] = field(default_factory=list[Plot])

    def chart(self, plot: Plot, label: str, *, height: int) -> Html:
        """A place for a plot; what it shows is said in `label` and in the table that goes with it."""
        self.plots.append(plot)
        number = len(self.plots) - 1
        return tag("div", class_="chart", data_plot=number, role="img", aria_label=label, style=f"height:{height}px")

    def data(self) -> Html:
        """The plots as a data block; `<` is escaped, so that no text can end it."""
        text = json.dumps(self.plots, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
        return tag("script", raw(text), type="application/json", id="plots")


def section(name: str, title: str, lead: Child, *children: Child) -> Html:
    """A section of the page, with a heading that can be linked to."""
    return tag(
        "section",
        tag("h2", title, id=f"{name}-title"),
        tag("p", lead, class_="lead") if lead else None,
        *children,
        id=name,
        aria_labelledby=f"{name}-title",
    )


def as_table(content: Html, summary: str = "Show as a table") -> Html:
    """The table that goes with a plot: folded while scripts run, open without them."""
    return tag("details", tag("summary", summary), content, class_="companion", open=True)


def chip(role: str, text: str | None = None) -> Html:
    """A verdict as a small label; never by colour alone."""
    return tag("span", tag("i", class_=f"dot {role}", aria_hidden="true"), text or role, class_="chip")


def legend(roles: Iterable[str] = ROLES) -> Html:
    """What the colours of the plots mean."""
    return tag("ul", [tag("li", chip(role)) for role in roles], class_="legend", aria_label="Colours of the plots")


def stats(pairs: Sequence[tuple[str, Child, Child]]) -> Html:
    """Big figures: (name, value, remark)."""
    return tag(
        "dl",
        [
            tag("div", tag("dt", name), tag("dd", tag("b", value), tag("span", note) if note else None))
            for name, value, note in pairs
        ],
        class_="stats",
    )


def split_bar(counts: Sequence[tuple[str, int]], label: str) -> Html:
    """One bar cut by verdict: readable without scripts."""
    total = sum(count for _, count in counts) or 1
    pieces = [tag("span", class_=role, style=f"flex-grow:{count / total:.6f}") for role, count in counts if count]
    return tag("div", pieces, class_="split", role="img", aria_label=label)


def tile(example: Tile, why: str, *, mark: str | None = None, heading: Child = None) -> Html:
    """A sample with its picture, what the rule saw, its caption and its id."""
    words = example.text
    said = f"{words or 'no caption'} ({why}: {example.label})" if example.label else f"{words or 'no caption'} ({why})"
    caption = [
        tag("span", heading or example.label, class_="value") if heading or example.label else None,
        tag("span", words, class_="words", dir="auto", lang=_language(example.language), title=_cut(words))
        if words
        else tag("span", "no caption", class_="words none"),
        tag("code", example.id[:12], title=f"{example.key} · {example.id}"[:_MOST_TITLE], class_="id"),
    ]
    return tag(
        "figure",
        tag("div", _picture(example, said), tag("span", mark, class_="mark") if mark else None, class_="frame"),
        tag("figcaption", caption),
        class_="tile kept" if example.kept else "tile",
    )


def _picture(example: Tile, said: str) -> Html:
    picture = example.picture
    if isinstance(picture, Picture):
        return tag(
            "img",
            src="data:image/webp;base64," + base64.b64encode(picture.data).decode("ascii"),
            width=picture.width,
            height=picture.height,
            alt=said,
            decoding="async",
        )
    if isinstance(picture, NoPicture):
        inside = [tag("b", picture.failure_class), tag("span", _cut(picture.message, 90))]
        return tag("div", inside, class_="empty", role="img", aria_label=f"No picture, {picture.failure_class}: {said}")
    return tag("div", tag("b", "text"), class_="empty", role="img", aria_label=f"No image: {said}")


def _cut(text: str | None, most: int = _MOST_TITLE) -> str | None:
    return text if text is None or len(text) <= most else text[: most - 1] + "…"


def _language(code: str | None) -> str | None:
    """A language tag that a browser can use; data may hold anything."""
    return code if code and len(code) <= 12 and code.replace("-", "").isalnum() and code.isascii() else None


def strip(title: str, note: str, tiles: Sequence[Html]) -> Html | None:
    """A titled row of tiles; nothing where there are none."""
    if not tiles:
        return None
    return tag("div", tag("h4", title, tag("small", note)), tag("div", join(tiles), class_="tiles"), class_="strip")


def percent(part: float, whole: float) -> str:
    """A share as a person says it.

    >>> [percent(1, 3), percent(0, 5), percent(1, 100_000), percent(5, 0)]
    ['33.3%', '0%', '<0.1%', '0%']
    """
    if not whole or not part:
        return "0%"
    share = 100 * part / whole
    if share < 0.1:
        return "<0.1%"
    return "100%" if part == whole else f"{min(share, 99.9):.1f}%"


def size(count: float) -> str:
    """Bytes in decimal units.

    >>> [size(512), size(50_160_794)]
    ['512 B', '50.2 MB']
    """
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            return f"{count:,.0f} B" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1000
    raise AssertionError("the loop returns at TB")


def plural(count: int, one: str, many: str | None = None) -> str:
    """`1 sample`, `2,000 samples`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
