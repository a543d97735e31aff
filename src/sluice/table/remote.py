"""Bytes behind a URL, through fsspec: bounded reads, one family of errors, a bounded number of tries.

What fails for a moment (a broken connection, a 5xx) is tried three times in all, over about a second; the S3 client has
tries of its own below that. What is left is a `RemoteError`: a `MissingRemoteError` where there is no such file, a
`RefusedError` where waiting mends nothing. What must not fail is tried so in five rounds, over about ten seconds.
"""

from __future__ import annotations

import io
import os
import random
import re
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl, urlsplit

from sluice.errors import MissingExtraError

_Got = TypeVar("_Got")

_EXTRAS: Final = {"s3": "s3", "s3a": "s3", "http": "http", "https": "http"}
_WAITS: Final = (0.2, 0.8)  # seconds before the second and the third try, each up to half more
_ROUNDS: Final = (0.5, 1.0, 2.0, 4.0)  # seconds between rounds, each up to half more: processes must not try in step
_LEAST_AHEAD: Final = 2**16  # bytes a request; twice as many each time reads go on where they were
_MOST_AHEAD: Final = 4 * 2**20  # about what a connection to S3 carries in the time that one request takes to answer
_GAP: Final = 2**20  # bytes passed over that still count as going on, and are read: that costs less than a request
_NO_PARTS: Final = "the server gives no part of a file (HTTP ranges); copy it to a disk or an object store"
_AGAIN: Final = (408, 425, 429)
_DENIED: Final = (401, 403)
_GONE: Final = (404, 410)
_SIGNED: Final = {"x-amz-signature", "x-goog-signature", "signature", "sig"}  # of S3, GCS, CloudFront, Azure

_jitter = random.Random()  # of our own: the program's numbers stay as it seeded them


class RemoteError(OSError):
    """What could not be had from a URL, and how to mend it; the URL itself is for the caller to name."""


class MissingRemoteError(RemoteError, FileNotFoundError):
    """There is no such file."""


class RefusedError(RemoteError):
    """The store says no, and will: no credentials or wrong ones, no such bucket."""


def is_http(uri: str) -> bool:
    """Whether `uri` lies on a web server: one that lists nothing, unless it writes index pages."""
    return uri.startswith(("http://", "https://"))


def masked(uri: str) -> str:
    """`uri` without what may be a secret in it, to be shown.

    >>> masked("s3://me:secret@bucket/a"), masked("https://host/a.tar?X-Amz-Signature=0f3a")
    ('s3://***@bucket/a', 'https://host/a.tar?***')
    """
    head, mark, _ = re.sub(r"//[^/?#]*@", "//***@", uri).partition("?")
    return f"{head}{mark}***" if mark else head


