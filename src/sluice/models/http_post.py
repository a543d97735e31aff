"""One JSON request that is tried again when the reason passes: waits, deadlines, and a key that is never told.

The standard library does it: one POST at a time needs no package, and `urllib` honours the proxies of the
environment. What it lacks is here: a deadline over the whole exchange (its timeouts begin anew with each byte), and
no redirects (they would carry the key to another host).
"""

from __future__ import annotations

import email.utils
import http.client
import json
import os
import random
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import IO, TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias, TypeVar
from urllib.parse import urlsplit

from sluice.errors import SampleFailure, SluiceError

if TYPE_CHECKING:
    from collections.abc import Generator

_LARGEST: Final = 256 << 20  # bytes of an answer; 10,000 vectors of 1,024 numbers are 220 MB of JSON
_FIRST_WAIT: Final = 0.5  # seconds; doubled with each try
_SHOWN: Final = 200  # characters of a service's own message

T = TypeVar("T")

Trouble = Literal["rate", "server", "rejected", "unreachable", "connection", "timeout", "json", "answer"]
"""429, 5xx and the like, other 4xx; nobody there, broken off, late; no JSON; what `read` refused."""
Attempt: TypeAlias = Callable[[int], AbstractContextManager[Mapping[str, str]]]
"""Entered around each try, with its number: gives headers of that try, may wait or refuse, and sees how it ended."""


class PostFailure(SampleFailure):
    """A request that got no usable answer: why in a word, and after how many tries."""

    def __init__(self, message: str, kind: Trouble, tried: int) -> None:
        super().__init__("api", message)
        self.kind: Trouble = kind
        self.tried = tried


class FinalFailure(SampleFailure):
    """For what reads an answer to raise where another try would get the same: it goes through as it is."""


class Passing(Exception):  # noqa: N818 - a reason to try again, not an error yet
    """A try that failed for a reason that may pass; `retry_after` is in seconds, where the service said so."""

    def __init__(self, reason: str, kind: Trouble, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.kind: Trouble = kind
        self.retry_after = retry_after


class Service(Protocol):
    """What a recipe says of any service."""

    @property
    def url(self) -> str: ...
    @property
    def key_variable(self) -> str | None: ...
    @property
    def timeout(self) -> float: ...
    @property
    def tries(self) -> int: ...
    @property
    def longest_wait(self) -> float: ...


def _plainly(_: int) -> AbstractContextManager[Mapping[str, str]]:
    return nullcontext({})


class Poster:
    """Sends JSON to one address. Called with a body and what reads the answer, which may refuse it.

    Threads may share one.
    """

    def __init__(
        self,
        url: str,
        *,
        key_variable: str | None,
        timeout: float,
        tries: int,
        longest_wait: float,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        parts = urlsplit(url)
        if parts.username or parts.password or parts.query:
            raise SluiceError(
                "the url of a service is written down in every run: leave user, password and query out, put the key in "
                "an environment variable and name it in key_variable:"
            )
        self._url = url
        self._key_variable = key_variable
        self._timeout = timeout
        self._tries = tries
        self._longest_wait = longest_wait
        self._sleep = sleep
        self._jitter = random.Random()

    def __call__(self, body: dict[str, Any], read: Callable[[object], T], attempt: Attempt = _plainly) -> T:
        """What `read` makes of the answer. `PostFailure` once every try has failed, or one for good."""
        data = json.dumps(body).encode()
        for tried in range(1, self._tries + 1):
            try:
                with attempt(tried) as headers:
                    return _read(read, self._once(data, headers, tried))
            except Passing as trouble:
                reason, kind, asked = trouble.reason, trouble.kind, trouble.retry_after
            if tried == self._tries:
                raise PostFailure(f"{self._url}: {reason} (tried {tried} times)", kind, tried)
            wait = _FIRST_WAIT * 2 ** (tried - 1) * self._jitter.uniform(1, 1.5)
            wait = min(wait, self._longest_wait) if asked is None else asked
            if wait > self._longest_wait:
                raise PostFailure(
                    f"{self._url}: {reason}; it asks for {wait:.0f} s, and longest_wait is {self._longest_wait:g} s",
                    kind,
                    tried,
                )
            self._sleep(wait)
        raise AssertionError("a try returns or raises")

    def _once(self, data: bytes, more: Mapping[str, str], tried: int) -> object:
        key = self._key()
        headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "sluice", **more}
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        request = urllib.request.Request(self._url, data, headers, method="POST")
        with _deadline(self._timeout) as clock:
            try:
                with clock.opener.open(request, timeout=self._timeout) as response:
                    text = _whole(response)
            except urllib.error.HTTPError as error:
                with error:
                    said = _excerpt(error, key)
                raise self._refused(error, said, tried) from None
            except (OSError, http.client.HTTPException) as error:
                if clock.expired or isinstance(error, TimeoutError) or isinstance(_reason(error), TimeoutError):
                    raise Passing(f"no whole answer within {self._timeout:g} s", "timeout") from None
                said = _hidden(str(_reason(error)), key)
                raise Passing(f"the connection failed: {said}", _how_it_broke(_reason(error))) from None
            if clock.expired:
                raise Passing(f"no whole answer within {self._timeout:g} s", "timeout")
        try:
            return json.loads(text)
        except ValueError as error:
            raise Passing(f"the answer is no whole JSON ({len(text):,} bytes)", "json") from error

    def _refused(self, error: urllib.error.HTTPError, said: str, tried: int) -> Exception:
        """What a status code means: for the person, for these inputs, or for now."""
        status = f"HTTP {error.code}{f': {said}' if said else ''}"
        if error.code in (401, 403):
            hint = (
                f"check the key in {self._key_variable}" if self._key_variable else "it wants a key: say key_variable:"
            )
            return SluiceError(f"{self._url}: {status}; {hint}")
        if error.code in (404, 405) or 300 <= error.code < 400:
            return SluiceError(f"{self._url}: {status}; check url: and model: (redirects are not followed)")
        if error.code in (408, 409, 425, 429) or error.code >= 500:
            kind: Trouble = "rate" if error.code == 429 else "server"
            return Passing(status, kind, _retry_after(error.headers.get("Retry-After")))
        return PostFailure(f"{self._url}: {status}", "rejected", tried)

    def _key(self) -> str | None:
        """Read when it is used, kept nowhere."""
        if self._key_variable is None:
            return None
        key = os.environ.get(self._key_variable, "").strip()
        if not key:
            raise SluiceError(
                f"{self._url}: the key is to be in the environment variable {self._key_variable}: it is not set"
            )
        if not key.isascii() or not key.isprintable():
            raise SluiceError(f"the key in the environment variable {self._key_variable} cannot stand in a header")
        return key


def _read(read: Callable[[object], T], answer: object) -> T:
    try:
        return read(answer)
    except FinalFailure:
        raise
    except SampleFailure as failure:  # an answer without what was asked for: the next may have it
        raise Passing(failure.message, "answer") from failure


def poster_to(service: Service, path: str | None = None) -> Poster:
    """What sends to `path` of a service as it is configured; None: its URL is the whole address."""
    return Poster(
        service.url if path is None else f"{service.url.rstrip('/')}/{path}",
        key_variable=service.key_variable,
        timeout=service.timeout,
        tries=service.tries,
        longest_wait=service.longest_wait,
    )


class _Clock:
    """Ends an exchange that takes too long by closing its socket under it."""

    def __init__(self) -> None:
        self.expired = False
        self._sockets: list[socket.socket] = []
        self.opener = urllib.request.OpenerDirector()
        for part in (
            urllib.request.ProxyHandler(),
            _Plain(self._sockets),
            _Secure(self._sockets),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPErrorProcessor(),
            urllib.request.UnknownHandler(),
        ):
            self.opener.add_handler(part)

    def expire(self) -> None:
        self.expired = True
        for one in self._sockets:
            try:
                socket.socket.shutdown(one, socket.SHUT_RDWR)  # of the connection below TLS: its reader sees the end
            except OSError:
                continue  # already closed: the exchange is over


@contextmanager
def _deadline(seconds: float) -> Generator[_Clock]:
    clock = _Clock()
    timer = threading.Timer(seconds, clock.expire)
    timer.daemon = True
    timer.start()
    try:
        yield clock
    finally:
        timer.cancel()


class _Plain(urllib.request.HTTPHandler):
    """http, its sockets in `sockets`."""

    def __init__(self, sockets: list[socket.socket]) -> None:
        super().__init__()
        self._sockets = sockets

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_noting(http.client.HTTPConnection, self._sockets), req)


