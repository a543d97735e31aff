"""The adapter of a service against a server of our own that answers right, wrong, late, cut or not at all."""

from __future__ import annotations

import json
import logging
import shutil
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sluice.errors import SampleFailure, SluiceError
from sluice.models.config import ServiceConfig
from sluice.models.http_post import Poster
from sluice.models.http_service import HttpService
from sluice.models.load import load_encoder
from sluice.models.preprocess import fitted
from support.embedding_api import EmbeddingApi, characters, pixels_of, whole
from support.loopback import write
from support.tiny_models import Pixels

KEY = "sk-very-secret-0123456789"


def answer_right(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
    write(handler, json.dumps(whole(body)).encode())


def answer(status: int, text: str = "", **headers: str) -> Callable[[BaseHTTPRequestHandler, dict[str, Any]], None]:
    return lambda handler, body: write(handler, text.encode(), status, **headers)


def changed(
    change: Callable[[list[dict[str, Any]]], object],
) -> Callable[[BaseHTTPRequestHandler, dict[str, Any]], None]:
    def act(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        fields = whole(body)
        change(fields["data"])
        write(handler, json.dumps(fields).encode())

    return act


def cut_json(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
    write(handler, json.dumps(whole(body)).encode()[:-20])


def cut_connection(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
    data = json.dumps(whole(body)).encode()
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data[: len(data) // 2])


def no_answer_at_all(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
    handler.connection.close()


@pytest.fixture
def service() -> Iterator[EmbeddingApi]:
    running = EmbeddingApi()
    yield running
    running.close()


def _encoder(service: EmbeddingApi, sleeps: list[float] | None = None, **fields: Any) -> HttpService:
    config = ServiceConfig.model_validate({"type": "http", "url": service.url, "model": "m", "dim": 4, **fields})
    poster = Poster(
        f"{config.url}/embeddings",
        key_variable=config.key_variable,
        timeout=config.timeout,
        tries=config.tries,
        longest_wait=config.longest_wait,
        sleep=(sleeps if sleeps is not None else []).append,
    )
    return HttpService(config, poster)


def _normal(items: list[Any]) -> np.ndarray:
    vectors = np.array(characters(items))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


TEXTS = [f"text {'x' * number}" for number in range(7)]


def test_texts_are_sent_in_batches_and_come_back_in_order(service: EmbeddingApi) -> None:
    service.script = [changed(lambda rows: rows.reverse()), answer_right, answer_right]
    encoder = _encoder(service, batch=3)
    assert np.abs(encoder.encode_texts(TEXTS) - _normal(TEXTS)).max() < 1e-6
    assert [request["input"] for request in service.requests] == [TEXTS[:3], TEXTS[3:6], TEXTS[6:]]
    assert {request["path"] for request in service.requests} == {"/v1/embeddings"}
    assert {request["model"] for request in service.requests} == {"m"}
    assert encoder.encode_texts([]).shape == (0, 4)


def test_the_length_of_a_vector_is_asked_once_where_it_is_not_stated(service: EmbeddingApi) -> None:
    encoder = load_encoder(ServiceConfig(type="http", url=f"{service.url}/", model="m"))
    assert service.requests == []
    assert (encoder.dim, encoder.dim) == (4, 4)
    assert encoder.encode_texts(["b"]).shape == (1, 4)
    assert [request["input"] for request in service.requests] == [["a"], ["b"]]


@pytest.mark.parametrize("form", ["data_url", "object", "modality"])
def test_images_are_sent_as_the_model_wants_them_and_lose_nothing(
    form: str, service: EmbeddingApi, photos: list[Pixels]
) -> None:
    encoder = _encoder(service, images=form, size=32, batch=4)
    out = encoder.encode_images(photos)
    sent = [item for request in service.requests for item in request["input"]]
    assert np.abs(out - _normal(sent)).max() < 1e-6
    urls = [item["image"] if form == "object" else item for item in sent]
    for url, photo in zip(urls, photos, strict=True):
        assert np.array_equal(pixels_of(url), fitted(photo, encoder.preprocess))
    assert {request.get("modality") for request in service.requests} == {"image" if form == "modality" else None}


def test_a_service_that_was_not_said_to_take_images_is_sent_none(service: EmbeddingApi, photos: list[Pixels]) -> None:
    with pytest.raises(SluiceError, match="say images: data_url, object or modality"):
        _encoder(service).encode_images(photos)
    assert service.requests == []


PASSING: dict[str, Callable[[BaseHTTPRequestHandler, dict[str, Any]], object]] = {
    "429": answer(429, '{"error": {"message": "slow down"}}'),
    "500": answer(500, "<html>oops</html>"),
    "503": answer(503),
    "cut JSON": cut_json,
    "a connection cut in the answer": cut_connection,
    "no answer at all": no_answer_at_all,
    "a vector too few": changed(lambda rows: rows.pop()),
    "a vector too many": changed(lambda rows: rows.append(rows[0])),
    "an index twice": changed(lambda rows: rows[1].update(index=0)),
    "an index out of range": changed(lambda rows: rows[1].update(index=99)),
    "a shorter vector": changed(lambda rows: rows[1]["embedding"].pop()),
    "vectors of another length": changed(lambda rows: [row["embedding"].append(1.0) for row in rows]),
    "an empty vector": changed(lambda rows: rows[0].update(embedding=[])),
    "no vector": changed(lambda rows: rows[0].pop("embedding")),
    "words for numbers": changed(lambda rows: rows[0].update(embedding=["a", "b", "c", "d"])),
    "another schema": answer(200, '{"embeddings": [[1, 2]]}'),
    "a list": answer(200, "[]"),
    "an empty answer": answer(200),
}


@pytest.mark.parametrize("fault", PASSING)
def test_a_passing_fault_is_tried_again_and_nothing_is_lost(fault: str, service: EmbeddingApi) -> None:
    sleeps: list[float] = []
    service.script = [PASSING[fault]] * 2
    assert np.abs(_encoder(service, sleeps).encode_texts(TEXTS) - _normal(TEXTS)).max() < 1e-6
    assert len(service.requests) == 3
    assert 0.5 <= sleeps[0] <= 0.75 and 1 <= sleeps[1] <= 1.5


@pytest.mark.parametrize("fault", PASSING)
def test_a_fault_that_stays_fails_after_three_tries_as_an_api_failure(fault: str, service: EmbeddingApi) -> None:
    service.script = [PASSING[fault]] * 9
    with pytest.raises(SampleFailure, match=r"tried 3 times") as caught:
        _encoder(service).encode_texts(TEXTS)
    assert caught.value.failure_class == "api"
    assert service.url in caught.value.message
    assert len(service.requests) == 3


def test_retry_after_is_obeyed_in_seconds_and_as_a_date(service: EmbeddingApi) -> None:
    sleeps: list[float] = []
    date = formatdate(time.time() + 30, usegmt=True)
    service.script = [answer(429, Retry_After="7"), answer(503, Retry_After=date)]
    _encoder(service, sleeps).encode_texts(["a"])
    assert sleeps[0] == 7
    assert 25 < sleeps[1] <= 30


def test_a_wait_longer_than_allowed_fails_at_once_and_says_so(service: EmbeddingApi) -> None:
    sleeps: list[float] = []
    service.script = [answer(429, Retry_After="3600")]
    with pytest.raises(SampleFailure, match=r"HTTP 429; it asks for 3600 s, and longest_wait is 120 s"):
        _encoder(service, sleeps).encode_texts(["a"])
    assert (sleeps, len(service.requests)) == ([], 1)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_inputs_that_are_refused_are_not_sent_again(status: int, service: EmbeddingApi) -> None:
    service.script = [answer(status, json.dumps({"error": {"message": "too\nlong"}}))]
    with pytest.raises(SampleFailure, match=rf"api: .*HTTP {status}: too long$"):
        _encoder(service).encode_texts(["a"])
    assert len(service.requests) == 1


@pytest.mark.parametrize(
    ("status", "hint"), [(401, "key_variable"), (403, "key_variable"), (404, "check url: and model:")]
)
def test_what_the_person_must_mend_stops_the_run(status: int, hint: str, service: EmbeddingApi) -> None:
    service.script = [answer(status)]
    with pytest.raises(SluiceError, match=hint):
        _encoder(service).encode_texts(["a"])
    assert len(service.requests) == 1


@pytest.mark.parametrize("how", ["hang", "drip", "drip in the head"])
def test_an_answer_that_never_ends_ends_at_the_deadline(how: str, service: EmbeddingApi) -> None:
    def never(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        try:
            if how == "drip":
                handler.send_response(200)
                handler.end_headers()
            while not service.over.wait(0.05):
                if how != "hang":
                    handler.wfile.write(b" " if how == "drip" else b"H")
                    handler.wfile.flush()
        except OSError:
            return  # the client has gone, as it should

    service.script = [never] * 2
    began = time.monotonic()
    with pytest.raises(SampleFailure, match=r"no whole answer within 0.4 s \(tried 2 times\)"):
        _encoder(service, timeout=0.4, tries=2).encode_texts(["a"])
    assert time.monotonic() - began < 5


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl, to make a certificate")
def test_over_tls_it_is_the_same_and_a_stranger_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    files = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "certificate.pem")]
    subprocess.run([*made.split(), *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate.pem", tmp_path / "key.pem")
    service = EmbeddingApi(secured=context)
    try:
        with pytest.raises(SampleFailure, match=r"the connection failed: .*certificate verify failed"):
            _encoder(service, tries=1).encode_texts(["a"])
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
        assert np.abs(_encoder(service).encode_texts(TEXTS) - _normal(TEXTS)).max() < 1e-6

        def drip(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
            try:
                handler.send_response(200)
                handler.end_headers()
                while not service.over.wait(0.05):
                    handler.wfile.write(b" ")
            except OSError:
                return  # the client has gone, as it should

        service.script = [drip]
        with pytest.raises(SampleFailure, match=r"no whole answer within 0.4 s"):
            _encoder(service, timeout=0.4, tries=1).encode_texts(["a"])
    finally:
        service.close()


def test_a_proxy_of_the_environment_is_used(service: EmbeddingApi, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = EmbeddingApi()
    try:
        monkeypatch.setenv("http_proxy", proxy.url.removesuffix("/v1"))
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        encoder = _encoder(service, url="http://embeddings.example.org/v1")
        assert encoder.encode_texts(["a"]).shape == (1, 4)
        assert [request["path"] for request in proxy.requests] == ["http://embeddings.example.org/v1/embeddings"]
        assert service.requests == []
    finally:
        proxy.close()


def test_a_host_that_is_not_there_is_an_api_failure(service: EmbeddingApi) -> None:
    service.close()
    with pytest.raises(SampleFailure, match=r"the connection failed: .*refused"):
        _encoder(service).encode_texts(["a"])


def test_the_key_is_sent_and_told_to_nobody(
    service: EmbeddingApi, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("EMBEDDING_KEY", f" {KEY}\n")
    caplog.set_level(logging.DEBUG)
    encoder = _encoder(service, key_variable="EMBEDDING_KEY")
    encoder.encode_texts(["a"])
    assert service.headers[0]["Authorization"] == f"Bearer {KEY}"
    messages = [repr(encoder.identity), repr(vars(encoder)), repr(vars(encoder._post))]
    for status in (400, 401, 500):
        service.script = [answer(status, json.dumps({"error": {"message": f"Incorrect API key provided: {KEY}."}}))] * 3
        with pytest.raises((SampleFailure, SluiceError), match=r"provided: \*\*\*\.") as caught:
            encoder.encode_texts(["a"])
        messages += [str(caught.value), repr(caught.value.__cause__), repr(caught.value.args)]
    assert KEY not in "".join(messages) + caplog.text


def test_a_redirect_does_not_carry_the_key_to_another_host(
    service: EmbeddingApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMBEDDING_KEY", KEY)
    other = EmbeddingApi()
    try:
        service.script = [answer(code, Location=f"{other.url}/embeddings") for code in (301, 302, 307, 308)]
        for _ in range(4):
            with pytest.raises(SluiceError, match="redirects are not followed"):
                _encoder(service, key_variable="EMBEDDING_KEY").encode_texts(["a"])
        assert other.requests == []
    finally:
        other.close()


def test_a_key_that_is_not_set_or_cannot_be_sent_is_named_by_its_variable(
    service: EmbeddingApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = _encoder(service, key_variable="EMBEDDING_KEY")
    monkeypatch.delenv("EMBEDDING_KEY", raising=False)
    with pytest.raises(SluiceError, match="environment variable EMBEDDING_KEY: it is not set"):
        encoder.encode_texts(["a"])
    monkeypatch.setenv("EMBEDDING_KEY", "a\nX-Other: b")
    with pytest.raises(SluiceError, match="EMBEDDING_KEY cannot stand in a header") as caught:
        encoder.encode_texts(["a"])
    assert "X-Other" not in str(caught.value)
    assert service.requests == []


@pytest.mark.parametrize("url", ["http://user:secret@127.0.0.1/v1", "http://127.0.0.1/v1?key=secret"])
def test_a_secret_in_the_address_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(SluiceError, match="put the key in an environment variable") as caught:
        load_encoder(ServiceConfig(type="http", url=url, model="m"))
    assert "secret" not in str(caught.value)


def test_the_identity_is_of_what_was_asked_and_of_whom(service: EmbeddingApi) -> None:
    first = _encoder(service).identity
    assert (first.name, first.revision) == ("m", "not stated")
    assert _encoder(service, batch=7, timeout=3, key_variable="K").identity == first
    for change in ({"model": "n"}, {"revision": "2"}, {"size": 64}, {"fit": "pad"}, {"images": "object"}):
        assert _encoder(service, **change).identity.hash != first.hash
    with pytest.raises(SluiceError, match="was asked for"):
        _encoder(service, hash="0" * 32)


def test_two_vectors_without_direction_are_none_and_cost_the_others_nothing(service: EmbeddingApi) -> None:
    service.script = [changed(lambda rows: rows[1].update(embedding=[0.0] * 4))]
    out = _encoder(service).encode_texts(TEXTS)
    assert np.isnan(out[1]).all()
    assert np.abs(np.delete(out - _normal(TEXTS), 1, axis=0)).max() < 1e-6