def credentials_in(uri: str) -> str | None:
    """What `uri` holds that a recipe must not: a recipe is copied into its run. None where that is nothing.

    >>> credentials_in("https://host/a.tar?X-Amz-Signature=0f3a")
    'a signature'
    >>> credentials_in("https://host/a.tar?version=3")
    """
    parts = urlsplit(uri) if "://" in uri else None
    if parts is None:
        return None
    if "@" in parts.netloc:
        return "a user name or a key"
    names = {name.lower() for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
    return "a signature" if names & _SIGNED else None


def filesystem(uri: str) -> tuple[Any, str]:
    """The fsspec file system of a URL, and the path in it."""
    scheme, _, rest = uri.partition("://")
    try:
        system = _system_of(f"{scheme}://{rest.partition('/')[0]}/", os.getpid())
    except ImportError as error:
        if scheme in _EXTRAS:
            raise MissingExtraError(f"{scheme}://", _EXTRAS[scheme]) from error
        raise RemoteError(f"{scheme}:// needs another package: {error}") from error
    except ValueError as error:
        raise RemoteError(str(error)) from error
    return system, system._strip_protocol(uri)


@lru_cache(maxsize=64)
def _system_of(prefix: str, process: int) -> Any:  # an fsspec file system; its threads do not survive a fork
    import fsspec

    # a listing kept from an earlier run in this process would hide what has changed since
    return fsspec.core.url_to_fs(prefix, use_listings_cache=False)[0]


def info(uri: str) -> dict[str, Any]:
    """What the file system says of a file or folder: `type`, `size`, an `ETag` or the like."""
    system, path = filesystem(uri)
    return tried(lambda: system.info(path))


def stamp(facts: dict[str, Any]) -> str:
    """What changes with a file, out of what `info` says of it; empty where the file system tells nothing."""
    names = ("ETag", "etag", "mtime", "LastModified", "Last-Modified", "created")
    return str(next((facts[name] for name in names if facts.get(name)), ""))


def find(uri: str) -> dict[str, dict[str, Any]]:
    """Every file below a folder: its path in the file system, and what `info` would say of it."""
    system, path = filesystem(uri)
    # on the web fsspec passes over pages that it cannot have, unless told
    options = {"on_error": "raise"} if is_http(uri) else {}
    found: dict[str, dict[str, Any]] = tried(lambda: system.find(path, detail=True, **options))
    # S3 consoles make a folder as an empty object whose name ends in a slash
    return {name: facts for name, facts in found.items() if facts.get("type") != "directory" and name[-1:] != "/"}


def read_start(uri: str, most: int) -> bytes:
    """The first `most` bytes of a file, or all where there are fewer: one request."""
    system, path = filesystem(uri)

    def once() -> bytes:
        if not is_http(uri):
            try:
                return system.cat_file(path, start=0, end=most)
            except OSError as error:
                if code_of(error) in ("InvalidRange", "416"):  # an empty object has no first byte
                    return b""
                raise
        # as a stream, because a server that knows no ranges would send all of a large file; `size` saves a HEAD
        with system.open(path, "rb", block_size=0, size=1) as file:
            parts: list[bytes] = []
            left = most
            while left > 0 and (part := file.read(left)):
                parts.append(part)
                left -= len(part)
            return b"".join(parts)

    return tried(once)


class Positioned:
    """The part of a file, open for reading, that knows its size and where the next read begins."""

    size: int
    _at = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to a place; it is where the next read begins."""
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence]
        return self._at

    def tell(self) -> int:
        """The place of the next read."""
        return self._at

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True


class RemoteFile(Positioned, io.BufferedIOBase):
    """A file behind a URL, open for reading anywhere in it, a window at a time.

    A window is as long as the read, but at least 64 KiB; reads that go on where the last ended double it up to 4 MiB,
    so that the members of a tar cost a request every few megabytes, and a lone one no more than itself. At most 5 MiB
    are held.
    """

    def __init__(self, uri: str) -> None:
        super().__init__()
        self.name = uri
        system, path = filesystem(uri)
        self._handle: Any = tried(lambda: system.open(path, "rb", cache_type="none"))
        size = getattr(self._handle, "size", None)
        self.size = size if isinstance(size, int) else self._measured()
        self._start = 0  # place of the first byte held
        self._window = b""
        self._ahead = _LEAST_AHEAD // 2

    def at(self, offset: int, count: int) -> bytes:
        """`count` bytes from `offset`, fewer at the end of the file."""
        offset = min(offset, self.size)
        end = min(offset + count, self.size)
        if offset < self._start or end > self._start + len(self._window):
            if end - offset > _MOST_AHEAD:
                return self._long(offset, end)
            self._load(offset, end)
        return self._window[offset - self._start : end - self._start]

    def _load(self, offset: int, end: int) -> None:
        """Hold the bytes from `offset` to `end`, and what is to come if reads go on from the window held.

        A little of what lies before stays held: the texts of a sample are read once the next one has begun.
        """
        held = self._start + len(self._window)
        if self._start <= offset <= held + (_GAP if self._window else 0):
            self._ahead = min(self._ahead * 2, _MOST_AHEAD)
            start, begin = min(max(self._start, offset - _GAP), held), held
        else:
            self._ahead = _LEAST_AHEAD
            start = begin = offset
        kept = self._window[start - self._start :] if begin == held else b""
        self._window = kept + self._fetch(begin, min(max(end, offset + self._ahead), self.size))
        self._start = start

    def _long(self, offset: int, end: int) -> bytes:
        """A read longer than any window: nothing of it is held."""
        data = self._window[offset - self._start :] if self._start <= offset else b""
        data += self._fetch(offset + len(data), end)
        self._start, self._window = end, b""
        return data

    def _fetch(self, start: int, stop: int) -> bytes:
        if start >= stop:
            return b""

        def once() -> bytes:
            self._handle.seek(start)
            data: bytes = self._handle.read(stop - start)
            if len(data) != stop - start:
                raise RemoteError(f"ends after {start + len(data):,} of {self.size:,} bytes")
            return data

        return tried(once)

    def _measured(self) -> int:
        try:
            return self._handle.seek(0, os.SEEK_END)
        except (OSError, ValueError) as error:
            self._handle.close()
            raise RemoteError(_NO_PARTS) from error

    def read(self, size: int | None = -1, /) -> bytes:
        """The next `size` bytes, or all that are left."""
        data = self.at(self._at, self.size - self._at if size is None or size < 0 else size)
        self._at += len(data)
        return data

    def read1(self, size: int = -1, /) -> bytes:
        """The next bytes, as many as are held, at most `size`."""
        held = self.peek()
        data = held if size < 0 else held[:size]
        self._at += len(data)
        return data

    def peek(self, size: int = 0, /) -> bytes:
        """What is held from here on, at least a byte unless the file ends here."""
        if not self._start <= self._at < self._start + len(self._window):
            self._load(self._at, min(self._at + 1, self.size))
        return self._window[self._at - self._start :][: max(size, _LEAST_AHEAD)]

    def close(self) -> None:
        """Let the window and the connection go."""
        if not self.closed:
            self._window = b""
            self._handle.close()
        super().close()


def tried(call: Callable[[], _Got]) -> _Got:
    """What `call` gives, tried anew where it failed for a moment; a `RemoteError` otherwise."""
    for wait in (*_WAITS, None):
        try:
            return call()
        except Exception as error:  # each remote client raises its own family
            if wait is None or not _is_passing(error):
                if isinstance(error, RemoteError):
                    raise
                raise _told(error) from error
        _pause(wait)
    raise AssertionError("the last try returns or raises")


def in_rounds(uri: str, call: Callable[[], _Got]) -> _Got:
    """What `call` gives, in several rounds with growing pauses; a RemoteError that names `uri` after the last."""
    for wait in (*_ROUNDS, None):
        try:
            return call()
        except (MissingRemoteError, RefusedError) as error:
            raise type(error)(f"{uri}: {error}") from error
        except RemoteError as error:
            if wait is None:
                raise RemoteError(f"{uri}: {error} (after {len(_ROUNDS) + 1} rounds)") from error
        _pause(wait)
    raise AssertionError("the last round returns or raises")


def _pause(seconds: float) -> None:
    time.sleep(seconds * _jitter.uniform(1, 1.5))


def _is_passing(error: BaseException) -> bool:
    """Whether another try may do better."""
    error = _origin(error)
    status = getattr(error, "status", None)
    if isinstance(status, int) and status:
        return status >= 500 or status in _AGAIN
    if type(error).__module__.startswith("botocore") or isinstance(error, FileNotFoundError | PermissionError):
        return False  # botocore and s3fs have tried five times each
    return isinstance(error, OSError) or type(error).__module__.startswith("aiohttp")


def _told(error: BaseException) -> RemoteError:
    """The error in words, with what mends it."""
    origin = _origin(error)
    kind, status, code = type(origin).__name__, getattr(origin, "status", None), code_of(error)
    said = (str(error).strip().splitlines() or [""])[0]
    if code == "NoSuchBucket":
        return RefusedError("there is no such bucket; check its name, and AWS_ENDPOINT_URL where it is not at AWS")
    if kind == "NoCredentialsError":
        return RefusedError("no credentials found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE")
    if kind in ("EndpointConnectionError", "ConnectTimeoutError", "InvalidEndpoint"):
        return RemoteError(f"{origin}; check AWS_ENDPOINT_URL and the network")
    if status in _DENIED:
        return RefusedError(
            f"the server refuses it (HTTP {status}); give a URL that needs no log-in, or the store's own"
        )
    if isinstance(error, PermissionError):
        why = f" ({said})" if said else ""
        return RefusedError(
            f"access denied{why}; check that the credentials may list and read it, and that it is there"
        )
    if status in _GONE or code in ("NoSuchKey", "404") or isinstance(origin, FileNotFoundError):
        return MissingRemoteError("no such file")
    if isinstance(status, int) and status:
        return RemoteError(f"the server answers HTTP {status} {getattr(origin, 'message', '')}".strip())
    if "support range requests" in said:
        return RemoteError(_NO_PARTS)
    reason = (str(origin).strip().splitlines() or [""])[0]
    return RemoteError(reason or kind)


def _origin(error: BaseException) -> BaseException:
    """What really happened: fsspec says `FileNotFoundError` whatever a web server answered, s3fs keeps the cause."""
    cause = error.__cause__
    if isinstance(error, FileNotFoundError) and cause is not None:
        return cause
    if cause is not None and type(cause).__module__.startswith("botocore"):
        return cause
    return error


def code_of(error: BaseException) -> str:
    """The error code of an S3 service, where there is one."""
    response = getattr(_origin(error), "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""
