"""One request and its answer: what the clients of both HTTP versions offer."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol
from urllib.parse import urljoin

from yarl import URL

from sluice.errors import RunError
from sluice.web.address import UnsafeAddressError
from sluice.web.answer import FetchFailure
from sluice.web.resolve import NoSuchNameError

SCHEMES: Final = ("http", "https")
_LONGEST: Final = 8_192  # characters of a URL


class Answer(Protocol):
    """The head of an answer, and its body as it comes."""

    @property
    def status(self) -> int: ...
    @property
    def http(self) -> str: ...

    def header(self, name: str) -> str | None:
        """All fields of this name (in small letters), joined by commas; None where there is none."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it was sent, piece by piece."""
        ...


class Client(Protocol):
    """Opens exchanges. What goes wrong is a `FetchFailure`."""

    def open(self, url: URL, headers: Mapping[str, str]) -> AbstractAsyncContextManager[Answer]:
        """Ask for `url`; the connection is given back, or dropped, at the end."""
        ...

    async def close(self) -> None:
        """Drop all connections."""
        ...


def refused(error: BaseException) -> FetchFailure | None:
    """What a client's error means where we raised it: an address that is refused, a name that has none."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in (errno.EMFILE, errno.ENFILE):
            raise RunError(
                "too many open files: raise `ulimit -n`, or lower `fetch.concurrency`, and run again"
            ) from error
        if isinstance(seen, UnsafeAddressError):
            return FetchFailure("unsafe", str(seen))
        if isinstance(seen, NoSuchNameError):
            return FetchFailure("dns", str(seen), passing=True)
        seen = getattr(seen, "os_error", None) or seen.__cause__
    return None


def parsed(text: str, base: URL | None = None) -> URL:
    """The URL that `text` means, seen from `base`; `FetchFailure` where nothing may be asked for there.

    >>> parsed("http://Example.org/a b.jpg#top"), parsed("../c.jpg", URL("http://example.org/x/y/b.jpg"))
    (URL('http://example.org/a%20b.jpg'), URL('http://example.org/x/c.jpg'))
    """
    stripped = text.strip()
    if len(stripped) > _LONGEST:
        raise FetchFailure("unsafe", f"a URL of {len(stripped):,} characters, the limit is {_LONGEST:,}")
    try:
        url = URL(stripped if base is None else urljoin(str(base), stripped)).with_fragment(None)
        host, port = url.host, url.port
    except (ValueError, TypeError) as error:
        raise FetchFailure("unsafe", f"{stripped[:200]!r} is no URL: {error}") from error
    if url.scheme not in SCHEMES:
        raise FetchFailure("unsafe", f"{stripped[:200]!r}: only http and https are fetched")
    if not host or port in (None, 0):
        raise FetchFailure("unsafe", f"{stripped[:200]!r} names no host")
    if url.user is not None or url.password is not None:
        url = url.with_user(None)  # a password in a list is no one's to use
    return url
