"""HTTPS by httpcore, which takes HTTP/2 where the server offers it (ALPN) and HTTP/1.1 where it does not.

One handshake settles which; over HTTP/2 all requests of a host share a connection. aiohttp, faster as it is, speaks no
HTTP/2. Connections go only to addresses that were checked, and certificates are verified.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import httpcore
from yarl import URL

from sluice.web.address import Allowed
from sluice.web.answer import FetchFailure
from sluice.web.config import FetchConfig
from sluice.web.exchange import refused
from sluice.web.resolve import Resolver

_KEEP: Final = 5.0  # seconds that a connection waits for the next request of its host
_ADDRESSES: Final = 3  # tried, one after the other, within the time for connecting


class Http2Client:
    """Asks over HTTP/2 where it is served."""

    def __init__(self, config: FetchConfig, resolver: Resolver, tls: ssl.SSLContext) -> None:
        self._config = config
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls,
            max_connections=2 * config.concurrency,  # who asks keeps to the limits
            max_keepalive_connections=config.concurrency,
            keepalive_expiry=_KEEP,
            http2=True,
            network_backend=_Network(config, resolver),
        )

    @asynccontextmanager
    async def open(self, url: URL, headers: Mapping[str, str]) -> AsyncGenerator[_Answer]:
        """Ask for `url`."""
        config = self._config
        default = {"https": 443, "http": 80}[url.scheme]
        host = url.host_subcomponent or ""
        authority = host if url.port in (None, default) else f"{host}:{url.port}"
        request = httpcore.Request(
            "GET",
            httpcore.URL(scheme=url.scheme, host=url.raw_host or "", port=url.port, target=url.raw_path_qs),
            headers=[("Host", authority), *headers.items()],
        )
        try:
            async with asyncio.timeout(config.connect + config.first_byte):
                response = await self._pool.handle_async_request(request)
        except (TimeoutError, httpcore.TimeoutException) as error:
            message = str(error) or f"no answer within {config.connect + config.first_byte:g} s"
            raise FetchFailure("timeout", message, passing=True) from error
        except Exception as error:
            raise _told(error) from error
        try:
            yield _Answer(response)
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
            raise _told(error) from error
        finally:
            with suppress(httpcore.NetworkError, httpcore.ProtocolError, OSError):
                await response.aclose()

    async def close(self) -> None:
        """Drop all connections."""
        await self._pool.aclose()


class _Answer:
    def __init__(self, response: httpcore.Response) -> None:
        self._response = response
        self.status = response.status
        version = bytes(response.extensions.get("http_version", b"HTTP/1.1")).decode("ascii", "replace")
        self.http = version.removeprefix("HTTP/")

    def header(self, name: str) -> str | None:
        wanted = name.encode()
        found = [value.decode("latin-1") for field, value in self._response.headers if field.lower() == wanted]
        return ", ".join(found) if found else None

    def chunks(self) -> AsyncIterator[bytes]:
        return self._response.aiter_stream()


class _Network(httpcore.AsyncNetworkBackend):
    """Connections to addresses that were looked up and checked here."""

    def __init__(self, config: FetchConfig, resolver: Resolver) -> None:
        self._seconds = config.connect
        self._allowed = Allowed(config.allow)
        self._resolver = resolver

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            async with asyncio.timeout(self._seconds):
                error: OSError | None = None
                for address in (await self._resolver.addresses(host, port))[:_ADDRESSES]:
                    try:
                        return await self._connect(host, address, port)
                    except OSError as failed:
                        error = failed
        except TimeoutError as late:
            raise httpcore.ConnectTimeout(f"no connection within {self._seconds:g} s") from late
        raise error or OSError(f"{host}: has no address")

    async def _connect(self, host: str, address: str, port: int) -> httpcore.AsyncNetworkStream:
        self._allowed.check(host, address)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().sock_connect(connection, (address, port))
            self._allowed.check(host, str(connection.getpeername()[0]))
            return _Stream(*await asyncio.open_connection(sock=connection))
        except BaseException:
            connection.close()
            raise

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class _Stream(httpcore.AsyncNetworkStream):
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            return await self._reader.read(max_bytes)
        except OSError as error:
            raise httpcore.ReadError(str(error)) from error

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        try:
            self._writer.write(buffer)
            await self._writer.drain()
        except OSError as error:
            raise httpcore.WriteError(str(error)) from error

    async def aclose(self) -> None:
        self._writer.close()  # nobody waits for the other side to close in turn

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        try:
            await self._writer.start_tls(ssl_context, server_hostname=server_hostname)
        except (OSError, ssl.SSLError) as error:
            self._writer.close()
            raise httpcore.ConnectError(f"no safe connection: {error}") from error
        return self

    def get_extra_info(self, info: str) -> Any:
        names = {"client_addr": "sockname", "server_addr": "peername"}
        return self._writer.get_extra_info(names.get(info, info))


def _told(error: BaseException) -> FetchFailure:
    """What a client's error means, with its class."""
    if isinstance(error, FetchFailure):
        return error
    known = refused(error)
    if known is not None:
        return known
    said = " ".join(str(error).split())[:200] or type(error).__name__
    if isinstance(error, httpcore.LocalProtocolError | httpcore.UnsupportedProtocol | ValueError):
        return FetchFailure("unsafe", f"no URL that may be asked for: {said}")
    if isinstance(error, httpcore.RemoteProtocolError):
        return FetchFailure("network", f"the answer broke off, or is no HTTP: {said}", passing=True)
    if isinstance(error, httpcore.NetworkError | OSError):
        final = "CERTIFICATE_VERIFY_FAILED" in said
        return FetchFailure("network", f"the connection failed: {said}", passing=not final)
    raise error
