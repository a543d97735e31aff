"""A service on loopback that takes JSON: what the played services have in common."""

from __future__ import annotations

import json
import ssl
import threading
from abc import ABC, abstractmethod
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Loopback(ABC):
    """Listens from the start until `close`; what it does with a request is for `post` to say."""

    def __init__(self, secured: ssl.SSLContext | None = None) -> None:
        self.over = threading.Event()
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                service.post(self, json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            def log_message(self, *_: object) -> None:
                """Quiet."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_: object) -> None:
                """A client that was killed is no error of ours."""

        self._server = Server(("127.0.0.1", 0), Handler)
        if secured is not None:
            self._server.socket = secured.wrap_socket(self._server.socket, server_side=True)
        self.url = f"http{'s' if secured else ''}://127.0.0.1:{self._server.server_address[1]}/v1"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @abstractmethod
    def post(self, handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        """What becomes of a request. In a thread of its own."""

    def close(self) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()


def write(handler: BaseHTTPRequestHandler, data: bytes, status: int = 200, **headers: str) -> None:
    """A whole answer; `Retry_After` is the header `Retry-After`."""
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data)
