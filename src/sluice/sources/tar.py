"""The members of a tar, from its headers alone: ustar, pax and GNU long names; data is passed over, never read.

A member that cannot be taken (a link, a device, a path that leads out, more bytes than there are) is yielded with its
`problem`, so that whoever groups members can account for it.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final
from zlib import adler32

from sluice.errors import SourceError
from sluice.table.refs import local_path
from sluice.table.remote import RemoteFile

_BLOCK: Final = 512
_AHEAD: Final = 2048  # bytes a read: a header, a short caption and the next header
_RECORD: Final = 2**16  # writers fill the end up with zeros to a record of 10 KiB or so
_EXTENDED_BYTES: Final = 2**20  # a longer pax header or name is an attack
_PACKED: Final = {b"\x1f\x8b": "gzip", b"BZ": "bzip2", b"\xfd7": "xz", b"(\xb5": "zstd"}
_REFUSED: Final = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a device",
    b"4": "a device",
    b"6": "a FIFO",
    b"S": "a sparse file",
}
_PAX_KEYS: Final = (b"path=", b"size=", b"GNU.sparse")
_ADLER: Final = 65_521
_WITHOUT_DATA: Final = b"123456"


@dataclass(frozen=True, slots=True)
class Member:
    """One member; where it has a `problem` its bytes must not be read. `last`: the tar is unreadable after it."""

    name: str
    offset: int
    size: int
    problem: str | None = None
    last: bool = False
    header: int = 0  # first byte of its first header, extended ones before it included


class TarFile:
    """A tar open for reading anywhere in it."""

    def __init__(self, uri: str, handle: int | RemoteFile, size: int) -> None:
        self.uri = uri
        self.size = size
        self._handle = handle
        self._start = 0
        self._window = b""

    def at(self, offset: int, count: int) -> bytes:
        """`count` bytes from `offset`, fewer at the end of the file."""
        start = offset - self._start
        if start >= 0 and start + count <= len(self._window):
            return self._window[start : start + count]
        try:
            if not isinstance(self._handle, int):
                return self._handle.at(offset, count)
            self._window = os.pread(self._handle, max(count, _AHEAD), offset)
        except OSError as error:
            raise SourceError(f"{self.uri}: cannot be read at byte {offset:,}: {error.strerror or error}") from error
        self._start = offset
        return self._window[:count]


class TarBytes(TarFile):
    """Members of a tar that are held in memory, such as those of one sample; they need not end as a tar does."""

    def __init__(self, uri: str, data: bytes) -> None:
        super().__init__(uri, -1, len(data))
        self._data = data + bytes(2 * _BLOCK)  # the end-of-archive marker

    def at(self, offset: int, count: int) -> bytes:
        """`count` bytes from `offset`, fewer at the end of what is held."""
        return self._data[offset : offset + count]


@contextmanager
def open_tar(uri: str) -> Generator[TarFile]:
    """Open the tar `uri`, local or remote; a `SourceError` when that is impossible."""
    path = local_path(uri)
    if path is not None:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise SourceError(f"{uri}: cannot be opened: {error.strerror}") from error
        try:
            yield TarFile(uri, descriptor, os.fstat(descriptor).st_size)
        finally:
            os.close(descriptor)
        return
    try:
        file = RemoteFile(uri)
    except OSError as error:
        raise SourceError(f"{uri}: cannot be opened: {error}") from error
    with file:
        yield TarFile(uri, file, file.size)


def members(tar: TarFile) -> Iterator[Member]:
    """Every member in order, folders left out. A file that is no tar raises `SourceError`."""
    at = 0
    name: str | None = None  # from an extended header, for the member that follows
    size: int | None = None
    problem: str | None = None
    first: int | None = None  # byte of the first header of the member that follows
    while True:
        block = tar.at(at, _BLOCK)
        if block.count(0) == _BLOCK:
            if tar.at(at, _RECORD).strip(b"\0"):
                message = f"the shard holds more after its end-of-archive marker at byte {at:,}: were shards joined?"
                yield Member(f"@{at}", at, 0, message, last=True)
            return
        header = _header(block)
        if header is None:
            if at == 0:
                raise SourceError(f"{tar.uri}: {_no_tar(block)}")
            message = "is cut: it has no end-of-archive marker" if len(block) < _BLOCK else "holds garbage"
            yield Member(f"@{at}", at, 0, f"the shard {message} at byte {at:,}; what comes after is lost", last=True)
            return
        own_name, own_size, kind = header
        start = at + _BLOCK
        if kind != b"g":  # which speaks of the whole tar
            first = at if first is None else first
        if kind in b"xgLK":
            if own_size > _EXTENDED_BYTES or start + own_size > tar.size:
                message = f"an extended header of {own_size:,} bytes at byte {at:,}; what comes after is lost"
                yield Member(f"@{at}", at, 0, message, last=True)
                return
            data = tar.at(start, own_size)
            if kind == b"L":
                name = _text(data)
            elif kind == b"x":
                name, size, problem = _pax(data, name, size)
            at = _after(start, own_size)
            continue
        if kind == b"S":
            start = _after_sparse_map(tar, block, start)
        held = 0 if kind in _WITHOUT_DATA else own_size if size is None else size
        whole = name if name is not None else own_name
        problem = problem or _problem(whole, kind)
        name = size = None
        at = _after(start, held)
        begin, first = start if first is None else first, None
        if start + held > tar.size:
            have = max(tar.size - start, 0)
            yield Member(whole, start, 0, f"declares {held:,} bytes, the shard ends after {have:,} of them", last=True)
            return
        if kind != b"5" and not (kind == b"\0" and whole.endswith("/")):
            yield Member(whole, start, held, problem, header=begin)
        problem = None


def _header(block: bytes) -> tuple[str, int, bytes] | None:
    """Name, size and type of a header block; None when it is none."""
    if len(block) < _BLOCK:
        return None
    checksum = _number(block[148:156])
    if checksum is None or ((_sum(block) - checksum) % _ADLER and checksum != _signed_sum(block)):
        return None
    size = _number(block[124:136])
    if size is None:
        return None
    name = _text(block[:100])
    if block[257:263] == b"ustar\0" and block[345]:
        name = f"{_text(block[345:500])}/{name}"
    return name, size, block[156:157]


def _sum(block: bytes) -> int:
    """The checksum of a header modulo 65,521: Adler-32 sums bytes some twenty times faster than Python does."""
    return (adler32(block) & 0xFFFF) - 1 - sum(block[148:156]) + 8 * 32


def _signed_sum(block: bytes) -> int:
    """The checksum as some old writers take it: of signed bytes."""
    field = block[:148] + b" " * 8 + block[156:]
    return sum(field) - 256 * sum(byte > 127 for byte in field)


def _number(field: bytes) -> int | None:
    """A number in octal, or in base 256 where its first bit is set; None when it is none or negative."""
    if field[0] & 0x80:
        return None if field[0] & 0x40 else int.from_bytes(bytes([field[0] & 0x3F]) + field[1:])
    digits = field.partition(b"\0")[0].strip() or b"0"
    try:
        return int(digits, 8) if digits.isdigit() else None
    except ValueError:  # an 8 or a 9
        return None


def _text(field: bytes) -> str:
    # Bytes are read by offset, so a name is a label: one that is not UTF-8 is shown escaped.
    return field.partition(b"\0")[0].decode("utf-8", "backslashreplace")


def _pax(data: bytes, name: str | None, size: int | None) -> tuple[str | None, int | None, str | None]:
    """Name, size and problem of the member after a pax header: records `length key=value newline`."""
    problem = None
    at = 0 if any(key in data for key in _PAX_KEYS) else len(data)  # most hold nothing but a time
    while at < len(data) and data[at]:
        count, space, _ = data[at : at + 20].partition(b" ")
        end = at + int(count) if count.isdigit() else at
        key, equals, value = data[at + len(count) + 1 : end - 1].partition(b"=")
        if not space or not equals or end > len(data) or data[end - 1 : end] != b"\n":
            return name, size, "its pax header is malformed"
        if key == b"path":
            name = _text(value)
        elif key == b"size":
            if not value.isdigit() or len(value) > 20:
                return name, size, "its pax header is malformed"
            size = int(value)
        elif key.startswith(b"GNU.sparse"):
            problem = "is a sparse file"
        at = end
    return name, size, problem


def _problem(name: str, kind: bytes) -> str | None:
    if kind not in b"0\x0075":
        return f"is {_REFUSED.get(kind, f'of the unknown kind {kind!r}')}"
    if name.startswith("/"):
        return "has an absolute path"
    if ".." in name and ".." in name.split("/"):
        return "has a path that leads out of the shard (`..`)"
    return None


def _after(start: int, size: int) -> int:
    return start + (size + _BLOCK - 1) // _BLOCK * _BLOCK


def _after_sparse_map(tar: TarFile, block: bytes, start: int) -> int:
    """The first byte after the blocks that go on with the map of an old GNU sparse file."""
    more = block[482]
    while more and start < tar.size:
        following = tar.at(start, _BLOCK)
        more = following[504] if len(following) == _BLOCK else 0
        start += _BLOCK
    return start


def _no_tar(block: bytes) -> str:
    if not block:
        return "is empty; expected a tar"
    packing = _PACKED.get(block[:2])
    if packing:
        return f"is compressed with {packing}; members can only be read in place from a plain tar: decompress it first"
    return "is no tar: its first 512 bytes are no tar header"
