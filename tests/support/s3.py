"""An S3 service on loopback: moto's own server, with every request counted and, where a test asks, made to fail.

`s3` is a fixture for every test.
"""

from __future__ import annotations

import os
import random
import threading
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

BUCKET = "corpus"


@dataclass(frozen=True)
class Request:
    """One request that the service answered."""

    method: str
    path: str
    range: str | None
    status: int
    bytes: int


class Faults:
    """Makes a share of all requests fail, drawn from a seed: half of them refused, the others answered badly.

    `kinds` counts: `500` and `503` (SlowDown) refuse before anything is done, `lost` is done and answered by a 500,
    `cut` is an answer that ends before its Content-Length.
    """

    def __init__(self, share: float, seed: int) -> None:
        self._share, self._random, self._lock = share, random.Random(seed), threading.Lock()
        self.kinds: dict[str, int] = dict.fromkeys(("500", "503", "lost", "cut"), 0)

    def draw(self, method: str) -> str | None:
        """What happens to this request; None: nothing."""
        with self._lock:
            if self._random.random() >= self._share:
                return None
            kind = self._random.choice(("500", "503", "cut" if method == "GET" else "lost"))
            self.kinds[kind] += 1
            return kind


@dataclass
class Service:
    """A running service with one empty bucket.

    `trouble` may answer a request in its stead, with a status; `spoil` may change the bytes of an answer, which is then
    as long as it says. `faults` are of every kind that a real service has.
    """

    endpoint: str
    client: Any
    requests: list[Request] = field(default_factory=list[Request])
    trouble: Callable[[dict[str, Any]], int | None] = lambda environ: None
    spoil: Callable[[dict[str, Any], bytes], bytes] = lambda environ, data: data
    faults: Faults | None = None

    def upload(self, folder: Path, prefix: str) -> str:
        """Put every file below `folder` into the bucket; the URL that now means the folder."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.put(f"{prefix}/{path.relative_to(folder)}", path.read_bytes())
        return f"s3://{BUCKET}/{prefix}"

    def put(self, key: str, data: bytes) -> None:
        """Write one object."""
        self.client.put_object(Bucket=BUCKET, Key=key, Body=data)

    def objects(self, prefix: str) -> dict[str, bytes]:
        """All objects below `prefix`, by their name there."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{prefix}/")
        keys = [found["Key"] for page in pages for found in page.get("Contents", ())]
        return {
            key.removeprefix(f"{prefix}/"): self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
            for key in keys
        }

    def copied(self, prefix: str, folder: Path) -> Path:
        """All objects below `prefix` as files in `folder`."""
        for name, data in self.objects(prefix).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        return folder

    def delete(self, key: str) -> None:
        """Remove one object."""
        self.client.delete_object(Bucket=BUCKET, Key=key)

    @contextmanager
    def only_known_users(self) -> Iterator[None]:
        """Refuse whoever is no user of the account, as AWS does; the service here has none."""
        self._allow(0)
        try:
            yield
        finally:
            self._allow(10**9)

    def _allow(self, requests: int) -> None:
        url, plain = f"{self.endpoint}/moto-api/reset-auth", {"Content-Type": "text/plain"}
        order = urllib.request.Request(url, str(requests).encode(), plain, method="POST")
        urllib.request.urlopen(order).close()

    def answer(self, app: Any, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        """A WSGI application around moto's."""
        fault = self.faults.draw(environ["REQUEST_METHOD"]) if self.faults else None
        status = int(fault) if fault in ("500", "503") else self.trouble(environ)
        said: list[int] = []
        if fault == "lost":
            b"".join(app(environ, lambda *_: None))
            status = 500
        if status is None:
            answers: list[tuple[str, list[tuple[str, str]]]] = []

            def started(line: str, headers: list[tuple[str, str]], *_: Any) -> None:
                answers.append((line, headers))

            whole = b"".join(app(environ, started))
            ((line, headers),) = answers
            said.append(int(line.split(maxsplit=1)[0]))
            data = self.spoil(environ, whole)
            if len(data) != len(whole):
                headers = [(name, value) for name, value in headers if name.lower() != "content-length"]
                headers.append(("Content-Length", str(len(data))))
            start(line, headers)
            body = [data[: len(data) // 2] if fault == "cut" else data]
        else:
            said.append(status)
            start(f"{status} Trouble", [("Content-Type", "application/xml")])
            code = {503: "SlowDown", 404: "NoSuchUpload"}.get(status, "InternalError")
            body = [f"<Error><Code>{code}</Code><Message>for a moment</Message></Error>".encode()]
        size = sum(map(len, body)) if environ["REQUEST_METHOD"] == "GET" else 0
        path = environ["PATH_INFO"]
        self.requests.append(Request(environ["REQUEST_METHOD"], path, environ.get("HTTP_RANGE"), said[0], size))
        return body


@contextmanager
def s3_service() -> Iterator[Service]:
    """Start a service; the environment names it and its credentials, as a user's would, until it ends."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    own = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "tester",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    _forget_endpoints()
    try:
        service = Service(own["AWS_ENDPOINT_URL"], boto3.client("s3"))
        service.client.create_bucket(Bucket=BUCKET)
        inner = server._server.app
        server._server.app = lambda environ, start: service.answer(inner, environ, start)
        yield service
    finally:
        server.stop()
        _forget_endpoints()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value


@pytest.fixture(scope="module")
def s3_running() -> Iterator[Service]:
    """One service for all tests of a module."""
    with s3_service() as service:
        yield service


@pytest.fixture
def s3(s3_running: Service) -> Iterator[Service]:
    """The service, with no requests counted so far."""
    s3_running.requests.clear()
    yield s3_running
    s3_running.trouble, s3_running.spoil = (lambda environ: None), (lambda environ, data: data)
    s3_running.faults = None


def _forget_endpoints() -> None:
    """A file system keeps the endpoint that it was made with: another service needs another one."""
    import s3fs

    from sluice.table import remote

    remote._system_of.cache_clear()
    s3fs.S3FileSystem.clear_instance_cache()
