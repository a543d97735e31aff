"""HTTP/1.1 by aiohttp, whose parser is in C. Connections go only to addresses that were checked."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from sluice.web.address import Allowed
from sluice.web.answer import FetchFailure
from sluice.web.config import FetchConfig
from sluice.web.exchange import refused
from sluice.web.resolve import Resolver

_KEEP: Final = 5.0  # seconds that a connection waits for the next request of its host: many hosts have but one
_DRAINED: Final = 16 * 2**10  # bytes
_HOST: ContextVar[str] = ContextVar("host")  # whom the connection being made is for


class _Names(AbstractResolver):
    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in await self._resolver.addresses(host, port)
        ]

    async def close(self) -> None:
        """Nothing is held."""


class Http1Client:
    """Asks over HTTP/1.1, one request at a time on a connection, kept for the next."""

    def __init__(self, config: FetchConfig, resolver: Resolver, tls: ssl.SSLContext) -> None:
        allowed = Allowed(config.allow)
        self._config = config

        def guarded(found: tuple[Any, ...]) -> socket.socket:
            """The socket for the very address that it is about to connect to."""
            family, kind, protocol, _, address = found
            allowed.check(_HOST.get(), str(address[0]))
            return socket.socket(family, kind, protocol)

        connector = aiohttp.TCPConnector(
            resolver=_Names(resolver),
            use_dns_cache=False,  # the resolver is one
            limit=0,  # who asks keeps to the limits
            keepalive_timeout=_KEEP,
            ssl=tls,
            socket_factory=guarded,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,  # it knows no limit
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, connect=config.connect),
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent"),
            trust_env=False,  # through a proxy no address could be checked
        )

    @asynccontextmanager
    async def open(self, url: URL, headers: Mapping[str, str]) -> AsyncGenerator[_Answer]:
        """Ask for `url`."""
        config = self._config
        _HOST.set(url.raw_host or "")
        try:
            async with asyncio.timeout(config.connect + config.first_byte):
                response = await self._session.get(url, headers=headers, allow_redirects=False)
        except TimeoutError as error:
            what = "connection" if isinstance(error, aiohttp.ConnectionTimeoutError) else "answer"
            seconds = config.connect if what == "connection" else config.connect + config.first_byte
            raise FetchFailure("timeout", f"no {what} within {seconds:g} s", passing=True) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _told(error) from error
        try:
            yield _Answer(response)
            await _drain(response)
        except (aiohttp.ClientError, OSError) as error:
            raise _told(error) from error
        finally:
            response.release()  # closes the connection where something is still to come

    async def close(self) -> None:
        """Drop all connections."""
        await self._session.close()


class _Answer:
    http = "1.1"

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status

    def header(self, name: str) -> str | None:
        found = self._response.headers.getall(name, None)
        return ", ".join(found) if found else None

    def chunks(self) -> AsyncIterator[bytes]:
        return self._response.content.iter_any()


async def _drain(response: aiohttp.ClientResponse) -> None:
    """Read the little that follows a redirect or an error, so that its connection can serve again."""
    length = response.content_length
    if not response.content.at_eof() and length is not None and length <= _DRAINED:
        with suppress(TimeoutError, aiohttp.ClientError):
            async with asyncio.timeout(1):
                await response.content.read()


def _told(error: BaseException) -> FetchFailure:
    """What a client's error means, with its class."""
    known = refused(error)
    if known is not None:
        return known
    if isinstance(error, aiohttp.InvalidURL | aiohttp.NonHttpUrlClientError):
        return FetchFailure("unsafe", f"no URL that may be asked for: {error}")
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
        return FetchFailure("network", f"no safe connection: {error}")
    if isinstance(error, aiohttp.ClientPayloadError):
        return FetchFailure("network", f"the answer broke off: {_line(error)}", passing=True)
    if isinstance(error, aiohttp.ClientResponseError):
        return FetchFailure("network", f"no HTTP answer: {_line(error)[:80]}", passing=True)
    return FetchFailure("network", f"the connection failed: {_line(error)}", passing=True)


def _line(error: BaseException) -> str:
    said = getattr(error, "message", None) or str(error) or type(error).__name__
    return " ".join(str(said).split())[:300]
