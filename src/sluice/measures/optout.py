"""`rights.optout`: what the site an image came from says of using it, as far as the source kept it.

Looks in a sample's `meta` for what crawlers keep of the response: a column of robots directives, or the headers. Knows
`X-Robots-Tag` with and without a user agent (RFC 9309 names agents so; Google documents the header), `noai` and
`noimageai` (DeviantArt's, which img2dataset honours), and `TDM-Reservation` (W3C TDM Reservation Protocol).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import pyarrow as pa

from sluice.errors import RecipeError
from sluice.measures.base import Batch, Columns, measure, sample
from sluice.web.robots_tag import DIRECTIVES, directives_of

_MAYBE: Final = re.compile(r"robots|noai|noimageai|tdm", re.IGNORECASE)
_NAMES: Final = frozenset(
    ("robots", "xrobots", "xrobotstag", "robotstag", "robotsmeta", "metarobots", "robotsdirectives")
)
_TDM: Final = frozenset(("tdmreservation", "tdmreserved", "tdm"))
_FLAGS: Final = frozenset(("noai", "noimageai"))  # as columns of their own
_HEADER: Final = re.compile(r"(?:^|\n)\s*(x-robots-tag|tdm-reservation)\s*:\s*([^\r\n]*)", re.IGNORECASE)
_YES: Final = frozenset(("1", "true", "yes"))

_OPTOUT: Final = {"robots": pa.string(), "noai": pa.bool_()}


@measure("rights.optout", version=1, reads=sample(), writes=_OPTOUT)
def optout(batch: Batch, *, directives: str = "noai noimageai", agents: str = "*") -> Columns:
    """Whether the site reserves an image: `X-Robots-Tag`, `noai`, TDM reservation, where the source kept them.

    A directive for one user agent ("otherbot: noai") counts where `agents` is `*` or names it; add `noindex` and
    `noimageindex` to `directives` to be as strict as img2dataset is by default.

    - `robots`: every directive found, sorted and joined by a space, with its agent where it has one
      ("noai otherbot:noindex"), and `tdm-reservation`; null where the source kept none.
    - `noai`: whether one of `directives`, or a TDM reservation, applies; false where the source kept none.
    """
    wanted, named = frozenset(directives.lower().split()), frozenset(agents.lower().split())
    if not wanted <= DIRECTIVES:
        odd = sorted(wanted - DIRECTIVES)[0]
        raise RecipeError(f"rights.optout: {odd!r} is no directive (there are: {', '.join(sorted(DIRECTIVES))})")
    said = [said_of(meta) for meta in batch.field("meta")]
    return {
        "robots": [" ".join(f"{agent}:{word}" if agent else word for agent, word in one) or None for one in said],
        "noai": [any(_applies(agent, word, wanted, named) for agent, word in one) for one in said],
    }


def _applies(agent: str, word: str, wanted: frozenset[str], named: frozenset[str]) -> bool:
    return word == "tdm-reservation" or (word in wanted and (not agent or "*" in named or agent in named))


def said_of(meta: str | None) -> list[tuple[str, str]]:
    """Every directive in a sample's `meta` (a JSON object) with its user agent, sorted; ("", word) is for all.

    >>> said_of('{"X-Robots-Tag": "noai, otherbot: noindex, nofollow", "tdm-reservation": 1}')
    [('', 'noai'), ('', 'tdm-reservation'), ('otherbot', 'nofollow'), ('otherbot', 'noindex')]
    """
    if not meta or not _MAYBE.search(meta):
        return []
    return sorted(set(_of_fields(json.loads(meta))))


def _of_fields(fields: Any) -> Iterator[tuple[str, str]]:
    """The directives in a mapping or a list of pairs, at any depth: headers come in all of these."""
    if isinstance(fields, dict):
        for name, value in fields.items():
            yield from _of_field(str(name), value)
    elif isinstance(fields, list):
        for entry in fields:
            if isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], str):
                yield from _of_field(entry[0], entry[1])
            else:
                yield from _of_fields(entry)


def _of_field(name: str, value: Any) -> Iterator[tuple[str, str]]:
    plain = re.sub(r"[^a-z]", "", name.lower())
    values = value if isinstance(value, list) else [value]
    if plain in _NAMES:
        for one in values:
            yield from directives_of(str(one or ""))
    elif plain in _TDM or plain in _FLAGS:
        if any(str(one).strip().lower() in _YES for one in values):
            yield "", plain if plain in _FLAGS else "tdm-reservation"
    elif isinstance(value, dict | list):
        yield from _of_fields(value)
    elif isinstance(value, str):
        for header, said in _HEADER.findall(value):  # the headers as they came over the wire
            yield from _of_field(header, said)
