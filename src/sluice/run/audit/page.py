"""`sheet.html`: the samples of an audit to look at; no script and no network, whatever a caption holds is text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sluice.report.html import Html, join, raw, tag
from sluice.run.audit.sheet import CAUSES, Line
from sluice.wording import counted

_POLICY: Final = "default-src 'none'; img-src 'self' file: data:; style-src 'unsafe-inline'; base-uri 'none'"
_STYLE: Final = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; --line: light-dark(#d5dbde, #333d42);
  --soft: light-dark(#55616a, #9fabb3); --bad: light-dark(#a02c3a, #f08e99); }
body { margin: 0 auto; max-width: 1100px; padding: 16px; background: light-dark(#fff, #111618);
  color: light-dark(#182024, #e7ecee); }
article { display: grid; grid-template-columns: minmax(0, 3fr) minmax(0, 2fr); gap: 16px; padding: 20px 0;
  border-top: 1px solid var(--line); }
h1, h2, p, ul, dl { margin: 0 0 8px; } h1 { font-size: 24px; } h2 { font-size: 16px; }
img { display: block; max-width: 100%; max-height: 70vh; margin-bottom: 8px; background: light-dark(#eee, #222); }
ul { padding-left: 18px; } li, p, dd { overflow-wrap: anywhere; white-space: pre-wrap; }
li:first-child { font-weight: 600; } .facts { color: var(--soft); font-size: 14px; }
.problem { color: var(--bad); font-weight: 600; }
@media (max-width: 640px) { article { grid-template-columns: minmax(0, 1fr); } }
"""


def page(name: str, audit: str, lines: Sequence[Line]) -> bytes:
    """The page; its images lie beside it."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="robots", content="noindex"),
        tag("title", f"{name}: audit {audit}"),
        tag("link", rel="icon", href="data:,"),
        tag("style", raw(_STYLE)),
    )
    how = (
        f"{counted(len(lines), 'sample')}, read from the shards. Judge them in sheet.csv: ok or error, and for an "
        f"error its cause: {', '.join(CAUSES)}."
    )
    body = tag(
        "body",
        tag("header", tag("h1", f"{name}: audit {audit}"), tag("p", how, class_="facts")),
        tag("main", [_sample(line) for line in lines]),
    )
    return join([raw("<!doctype html>\n"), tag("html", head, body, lang="en"), "\n"]).encode()


def _sample(line: Line) -> Html:
    images = [
        tag("img", src=file, alt=f"Image {place} of sample {line.number}", loading="lazy")
        for place, file in enumerate(line.images, 1)
    ]
    turns = [tag("li", f"{role}: {text}") for role, text in line.turns]
    return tag(
        "article",
        tag("div", images or tag("p", "no image", class_="facts")),
        tag(
            "div",
            tag("h2", f"Sample {line.number}"),
            tag("p", line.problem, class_="problem") if line.problem else None,
            tag("ul", [tag("li", caption) for caption in line.captions], turns),
            tag("p", f"{line.id}\n{line.stratum}\n{line.shard}", class_="facts"),
        ),
        id=f"sample-{line.number}",
    )
