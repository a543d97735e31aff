"""robots.txt against RFC 9309: its own examples, and patterns against regular expressions."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.web.robots import ALLOW_ALL, parse
from sluice.web.robots_tag import directives_of

RFC = """User-Agent: *
Disallow: *.gif$
Disallow: /example/
Allow: /publications/

User-Agent: foobot
Disallow:/
Allow:/example/page.html
Allow:/example/allowed.gif

User-Agent: barbot
User-Agent: bazbot
Disallow: /example/page.html

User-Agent: quxbot
"""


@pytest.mark.parametrize(
    ("agent", "path", "allowed"),
    [
        ("sluice", "/a.gif", False),
        ("sluice", "/a.gif?x", True),
        ("sluice", "/example/x", False),
        ("sluice", "/publications/a.jpg", True),
        ("foobot", "/example/page.html", True),
        ("FooBot", "/anything", False),
        ("barbot", "/example/page.html", False),
        ("bazbot", "/example/page.html", False),
        ("bazbot", "/example/other", True),
        ("quxbot", "/example/page.html", True),
        ("sluice", "/robots.txt", True),
    ],
)
def test_the_examples_of_the_rfc(agent, path, allowed):
    assert parse(RFC, agent).allows(path) is allowed


@pytest.mark.parametrize(
    ("rule", "path", "allowed"),
    [
        ("/foo/bar?baz=quz", "/foo/bar?baz=quz", False),
        ("/foo/bar/ツ", "/foo/bar/%E3%83%84", False),
        ("/foo/bar/%E3%83%84", "/foo/bar/%e3%83%84", False),
        ("/foo/bar/%62%61%7A", "/foo/bar/baz", False),
        ("/foo/%2f", "/foo//", True),
    ],
)
def test_paths_are_compared_in_one_spelling(rule, path, allowed):
    assert parse(f"user-agent: *\ndisallow: {rule}", "sluice").allows(path) is allowed


def test_the_longest_rule_wins_and_allow_wins_a_tie():
    robots = parse("User-agent: *\nDisallow: /a\nAllow: /a/b\nDisallow: /same\nAllow: /same", "sluice")
    assert [robots.allows(path) for path in ("/a/c", "/a/b/c", "/same")] == [False, True, True]


def test_groups_of_one_agent_are_one_and_noise_is_passed_over():
    text = "\ufeffUser-agent: a\nDisallow: /1 # why\nSitemap: http://x/\n<html>\nUser-agent: sluice\n\nDisallow: /2"
    robots = parse(f"{text}\nuser-agent:sluice/2.0\ndisallow:/3\ncrawl-delay: 1.5", "sluice")
    assert [robots.allows(f"/{number}") for number in range(1, 4)] == [True, False, False]
    assert robots.delay == 1.5 and parse("", "sluice") == ALLOW_ALL


@given(st.text("ab*$/", max_size=8), st.text("ab$/", max_size=10))
def test_patterns_match_as_regular_expressions_do(rule, path):
    expression = "".join(".*" if character == "*" else re.escape(character) for character in rule.removesuffix("$"))
    expected = re.match(expression + (r"\Z" if rule.endswith("$") else ""), f"/{path}", re.DOTALL) is None
    assert parse(f"User-agent: *\nDisallow: {rule}", "sluice").allows(f"/{path}") is (expected or not rule.strip())


def test_a_hostile_pattern_takes_no_time():
    robots = parse("User-agent: *\nDisallow: /" + "*a" * 5_000 + "$", "sluice")
    started = time.process_time()
    assert robots.allows("/" + "a" * 4_000 + "b")
    assert time.process_time() - started < 0.5


@given(st.text())
def test_any_text_is_some_robots_txt(text):
    parse(text, "sluice").allows("/x")
    list(directives_of(text))
