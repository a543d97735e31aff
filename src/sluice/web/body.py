"""A body read within bounds: size, unpacking and what it is are looked at while it comes, never after."""

from __future__ import annotations

import hashlib
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Final

from sluice.errors import SampleFailure
from sluice.media.header import sniff
from sluice.web.answer import FetchFailure
from sluice.web.exchange import Answer

_IN_MEMORY: Final = 256 * 2**10  # bytes of a body; what is longer waits on the disk for its turn to be stored
_SNIFFED: Final = 512  # bytes from which on the content tells what it is
_PIECE: Final = 2**18


class Body:
    """The bytes of one image until they are stored: in memory while they are few, then in a nameless file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._parts: list[bytes] = []
        self._file: IO[bytes] | None = None
        self._hash = hashlib.sha256()
        self.start = b""  # what tells what it is
        self.size = 0
        self.format = ""

    @property
    def sha256(self) -> str:
        """In hexadecimal digits."""
        return self._hash.hexdigest()

    def add(self, data: bytes) -> None:
        """Take the next bytes."""
        self._hash.update(data)
        if len(self.start) < _SNIFFED:
            self.start += data[:_SNIFFED]
        self.size += len(data)
        if self._file is None and self.size > _IN_MEMORY:
            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - closed by `close`
            self._file.writelines(self._parts)
            self._parts.clear()
        if self._file is None:
            self._parts.append(data)
        else:
            self._file.write(data)

    def pieces(self) -> Iterator[bytes]:
        """All bytes, in order."""
        if self._file is None:
            yield from self._parts
            return
        self._file.seek(0)
        while piece := self._file.read(_PIECE):
            yield piece

    def close(self) -> None:
        """Let the bytes go."""
        self._parts.clear()
        if self._file is not None:
            self._file.close()
            self._file = None


async def read_body(answer: Answer, limit: int, folder: Path) -> Body:
    """The body of an answer, an image of at most `limit` bytes as sent and as unpacked."""
    announced = answer.header("content-length")
    if announced and announced.isdecimal() and int(announced) > limit:
        raise FetchFailure("too_large", f"announces {int(announced):,} bytes, the limit is {limit:,}")
    unpack = unpacker(answer.header("content-encoding"), limit)
    body = Body(folder)
    sent, sniffed = 0, False
    try:
        async for chunk in answer.chunks():
            sent += len(chunk)
            if sent > limit:
                raise FetchFailure("too_large", f"stopped after {limit:,} bytes, the limit")
            for data in unpack(chunk):
                body.add(data)
                if body.size > limit:
                    raise FetchFailure("too_large", f"{sent:,} bytes unpack to more than {limit:,}, the limit")
            if not sniffed and body.size >= _SNIFFED:
                body.format, sniffed = _sniffed(body), True
        if unpack.unfinished:
            raise FetchFailure("network", f"the packed body breaks off after {sent:,} bytes", passing=True)
        if not body.size:
            raise FetchFailure("decode", "an empty body")
        if not sniffed:
            body.format = _sniffed(body)
    except BaseException:
        body.close()
        raise
    return body


async def read_text(answer: Answer, limit: int) -> str:
    """The first `limit` bytes of a text."""
    unpack = unpacker(answer.header("content-encoding"), limit)
    parts: list[bytes] = []
    size = 0
    async for chunk in answer.chunks():
        for data in unpack(chunk):
            parts.append(data)
            size += len(data)
        if size >= limit:
            break
    return b"".join(parts)[:limit].decode("utf-8", "replace")


class unpacker:  # noqa: N801 - called like a function, for each piece
    """Undoes a `Content-Encoding`, never giving more than a piece past `limit` bytes in all."""

    def __init__(self, encoding: str | None, limit: int) -> None:
        name = (encoding or "identity").strip().lower()
        self._left = limit
        self._inflate: Callable[[bytes, int], bytes] | None = None
        if name in ("identity", "", "none"):
            return
        if name not in ("gzip", "x-gzip", "deflate"):
            raise FetchFailure("decode", f"Content-Encoding {name!r}, which was not asked for")
        self._packed = zlib.decompressobj(zlib.MAX_WBITS | 32)
        self._inflate = self._packed.decompress

    @property
    def unfinished(self) -> bool:
        """Whether packed data broke off."""
        return self._inflate is not None and not self._packed.eof

    def __call__(self, chunk: bytes) -> Iterator[bytes]:
        """What the next piece unpacks to, in pieces."""
        if self._inflate is None:
            yield chunk
            return
        while chunk and not self._packed.eof and self._left >= 0:
            try:
                data = self._inflate(chunk, _PIECE)
            except zlib.error as error:
                raise FetchFailure("decode", f"a damaged packed body: {error}") from error
            self._left -= len(data)
            chunk = self._packed.unconsumed_tail
            if data:
                yield data


def _sniffed(body: Body) -> str:
    try:
        return sniff(body.start)
    except SampleFailure as failure:
        raise FetchFailure("decode", failure.message) from failure
