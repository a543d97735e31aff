"""What the registered measures measure, from the registry and their docstrings, for people: Markdown and plain text.

`python -m sluice.measures.reference docs/measures.md` writes the Markdown into that page, between its markers.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Final

from sluice.errors import SluiceError
from sluice.measures.base import Measure, View, all_registered

BEGIN: Final = "<!-- measures: begin, written by python -m sluice.measures.reference -->"
END: Final = "<!-- measures: end -->"

_ROWS: Final = {"image": "an image", "text": "a text", "sample": "a sample"}
# A line of a docstring that says what columns mean: "- `width`, `height`: px".
_MEANING: Final = re.compile(r"- ((?:`\w+`(?:, )?)+): (.+)")


def markdown() -> str:
    """A section for each built-in measure: what it reads, its parameters, its columns."""
    return "\n".join(line for measure in _built_in() for line in _section(measure))


def listing() -> str:
    """Every registered measure with its columns, as plain text."""
    lines: list[str] = []
    for measure in all_registered().values():
        prose, meanings = _documented(measure)
        lines += [f"{measure.name}  {prose.splitlines()[0] if prose else ''}".rstrip()]
        if measure.params:
            lines.append(f"  parameters: {_parameters(measure)}")
        width = max(map(len, measure.writes))
        lines += [
            f"  {column:<{width}}  {kind!s:<6}  {meanings.get(column, '')}".rstrip()
            for column, kind in measure.writes.items()
        ]
        lines.append("")
    return "\n".join(lines).rstrip()


def _built_in() -> Iterator[Measure]:
    """The measures that Sluice brings, whatever else is registered."""
    for module in (
        "image",
        "text",
        "generated",
        "claims",
        "pii",
        "language",
        "rights",
        "optout",
        "word_list",
        "tokens",
    ):
        import_module(f"sluice.measures.{module}")
    for measure in all_registered().values():
        home = sys.modules[measure.function.__module__]
        # A doctest's measure has our module's name, but is not there.
        if home.__name__.startswith("sluice.") and vars(home).get(measure.function.__name__) is measure.function:
            yield measure


def _section(measure: Measure) -> list[str]:
    prose, meanings = _documented(measure)
    facts = [f"A row is {_ROWS[measure.grain]}", f"reads {', '.join(_view(view) for view in measure.reads)}"]
    facts += [f"parameters: {_parameters(measure, '`')}"] if measure.params else []
    facts += [f"model: SHA-256 `{measure.model[:12]}...`"] if measure.model else []
    rows = [f"| `{column}` | {kind} | {meanings.get(column, '')} |" for column, kind in measure.writes.items()]
    return [
        *(f"### `{measure.name}`", "", prose, "", "; ".join(facts) + f"; version {measure.version}.", ""),
        *("| column | type | meaning |", "| --- | --- | --- |", *rows, ""),
    ]


def _view(view: View) -> str:
    if view.size:
        return f"`{view.kind}` of {view.size[0]} x {view.size[1]} px"
    return f"`{view.kind}`" if view.max_side is None else f"`{view.kind}` at {view.max_side} px"


def _parameters(measure: Measure, quote: str = "") -> str:
    return ", ".join(f"{quote}{name}: {json.dumps(value)}{quote}" for name, value in measure.params.items())


def _documented(measure: Measure) -> tuple[str, dict[str, str]]:
    """The prose of a measure's docstring, and what it says of each column."""
    paragraphs = (inspect.getdoc(measure.function) or "").split("\n\n")
    prose: list[str] = []
    meanings: dict[str, str] = {}
    for paragraph in paragraphs:
        if not paragraph.startswith("- "):
            prose.append(paragraph)
            continue
        for bullet in re.sub(r"\n +", " ", paragraph).split("\n"):
            if told := _MEANING.fullmatch(bullet):
                meaning = told[2].rstrip(".;")
                meanings |= dict.fromkeys(re.findall(r"`(\w+)`", told[1]), meaning)
    return "\n\n".join(prose), meanings


def write(page: Path) -> None:
    """Put the current `markdown` between the markers of `page`."""
    before, begin, rest = page.read_text("utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SluiceError(f"{page} has no place for the measures: it needs the lines\n{BEGIN}\n{END}")
    page.write_text(f"{before}{BEGIN}\n\n{markdown()}\n{END}{after}", "utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
