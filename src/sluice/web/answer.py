"""What came of one URL: values, as they are written down."""

from __future__ import annotations

import email.utils
import json
import re
import time
from dataclasses import astuple, dataclass
from typing import Any, Final

from sluice.errors import FailureClass

_LICENCE_LINK: Final = re.compile(r'<([^<>]*)>[^,]*?;\s*rel\s*=\s*"?[^",;]*\b(?:license|licence)\b', re.IGNORECASE)


class FetchFailure(Exception):  # noqa: N818 - a recorded fact about a URL, not a programming error
    """Why the bytes of a URL could not be had; `passing`: another try may do better."""

    def __init__(
        self, failure_class: FailureClass, message: str, *, passing: bool = False, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.failure_class: FailureClass = failure_class
        self.message = message
        self.passing = passing
        self.retry_after = retry_after  # seconds, where the server said so
        self.said: Said | None = None  # where there was an answer


@dataclass(frozen=True, slots=True)
class Said:
    """What a server says beside the bytes, as it wrote it; None where it does not."""

    status: int
    http: str  # 1.1 | 2
    content_type: str | None = None
    last_modified: str | None = None
    robots: str | None = None  # X-Robots-Tag
    tdm: str | None = None  # TDM-Reservation
    licence: str | None = None  # Link: <...>; rel="license"


@dataclass(frozen=True, slots=True)
class Place:
    """Where bytes lie: the tar below the folder of all stores, and the member in it."""

    tar: str
    member: str
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Stored:
    """The bytes of a URL, stored."""

    place: Place
    sha256: str
    format: str  # as their content says: jpeg, png, ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a URL: bytes, or a failure with its class and message."""

    final_url: str
    tries: int
    fetched: str  # ISO 8601, UTC
    seconds: float  # of the last exchange
    said: Said | None = None
    stored: Stored | None = None
    failure: tuple[FailureClass, str] | None = None


def outcome_of(row: dict[str, Any]) -> Outcome:
    """The outcome that a row of a store's table tells."""
    said = stored = None
    if row["status"] is not None:
        names = ("status", "http", "content_type", "last_modified", "robots", "tdm", "licence")
        said = Said(*(row[name] for name in names))
    if row["tar"] is not None:
        place = Place(row["tar"], row["member"], row["offset"], row["size"])
        stored = Stored(place, row["sha256"], row["format"])
    failure = (row["failure_class"], row["failure"]) if row["failure_class"] is not None else None
    return Outcome(row["final_url"], row["tries"], row["fetched"], row["seconds"], said, stored, failure)


def text_of(outcome: Outcome) -> str:
    """An outcome whose bytes are stored, as text."""
    said, stored = outcome.said, outcome.stored
    if said is None or stored is None:
        raise ValueError(f"{outcome.final_url}: nothing is stored of it")
    facts = outcome.final_url, outcome.tries, outcome.fetched, outcome.seconds
    what = astuple(said), astuple(stored.place), stored.sha256, stored.format
    return json.dumps([*facts, *what], ensure_ascii=False)


def outcome_from(text: str) -> Outcome:
    """The outcome that a text tells."""
    final, tries, fetched, seconds, said, place, sha256, form = json.loads(text)
    return Outcome(final, tries, fetched, seconds, Said(*said), Stored(Place(*place), sha256, form))


def now() -> str:
    """The time, as it is written down.

    >>> len(now())
    20
    """
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def licence_of(link: str | None) -> str | None:
    """The licence that a `Link` header names.

    >>> licence_of('<https://a/next>; rel="next", <https://creativecommons.org/licenses/by/4.0/>; rel="license"')
    'https://creativecommons.org/licenses/by/4.0/'
    """
    if not link:
        return None
    found = _LICENCE_LINK.search(link[:4096])
    return found[1] if found else None


def retry_after(value: str | None) -> float | None:
    """Seconds, from seconds or from a date.

    >>> retry_after("7"), retry_after(None), retry_after("soon")
    (7.0, None, None)
    """
    if value is None:
        return None
    if value.strip().isdecimal() and len(value) < 12:
        return float(value)
    try:
        when = email.utils.parsedate_to_datetime(value)
    except (ValueError, TypeError):
        return None
    return max(when.timestamp() - time.time(), 0.0)
