"""The page: sections in order, with style, script and the plotting library inlined, so that it opens anywhere.

A content security policy allows the page its own two scripts, by hash, and no request at all: whatever a caption
holds, it is text.
"""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from typing import Final

from sluice.report.gather import Facts
from sluice.report.html import Html, join, raw, tag
from sluice.report.parts import Page
from sluice.report.sections.alike import alike_section
from sluice.report.sections.composition import composition_section
from sluice.report.sections.costs import costs_section, failures_section, next_section, rules_section
from sluice.report.sections.distributions import distributions_section
from sluice.report.sections.overview import funnel_section, head, look_section
from sluice.report.sections.reasons import duplicates_section, reasons_section

_EARLY: Final = (  # before the first paint: what only scripts can use, and the theme chosen last time
    "document.documentElement.classList.add('js');"
    "try{var t=localStorage.getItem('sluice-theme');if(t)document.documentElement.dataset.theme=t}catch(e){}"
)


def render(facts: Facts) -> Html:
    """The whole report as one HTML document."""
    page = Page()
    sections = {
        "What is kept": ("look", look_section(facts)),
        "Funnel": ("funnel", funnel_section(facts, page)),
        "Reasons": ("reasons", reasons_section(facts, page)),
        "Distributions": ("distributions", distributions_section(facts, page)),
        "Duplicates": ("duplicates", duplicates_section(facts, page)),
        "Alike": ("alike", alike_section(facts)),
        "Composition": ("composition", composition_section(facts, page)),
        "Failures": ("failures", failures_section(facts)),
        "Time and bytes": ("costs", costs_section(facts, page)),
        "Rules": ("rules", rules_section(facts)),
        "How to go on": ("next", next_section(facts)),
    }
    shown = {title: (name, content) for title, (name, content) in sections.items() if content is not None}
    library, script = _asset("vendor/echarts.common.min.js"), _asset("assets/report.js")
    return join(
        [
            raw("<!doctype html>\n"),
            tag(
                "html",
                _head(facts, (_EARLY, library, script)),
                tag(
                    "body",
                    tag("a", "Skip to the report", href="#report", class_="skip"),
                    _bar(facts),
                    tag(
                        "div",
                        _contents(shown),
                        tag("main", head(facts), [content for _, content in shown.values()], id="report", tabindex=-1),
                        class_="layout",
                    ),
                    tag("footer", tag("p", "Made by Sluice. This file needs no network, and asks for none.")),
                    page.data(),
                    tag("script", raw(library)),
                    tag("script", raw(script)),
                ),
                lang="en",
            ),
            "\n",
        ]
    )


def _head(facts: Facts, scripts: tuple[str, ...]) -> Html:
    hashes = " ".join(f"'sha256-{_digest(script)}'" for script in scripts)
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {hashes}; base-uri 'none'"
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="robots", content="noindex"),
        tag("title", f"{facts.name}: dataset report"),
        tag("link", rel="icon", href="data:,"),
        tag("script", raw(_EARLY)),
        tag("style", raw(_asset("assets/report.css"))),
    )


def _bar(facts: Facts) -> Html:
    return tag(
        "div",
        tag("a", tag("i", aria_hidden="true"), "Sluice", href="#report", class_="brand"),
        tag("span", facts.run, class_="run"),
        tag("button", "Dark theme", type="button", id="theme", aria_pressed="false", hidden=True),
        class_="topbar",
    )


def _contents(shown: dict[str, tuple[str, Html]]) -> Html:
    links = [tag("li", tag("a", title, href=f"#{name}")) for title, (name, _) in shown.items()]
    return tag("nav", tag("ul", links), aria_label="Sections", class_="contents")


def _asset(name: str) -> str:
    return files("sluice.report").joinpath(name).read_text(encoding="utf-8")


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
