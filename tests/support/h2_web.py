"""HTTPS on loopback that speaks HTTP/2, or HTTP/1.1 alone, by ALPN; connections and streams are counted."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events

from support.bad_web import jpeg
from support.serving import serving


@dataclass
class SecureWeb:
    """What was asked, over how many connections."""

    port: int
    authority: Path  # a file with the certificate to be trusted
    connections: list[str] = field(default_factory=list)  # the protocol of each
    paths: list[str] = field(default_factory=list)

    def url(self, path: str, host: str = "secure.test") -> str:
        return f"https://{host}:{self.port}{path}"


def _body(path: str) -> tuple[int, bytes, dict[str, str]]:
    if path == "/robots.txt":
        return 404, b"", {}
    number = int("".join(filter(str.isdigit, path)) or 0)
    if path.startswith("/moved"):
        return 302, b"", {"location": f"/ok/{number}.jpg"}
    if path.startswith("/large"):
        return 200, jpeg(number) + bytes(700_000), {}
    if path.startswith("/noai"):
        return 200, jpeg(number), {"x-robots-tag": "noai"}
    return 200, jpeg(number), {}


class _Http2:
    """One connection: answers each stream, waiting for the window of what does not fit."""

    def __init__(self, web: SecureWeb, writer: asyncio.StreamWriter) -> None:
        self.web, self.writer = web, writer
        self.connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self.left: dict[int, bytes] = {}

    async def run(self, reader: asyncio.StreamReader) -> None:
        self.connection.initiate_connection()
        self._flush()
        while data := await reader.read(2**16):
            for event in self.connection.receive_data(data):
                self._on(event)
            self._flush()

    def _on(self, event: Any) -> None:
        if isinstance(event, h2.events.RequestReceived):
            headers = {bytes(name).decode(): bytes(value).decode() for name, value in event.headers}
            path = headers[":path"]
            self.web.paths.append(path)
            if path.startswith("/reset"):
                self.connection.reset_stream(event.stream_id)
                return
            status, body, more = _body(path)
            fields = [(":status", str(status)), ("content-length", str(len(body))), *more.items()]
            self.connection.send_headers(event.stream_id, fields)
            self.left[event.stream_id] = body
        elif isinstance(event, h2.events.StreamReset):
            self.left.pop(event.stream_id, None)
        for stream in list(self.left):
            self._send(stream)

    def _send(self, stream: int) -> None:
        body = self.left[stream]
        while body:
            room = min(self.connection.local_flow_control_window(stream), self.connection.max_outbound_frame_size)
            if room <= 0:
                self.left[stream] = body
                return
            self.connection.send_data(stream, body[:room])
            body = body[room:]
        self.connection.end_stream(stream)
        del self.left[stream]

    def _flush(self) -> None:
        self.writer.write(self.connection.data_to_send())


async def _http1(web: SecureWeb, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while head := await reader.readuntil(b"\r\n\r\n"):
        path = head.split(b" ", 2)[1].decode()
        web.paths.append(path)
        status, body, more = _body(path)
        lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *(f"{k}: {v}" for k, v in more.items())]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        await writer.drain()


@contextmanager
def secure_web(folder: Path, protocols: list[str]) -> Generator[SecureWeb]:
    """The server, in a thread of its own; its certificate is for every name of `.test`."""
    import trustme

    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("*.test", "secure.test").configure_cert(tls)
    tls.set_alpn_protocols(protocols)
    web = SecureWeb(0, folder / "ca.pem")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        protocol = writer.get_extra_info("ssl_object").selected_alpn_protocol() or "http/1.1"
        web.connections.append(protocol)
        try:
            await (_Http2(web, writer).run(reader) if protocol == "h2" else _http1(web, reader, writer))
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    with serving(serve, ssl=tls) as web.port:
        yield web
