"""A web server on loopback that serves a folder, with ranges (RFC 9110, section 14) or without; its answers counted."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

_RANGE = re.compile(r"bytes=(\d+)-(\d*)$")


@dataclass
class Site:
    """A folder on the web. `trouble` may give a status for a path; `ranges` that are
    unknown are not even refused."""

    folder: Path
    url: str = ""
    ranges: Literal["served", "refused", "unknown"] = "served"
    trouble: Callable[[str], int | None] = lambda path: None
    answers: Counter[tuple[str, int]] = field(default_factory=Counter[tuple[str, int]])  # by method and status
    asked: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])  # by method and path


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, site: Site, *arguments: object) -> None:
        self.site = site
        super().__init__(*arguments)  # type: ignore[arg-type]

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""

    def do_HEAD(self) -> None:
        self._serve()

    def do_GET(self) -> None:
        self._serve()

    def _serve(self) -> None:
        name = unquote(self.path.partition("?")[0])
        path = self.site.folder / name.lstrip("/")
        self.site.asked[self.command, name] += 1
        status = self.site.trouble(name) or (200 if path.is_file() else 404)
        if status != 200:
            self._answer(status, b"", {})
            return
        data = path.read_bytes()
        asked = _RANGE.match(self.headers.get("Range", "")) if self.site.ranges == "served" else None
        accepted = {"served": {"Accept-Ranges": "bytes"}, "refused": {"Accept-Ranges": "none"}, "unknown": {}}
        whole = {"ETag": f'"{hash(data):x}"', **accepted[self.site.ranges]}
        if asked is None:
            self._answer(200, data, whole)
            return
        first, last = int(asked[1]), min(int(asked[2] or len(data)), len(data) - 1)
        if first > last:
            self._answer(416, b"", {"Content-Range": f"bytes */{len(data)}"})
        else:
            place = {"Content-Range": f"bytes {first}-{last}/{len(data)}"}
            self._answer(206, data[first : last + 1], whole | place)

    def _answer(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        self.site.answers[self.command, status] += 1
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)


@contextmanager
def website(folder: Path) -> Iterator[Site]:
    """Serve `folder` until the end."""
    site = Site(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, site))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    site.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
