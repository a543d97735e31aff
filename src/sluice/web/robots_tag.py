"""Directives of `X-Robots-Tag` with the agent each is for: what a site says of using what it serves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

DIRECTIVES: Final = frozenset(
    ("all", "none", "noindex", "nofollow", "noarchive", "nosnippet", "notranslate", "noimageindex", "noai", "noimageai")
)
_WITH_VALUE: Final = ("unavailable_after", "max-snippet", "max-image-preview", "max-video-preview")


def directives_of(header: str) -> Iterator[tuple[str, str]]:
    """The directives of an `X-Robots-Tag` with the agent each is for; an agent rules until the next is named.

    >>> list(directives_of("noindex, BadBot: noai, nofollow"))
    [('', 'noindex'), ('badbot', 'noai'), ('badbot', 'nofollow')]
    """
    agent = ""
    for part in header.lower().split(","):
        before, colon, after = part.partition(":")
        word = part.strip()
        if colon and before.strip() not in _WITH_VALUE:
            agent, word = before.strip(), after.strip()
        if word in DIRECTIVES:
            yield agent, word
