"""A web of many hosts on loopback that misbehaves by path: late, cut, endless, circular, packed, lying.

A plain asyncio server that writes bytes itself, because a real HTTP library would not send most of this.
"""

from __future__ import annotations

import asyncio
import gzip
import io
import random
import time
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache

from PIL import Image

from support.serving import serving


@lru_cache(maxsize=4096)
def jpeg(number: int, side: int = 96) -> bytes:
    """A JPEG of its own for each number."""
    rng = random.Random(number)
    picture = Image.new("RGB", (8, 8))
    picture.putdata([tuple(rng.randrange(256) for _ in range(3)) for _ in range(64)])
    data = io.BytesIO()
    picture.resize((side, side), Image.Resampling.BICUBIC).save(data, "JPEG", quality=90)
    return data.getvalue()


@dataclass
class Asked:
    """A request as the server saw it."""

    host: str
    path: str
    headers: dict[str, str]
    time: float


@dataclass
class BadWeb:
    """What was asked, and what `robots` each host has."""

    port: int = 0
    asked: list[Asked] = field(default_factory=list)
    robots: dict[str, tuple[int, str]] = field(default_factory=dict)
    times: Counter[str] = field(default_factory=Counter)
    broken: set[str] = field(default_factory=set)  # paths that answer 503 for now
    latency: float = 0.0

    def url(self, path: str, host: str = "h.test") -> str:
        return f"http://{host}:{self.port}{path}"

    def paths(self) -> list[str]:
        """The paths asked for, robots.txt left out."""
        return [one.path for one in self.asked if one.path != "/robots.txt"]


_BOMB = gzip.compress(jpeg(0) + bytes(2**26), 1)

Writer = asyncio.StreamWriter
Behaviour = Callable[[BadWeb, Writer, int, Asked], Awaitable[bool]]  # whether the connection may go on


def _head(status: int, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _whole(writer: Writer, data: bytes, status: int = 200, **headers: str) -> bool:
    fields = {"Content-Type": "image/jpeg", "Content-Length": str(len(data))}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    writer.write(_head(status, fields) + data)
    return True


async def _answer(web: BadWeb, writer: Writer, asked: Asked) -> bool:
    kind, _, rest = asked.path.lstrip("/").partition("/")
    number = int("".join(c for c in rest if c.isdigit()) or 0)
    body = jpeg(number)
    times = web.times[asked.path] = web.times[asked.path] + 1
    if asked.path in web.broken:
        return _whole(writer, b"", 503)
    match kind:
        case "robots.txt":
            status, text = web.robots.get(asked.host, (404, ""))
            return _whole(writer, text.encode(), status)
        case "ok":
            return _whole(writer, body, Last_Modified="Wed, 21 Oct 2015 07:28:00 GMT")
        case "licensed":
            return _whole(writer, body, Link='<https://creativecommons.org/licenses/by/4.0/>; rel="license"')
        case "late":
            await asyncio.sleep(5)
            return _whole(writer, body)
        case "drip":
            writer.write(_head(200, {"Content-Length": str(len(body))}))
            for byte in body:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.05)
            return True
        case "status":
            return _whole(writer, b"<html>no</html>", number)
        case "flaky":
            return _whole(writer, body) if times > number % 10 else _whole(writer, b"", 503)
        case "busy":
            return _whole(writer, body) if times > 1 else _whole(writer, b"", 429, Retry_After="1")
        case "busy-for-long":
            return _whole(writer, b"", 429, Retry_After="3600")
        case "endless" | "endless-chunked":
            chunked = kind.endswith("chunked")
            writer.write(_head(200, {"Transfer-Encoding": "chunked"} if chunked else {"Connection": "close"}))
            writer.write((b"%x\r\n%b\r\n" % (len(body), body)) if chunked else body)
            piece = bytes(2**16)
            while True:
                writer.write((b"%x\r\n%b\r\n" % (len(piece), piece)) if chunked else piece)
                await writer.drain()
        case "announced":
            return _whole(writer, b"", Content_Length=str(10**12))
        case "circle":
            return _whole(writer, b"", 302, Location=f"/circle/{(number + 1) % 3}")
        case "stairs":
            return _whole(writer, b"", 301, Location=f"/stairs/{number + 1}")
        case "moved":
            return _whole(writer, b"", 302, Location=f"/ok/{number}.jpg")
        case "moved-to":
            return _whole(writer, b"", 307, Location=rest)
        case "nowhere":
            return _whole(writer, b"", 302)
        case "short":
            _whole(writer, body[: len(body) // 2], Content_Length=str(len(body)))
            return False
        case "cut-chunks":
            writer.write(_head(200, {"Transfer-Encoding": "chunked"}) + b"%x\r\n" % len(body) + body[:99])
            return False
        case "long":
            return _whole(writer, body, Content_Length=str(len(body) - 40)) and False
        case "html":
            return _whole(writer, b"<!DOCTYPE html><html>" + bytes(2000))
        case "text-type":
            return _whole(writer, body, Content_Type="text/plain")
        case "empty":
            return _whole(writer, b"")
        case "gzip":
            return _whole(writer, gzip.compress(body), Content_Encoding="gzip")
        case "deflate":
            return _whole(writer, zlib.compress(body), Content_Encoding="deflate")
        case "bomb":
            return _whole(writer, _BOMB, Content_Encoding="gzip")
        case "cut-gzip":
            return _whole(writer, gzip.compress(body)[:-60], Content_Encoding="gzip")
        case "brotli":
            return _whole(writer, body, Content_Encoding="br")
        case "noai":
            return _whole(writer, body, X_Robots_Tag="noai")
        case "noai-other":
            return _whole(writer, body, X_Robots_Tag="otherbot: noai")
        case "tdm":
            return _whole(writer, body, TDM_Reservation="1")
        case "silent":
            return False
        case "junk":
            writer.write(b"\x00\x01not http at all\r\n\r\n")
            return False
        case "same":
            return _whole(writer, jpeg(0))
        case _:
            return _whole(writer, b"", 404)


async def _serve(web: BadWeb, reader: asyncio.StreamReader, writer: Writer) -> None:
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            line, *fields = head.decode("latin-1").rstrip().split("\r\n")
            headers = {name.lower(): value for name, _, value in (field.partition(": ") for field in fields)}
            asked = Asked(headers.get("host", "").partition(":")[0], line.split(" ")[1], headers, time.monotonic())
            web.asked.append(asked)
            if web.latency:
                await asyncio.sleep(web.latency)
            if not await _answer(web, writer, asked):
                break
            await writer.drain()
        await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
        pass
    finally:
        writer.close()


@contextmanager
def bad_web() -> Generator[BadWeb]:
    """The server, in a thread of its own, on every address of 127.0.0.0/8."""
    web = BadWeb()
    with serving(lambda reader, writer: _serve(web, reader, writer), backlog=1024) as web.port:
        yield web
