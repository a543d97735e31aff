"""Refs: where the bytes of an item lie, and reading them there, in place, within bounds.

| container | `uri` | `member` | `offset` | `size` |
| --- | --- | --- | --- | --- |
| `file` | the file itself | null | null | bytes, where the listing says |
| `tar` | the shard | the member's name | first byte of the member's data | bytes |
| `parquet`, `arrow` | the file | the column (`image`, `image.bytes`, `images[2].bytes`) | the row in the file | null |

A local `uri` is a plain absolute path; everything else is an fsspec URL. A local name that is not valid UTF-8 is
written as a percent-encoded `file://` URL, because a table cannot hold it otherwise.
"""

from __future__ import annotations

import os
import stat
from collections import OrderedDict
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Literal, Self
from urllib.parse import quote, unquote_to_bytes

from sluice.errors import SampleFailure
from sluice.table.column_reader import ColumnReader
from sluice.table.remote import RemoteFile, read_start

Container = Literal["file", "tar", "parquet", "arrow"]

# A FIFO or a device in place of an image must not block the worker: opened non-blocking, then refused.
_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
_HANDLES: Final = 8  # shards kept open; a unit reads from one or two


@dataclass(frozen=True, slots=True)
class Ref:
    """Where the bytes of one item lie."""

    container: Container
    uri: str
    member: str | None = None
    offset: int | None = None
    size: int | None = None


def local_uri(path: str) -> str:
    """The uri of a local file: the path itself, or a percent-encoded `file://` URL when it is not valid UTF-8.

    >>> local_uri("/data/a b.jpg")
    '/data/a b.jpg'
    >>> local_uri("/data/caf" + chr(0xdce9) + ".jpg")
    'file:///data/caf%E9.jpg'
    """
    if path.isascii():
        return path
    try:
        path.encode()
    except UnicodeEncodeError:
        return "file://" + quote(path.encode("utf-8", "surrogateescape"))
    return path


def local_path(uri: str) -> str | bytes | None:
    """The local path behind `uri`, or None when it is remote."""
    if "://" not in uri:
        return uri
    return unquote_to_bytes(uri[len("file://") :]) if uri.startswith("file://") else None


class RefReader:
    """Reads refs, keeping a few shards open; not thread-safe. No read takes more than `max_bytes`.

    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp(), "note.txt")
    >>> _ = path.write_bytes(b"sluice")
    >>> with RefReader(max_bytes=1024) as reader:
    ...     reader.read(Ref("file", str(path)))
    b'sluice'
    """

    def __init__(self, max_bytes: int) -> None:
        self._max = max_bytes
        self._files: OrderedDict[str, int | RemoteFile] = OrderedDict()
        self._columns: OrderedDict[tuple[str, str], ColumnReader] = OrderedDict()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every handle; the reader can be used again afterwards."""
        while self._files:
            _close(self._files.popitem()[1])
        while self._columns:
            self._columns.popitem()[1].close()

    def read(self, ref: Ref) -> bytes:
        """The bytes of `ref`; `SampleFailure` (`io`, `too_large`) naming the uri when they cannot be had."""
        if ref.size is not None and ref.size > self._max:
            raise self._too_large(ref, ref.size)
        if ref.container == "file":
            path = local_path(ref.uri)
            return self._whole_local(path, ref) if path is not None else self._whole_remote(ref)
        if ref.container == "tar":
            return self._range(ref)
        return self._cell(ref)

    def _whole_local(self, path: str | bytes, ref: Ref) -> bytes:
        try:
            descriptor = os.open(path, _FLAGS)
        except (OSError, ValueError) as error:
            raise _unreadable(ref, error) from error
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise SampleFailure("io", f"{ref.uri}: is not a file")
            if status.st_size > self._max:
                raise self._too_large(ref, status.st_size)
            return _exactly(descriptor, status.st_size, 0, ref)
        except OSError as error:
            raise _unreadable(ref, error) from error
        finally:
            os.close(descriptor)

    def _whole_remote(self, ref: Ref) -> bytes:
        try:
            data = read_start(ref.uri, (self._max if ref.size is None else ref.size) + 1)
        except OSError as error:
            raise _unreadable(ref, error) from error
        if ref.size is not None and len(data) != ref.size:
            found = f"has {len(data):,} bytes" if len(data) < ref.size else "is longer"
            raise SampleFailure("io", f"{ref.uri}: had {ref.size:,} bytes when it was listed, now {found}")
        if len(data) > self._max:
            raise self._too_large(ref, len(data))
        return data

    def _range(self, ref: Ref) -> bytes:
        if ref.offset is None or ref.size is None or ref.offset < 0 or ref.size < 0:
            raise SampleFailure("io", f"{ref.uri}: a tar member needs an offset and a size")
        try:
            handle = self._shard(ref)
            if isinstance(handle, int):
                return _exactly(handle, ref.size, ref.offset, ref)
            data = handle.at(ref.offset, ref.size)
        except (OSError, ValueError) as error:
            raise _unreadable(ref, error) from error
        if len(data) != ref.size:
            raise _short(ref, len(data))
        return data

    def _shard(self, ref: Ref) -> int | RemoteFile:
        handle = self._files.get(ref.uri)
        if handle is not None:
            self._files.move_to_end(ref.uri)
            return handle
        path = local_path(ref.uri)
        handle = os.open(path, _FLAGS) if path is not None else RemoteFile(ref.uri)
        self._files[ref.uri] = handle
        if len(self._files) > _HANDLES:
            _close(self._files.popitem(last=False)[1])
        return handle

    def _cell(self, ref: Ref) -> bytes:
        if ref.offset is None or ref.member is None:
            raise SampleFailure("io", f"{ref.uri}: a {ref.container} ref needs a column and a row")
        place = (ref.uri, ref.member)
        column = self._columns.get(place)
        if column is None:
            column = ColumnReader(ref.container, local_path(ref.uri) or ref.uri, ref.uri, ref.member)
            self._columns[place] = column
            if len(self._columns) > _HANDLES:
                self._columns.popitem(last=False)[1].close()
        self._columns.move_to_end(place)
        return column.read(ref.offset, self._max)

    def _too_large(self, ref: Ref, size: int) -> SampleFailure:
        return SampleFailure("too_large", f"{_place(ref)}: {size:,} bytes, the limit is {self._max:,}")


def _exactly(descriptor: int, size: int, offset: int, ref: Ref) -> bytes:
    """`size` bytes from `offset`; the kernel gives at most 2 GiB a call, so ask on until they are there."""
    data = os.pread(descriptor, size, offset)
    while len(data) < size:
        more = os.pread(descriptor, size - len(data), offset + len(data))
        if not more:
            raise _short(ref, len(data))
        data += more
    return data


def _close(handle: int | RemoteFile) -> None:
    if isinstance(handle, int):
        os.close(handle)
    else:
        handle.close()


def _place(ref: Ref) -> str:
    return ref.uri if ref.member is None else f"{ref.uri} ({ref.member})"


def _short(ref: Ref, got: int) -> SampleFailure:
    return SampleFailure("io", f"{_place(ref)}: ends after {got:,} of {ref.size or 0:,} bytes")


def _unreadable(ref: Ref, error: Exception) -> SampleFailure:
    if isinstance(error, FileNotFoundError):
        return SampleFailure("io", f"{_place(ref)}: no such file")
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
    return SampleFailure("io", f"{_place(ref)}: {reason}")
