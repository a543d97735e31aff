"""HTML as values: whatever is not `Html` is text, and text is escaped. Captions are hostile until shown otherwise."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import Final, TypeAlias

_VOID: Final = {"img", "meta", "input", "br", "link", "hr", "col"}
_UNSHOWN: Final = dict.fromkeys((*range(9), 11, 12, *range(14, 32), 127), "�")


class Html(str):
    """A piece of a page that needs no escaping any more; only this module makes one from text."""

    __slots__ = ()


Child: TypeAlias = "str | int | Iterable[Child] | None"
Attribute: TypeAlias = str | int | float | bool | None


def tag(element: str, /, *children: Child, **attributes: Attribute) -> Html:
    """An element. `class_` is written `class`, `aria_label` `aria-label`; None and False attributes are left out.

    >>> tag("p", "1 < 2", class_="note", hidden=True)
    '<p class="note" hidden>1 &lt; 2</p>'
    """
    written = "".join(_attribute(key, value) for key, value in attributes.items())
    if element in _VOID:
        return Html(f"<{element}{written}>")
    return Html(f"<{element}{written}>{join(children)}</{element}>")


def join(children: Iterable[Child]) -> Html:
    """The pieces one after the other; None is nothing, text is escaped."""
    parts: list[str] = []
    for child in children:
        if isinstance(child, Html):
            parts.append(child)
        elif isinstance(child, str | int):
            parts.append(html.escape(str(child).translate(_UNSHOWN), quote=True))
        elif child is not None:
            parts.append(join(child))
    return Html("".join(parts))


def _attribute(key: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{html.escape(str(value).translate(_UNSHOWN), quote=True)}"'


def raw(text: str) -> Html:
    """Text that is HTML already: our own assets, nothing that came from data."""
    return Html(text)


def table(
    head: Iterable[Child],
    rows: Iterable[Iterable[Child]],
    *,
    caption: str,
    numbers: Iterable[int] = (),
    quiet: bool = False,
) -> Html:
    """A table that scrolls in itself when the page is narrow; columns in `numbers` are aligned as figures.

    A `quiet` caption is only heard: the heading above says the same to the eye.
    """
    figures = set(numbers)

    def cells(kind: str, values: Iterable[Child]) -> Html:
        return join(_cell(kind, place, value, figures) for place, value in enumerate(values))

    return tag(
        "div",
        tag(
            "table",
            tag("caption", caption, class_="unseen" if quiet else None),
            tag("thead", tag("tr", cells("th", head))),
            tag("tbody", [tag("tr", cells("td", row)) for row in rows]),
        ),
        class_="scroll",
        tabindex=0,
        role="region",
        aria_label=caption,
    )


def _cell(kind: str, place: int, value: Child, figures: set[int]) -> Html:
    style = "figure" if place in figures else None
    if kind == "th":
        return tag("th", value, scope="col", class_=style)
    if place == 0:
        return tag("th", value, scope="row", class_=style)
    return tag("td", value, class_=style)