class _Secure(urllib.request.HTTPSHandler):
    """https, its sockets in `sockets`."""

    def __init__(self, sockets: list[socket.socket]) -> None:
        super().__init__()
        self._sockets = sockets

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_noting(http.client.HTTPSConnection, self._sockets), req)


def _noting(kind: type[http.client.HTTPConnection], sockets: list[socket.socket]) -> type[http.client.HTTPConnection]:
    """Connections of this kind that note their socket once they have one."""

    class Connection(kind):
        def connect(self) -> None:
            super().connect()
            sockets.append(self.sock)

    return Connection


def _whole(response: IO[bytes]) -> bytes:
    text = response.read(_LARGEST + 1)
    if len(text) > _LARGEST:
        raise SampleFailure("api", f"the answer is longer than {_LARGEST >> 20} MB")
    return text


def _excerpt(response: IO[bytes], key: str | None) -> str:
    """What a service says of its refusal, on one line, without the key that some repeat."""
    try:
        raw = response.read(4096)
    except (OSError, http.client.HTTPException):
        return ""
    try:
        fields = json.loads(raw)
        error = fields.get("error", fields)
        text = str(error.get("message", error) if isinstance(error, dict) else error)
    except (ValueError, AttributeError):
        text = raw.decode("utf-8", "replace")
    return " ".join(_hidden(text, key).split())[:_SHOWN]


def _hidden(text: str, key: str | None) -> str:
    return text if key is None else text.replace(key, "***")


def _reason(error: BaseException) -> BaseException:
    inner = getattr(error, "reason", None)
    return inner if isinstance(inner, BaseException) else error


def _how_it_broke(error: BaseException) -> Trouble:
    """Whether the request may have reached the service: if nobody took the connection, nobody charges for it."""
    return "unreachable" if isinstance(error, ConnectionRefusedError | socket.gaierror) else "connection"


def _retry_after(value: str | None) -> float | None:
    """Seconds, from seconds or from a date.

    >>> _retry_after("7"), _retry_after(None), _retry_after("soon")
    (7.0, None, None)
    """
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        when = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(when.timestamp() - time.time(), 0.0)
