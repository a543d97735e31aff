"""POSIX tar, written and read front to back: fixed headers, so equal members give equal bytes.

Ustar as POSIX.1-1988 has it, all fields but name and size fixed (mode 0644, owner 0, time 0); a pax header
(POSIX.1-2001) goes before a member only where its name or size does not fit. The end is two zero blocks, padded to
the customary record of 20 blocks. The bytes are those Python's `tarfile` writes for the same members.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import BinaryIO, Final, NamedTuple, Protocol
from zlib import adler32

BLOCK: Final = 512
RECORD: Final = 20 * BLOCK
LARGEST: Final = 8**11 - 1  # bytes: what eleven octal digits hold
LONGEST: Final = 100  # bytes of a name in the header

_BEFORE_SIZE: Final = b"0000644\x000000000\x000000000\x00"  # mode, owner, group
_TIME: Final = b"00000000000\x00"
_MAGIC: Final = bytes(LONGEST) + b"ustar\x0000"  # after the type: an empty link name, then magic and version
_MAGIC_AND_REST: Final = _MAGIC + bytes(BLOCK - 157 - len(_MAGIC))
_NULS: Final = tuple(bytes(LONGEST - length) for length in range(LONGEST + 1))  # after a name of that length
_FIXED_SUM: Final = sum(_BEFORE_SIZE + _TIME + _MAGIC) + 8 * ord(" ")  # the checksum counts itself as spaces
_PADS: Final = tuple(bytes(-size % BLOCK) for size in range(BLOCK))
_PAX: Final = b"x"
_FILE: Final = b"0"
_ADLER: Final = 65_521  # sums are told apart below it; a header of ours sums up to some 20,000


class Sink(Protocol):
    """What a tar is written to."""

    def write(self, data: bytes, /) -> int: ...


class TarError(ValueError):
    """A tar that is not what we write: damaged, cut or of another kind."""


class Member(NamedTuple):
    """One file of a tar; offsets in bytes from the start of the tar."""

    name: str
    header: int  # first byte of its first header, a pax header included
    offset: int  # first byte of its data
    size: int  # bytes of data, without padding

    @property
    def end(self) -> int:
        """First byte after its padding."""
        return self.offset + padded(self.size)


def padded(size: int) -> int:
    """`size` rounded up to whole blocks.

    >>> padded(0), padded(1), padded(512)
    (0, 512, 512)
    """
    return size + -size % BLOCK


def member_parts(name: str, data: bytes) -> tuple[bytes, bytes, bytes]:
    """One file as it lies in a tar: headers, data, padding.

    >>> [len(part) for part in member_parts("0001.txt", b"a red bus")]
    [512, 9, 503]
    """
    size = len(data)
    return header(name, size), data, _PADS[size % BLOCK]


def write_end(sink: Sink, position: int) -> None:
    """Close a tar that is `position` bytes long so far."""
    sink.write(bytes(2 * BLOCK + -(position + 2 * BLOCK) % RECORD))


def header(name: str, size: int) -> bytes:
    """The header blocks of a file: one, or three where a pax header is needed.

    >>> len(header("0001.jpg", 1000)), len(header("0001.jpg", 9 * 2**30))
    (512, 1536)
    """
    encoded = name.encode()
    if len(encoded) <= LONGEST and size <= LARGEST and name.isascii():
        return _block(encoded, size, _FILE)
    records = b""
    if len(encoded) > LONGEST or not name.isascii():
        records += _pax_record(b"path", encoded)
    if size > LARGEST:
        records += _pax_record(b"size", b"%d" % size)
    short = name.encode("ascii", "replace")[:LONGEST]
    return (
        _block(b"././@PaxHeader", len(records), _PAX, mode=False)
        + records
        + _PADS[len(records) % BLOCK]
        + _block(short, size if size <= LARGEST else 0, _FILE)
    )


def _block(name: bytes, size: int, kind: bytes, mode: bool = True) -> bytes:
    octal = b"%011o\x00" % size
    before = _BEFORE_SIZE if mode else b"0000000\x00" + _BEFORE_SIZE[8:]
    total = _FIXED_SUM + sum(name) + sum(octal) + kind[0] - (0 if mode else sum(b"644") - sum(b"000"))
    return b"".join((name, _NULS[len(name)], before, octal, _TIME, b"%06o\x00 " % total, kind, _MAGIC_AND_REST))


def _pax_record(keyword: bytes, value: bytes) -> bytes:
    body = b" %b=%b\n" % (keyword, value)
    length = len(body)
    while length != len(str(length)) + len(body):  # the length counts its own digits
        length = len(str(length)) + len(body)
    return b"%d%b" % (length, body)


def read_members(file: BinaryIO) -> Generator[Member]:
    """The members of a tar that we wrote, from its headers alone; TarError at the first byte that is not as written.

    Strict on purpose: it is for verifying our own shards, not for reading anyone's tar.
    """
    file.seek(0, 2)
    length = file.tell()

    def exactly(position: int, size: int) -> bytes:
        if position + size > length:
            raise TarError(f"byte {position}: the file ends after {length} bytes, inside the tar")
        file.seek(position)
        return file.read(size)

    end = yield from _members(exactly, length)
    rest = exactly(end, length - end)
    if len(rest) < 2 * BLOCK or any(rest):
        raise TarError(f"byte {end}: the end of the tar is not two or more zero blocks")


def members_within(data: bytes) -> list[Member]:
    """The members of a stretch of a tar, from one header to before another; as strict, and without the tar's end.

    >>> data = b"".join(member_parts("0001.txt", b"a red bus"))
    >>> [data[one.offset : one.offset + one.size] for one in members_within(data)]
    [b'a red bus']
    """
    members: list[Member] = []
    position, length = 0, len(data)
    while position < length and data[position + 156 : position + 157] == _FILE:  # a pax header is left to `_members`
        name, size = _parse(data[position : position + BLOCK], position)
        members.append(Member(name, position, position + BLOCK, size))
        position += BLOCK + padded(size)
    if position == length:
        return members

    def exactly(position: int, size: int) -> bytes:
        if position + size > length:
            raise TarError(f"byte {position}: the stretch ends after {length} bytes, inside a member")
        return data[position : position + size]

    members = list(_members(exactly, length))
    if not members or members[-1].end < length:
        raise TarError(f"byte {members[-1].end if members else 0}: zeros where a member should begin")
    return members


def _members(exactly: Callable[[int, int], bytes], length: int) -> Generator[Member, None, int]:
    """Up to a block of zeros, or `length`; returns where that is."""
    position = 0
    pax: dict[str, str] = {}
    start: int | None = None
    while position < length:
        block = exactly(position, BLOCK)
        if not any(block):
            break
        kind = block[156:157]
        name, size = _parse(block, position)
        start = position if start is None else start
        position += BLOCK
        if kind == _PAX:
            pax = _parse_pax(exactly(position, size), position)
            position += padded(size)
            continue
        if kind != _FILE:
            raise TarError(f"byte {position - BLOCK}: a member of type {kind!r}, expected a regular file")
        size = int(pax.get("size", size))
        if position + padded(size) > length:
            raise TarError(f"byte {position}: the file ends inside member {name}")
        yield Member(pax.get("path", name), start, position, size)
        position += padded(size)
        pax, start = {}, None
    if start is not None:
        raise TarError(f"byte {position}: a pax header without a member")
    return position


def _parse(block: bytes, position: int) -> tuple[str, int]:
    try:
        size, checksum = int(block[124:135], 8), int(block[148:154], 8)
    except ValueError as error:
        raise TarError(f"byte {position}: not a tar header") from error
    # The low half of Adler-32 is the sum of all bytes and 1, in a tenth of the time that `sum` takes.
    found = (adler32(block) & 0xFFFF) - 1 - sum(block[148:156]) + 8 * ord(" ")
    if (checksum - found) % _ADLER or block[257:265] != b"ustar\x0000":
        raise TarError(f"byte {position}: the header's checksum or magic is wrong")
    return block[:LONGEST].rstrip(b"\0").decode("ascii", "replace"), size


def _parse_pax(records: bytes, position: int) -> dict[str, str]:
    values: dict[str, str] = {}
    rest = records
    while rest:
        digits, separator, _ = rest.partition(b" ")
        try:
            record, rest = rest[: int(digits)], rest[int(digits) :]
            keyword, equals, value = record[len(digits) + 1 : -1].decode().partition("=")
        except ValueError as error:
            raise TarError(f"byte {position}: a damaged pax header") from error
        if not (separator and equals and record.endswith(b"\n")):
            raise TarError(f"byte {position}: a damaged pax header")
        values[keyword] = value
    return values
