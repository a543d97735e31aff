"""The two clients behind one: plain HTTP by aiohttp, HTTPS by httpcore, which speaks HTTP/2 where it is served."""

from __future__ import annotations

import resource
import ssl
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Final

from yarl import URL

from sluice.web.address import Allowed
from sluice.web.config import FetchConfig
from sluice.web.exchange import Answer
from sluice.web.http1 import Http1Client
from sluice.web.http2 import Http2Client
from sluice.web.resolve import Resolver

_FILES: Final = 65_536  # connections of hosts that were asked once wait some seconds before they are closed


class WebClient:
    """Opens exchanges, each over the best that its server speaks."""

    def __init__(self, config: FetchConfig) -> None:
        _allow_files()
        resolver = Resolver(Allowed(config.allow))
        tls = ssl.create_default_context()
        self._plain = Http1Client(config, resolver, tls)
        self._secure = Http2Client(config, resolver, tls)

    def open(self, url: URL, headers: Mapping[str, str]) -> AbstractAsyncContextManager[Answer]:
        """Ask for `url`."""
        return self._secure.open(url, headers) if url.scheme == "https" else self._plain.open(url, headers)

    async def close(self) -> None:
        """Drop all connections."""
        await self._plain.close()
        await self._secure.close()


def _allow_files() -> None:
    """Let this process open as many files as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
