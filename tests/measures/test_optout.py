"""`rights.optout`: what sites say of using their images, in every shape that crawlers keep it."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.errors import RecipeError
from sluice.measures.optout import optout, said_of


def measured(meta: Any, **params: Any) -> tuple[str | None, bool]:
    text = None if meta is None else json.dumps(meta)
    columns = optout(SimpleNamespace(field=lambda name: [text]), **params)
    return columns["robots"][0], columns["noai"][0]


@pytest.mark.parametrize(
    ("meta", "robots", "noai"),
    [
        (None, None, False),
        ({}, None, False),
        ({"width": 640, "caption": "two robots"}, None, False),
        ({"X-Robots-Tag": "noai"}, "noai", True),
        ({"x_robots_tag": "noindex, noimageai"}, "noimageai noindex", True),
        ({"robots": "NoIndex"}, "noindex", False),
        ({"robots": "all"}, "all", False),
        ({"robots": ["noindex", "noai, nofollow"]}, "noai nofollow noindex", True),
        ({"headers": {"Content-Type": "image/jpeg", "X-Robots-Tag": "noai"}}, "noai", True),
        ({"headers": [["X-Robots-Tag", "noai"], ["Server", "nginx"]]}, "noai", True),
        ({"headers": "HTTP/1.1 200 OK\r\nX-Robots-Tag: noai, noimageai\r\nServer: x"}, "noai noimageai", True),
        ({"X-Robots-Tag": "otherbot: noai, nofollow"}, "otherbot:noai otherbot:nofollow", True),
        ({"X-Robots-Tag": "unavailable_after: 25 Jun 2030 15:00:00 PST, noai"}, "noai", True),
        ({"tdm-reservation": 1}, "tdm-reservation", True),
        ({"tdm_reservation": "0"}, None, False),
        ({"noai": True}, "noai", True),
        ({"noai": False}, None, False),
        ({"robots": None}, None, False),
    ],
)
def test_every_shape_that_crawlers_keep(meta: Any, robots: str | None, noai: bool) -> None:
    assert measured(meta) == (robots, noai)


def test_a_directive_for_one_agent_counts_for_the_agents_asked_for() -> None:
    meta = {"X-Robots-Tag": "otherbot: noai"}
    assert measured(meta, agents="*")[1]
    assert measured(meta, agents="mybot OtherBot")[1]
    assert not measured(meta, agents="mybot")[1]
    assert measured({"X-Robots-Tag": "noai"}, agents="mybot")[1], "one for all counts for all"


def test_the_directives_that_count_can_be_chosen() -> None:
    assert not measured({"robots": "noindex"})[1]
    assert measured({"robots": "noindex"}, directives="noai noindex")[1]
    with pytest.raises(RecipeError, match="'nouse' is no directive"):
        measured({}, directives="nouse")


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12) | st.just("noai"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["robots", "X-Robots-Tag", "tdm-reservation", "headers", "a"]), inner, max_size=3
        )
    ),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=8) | st.just("X-Robots-Tag"), anything, max_size=4))
def test_any_metadata_is_told(meta: dict[str, Any]) -> None:
    said = said_of(json.dumps(meta))
    assert said == sorted(set(said))
