"""HTTPS: HTTP/2 where it is served, HTTP/1.1 where it is not, and no connection that cannot be trusted."""

from __future__ import annotations

import hashlib

import pytest

pytest.importorskip("h2", reason="the extra `web` is not installed")
pytest.importorskip("trustme")

from support.bad_web import jpeg
from support.h2_web import secure_web


@pytest.fixture(params=[["h2", "http/1.1"], ["http/1.1"], []], ids=["h2", "http1", "no ALPN"])
def secure(request, web, tmp_path, monkeypatch):
    with secure_web(tmp_path, request.param) as served:
        monkeypatch.setenv("SSL_CERT_FILE", str(served.authority))
        yield served, "2" if "h2" in request.param else "1.1"


def test_the_best_that_a_server_speaks_is_spoken(secure, fetching):
    served, version = secure
    rows = fetching(per_host=8).of(*(served.url(f"/ok/{number}.jpg") for number in range(24)))
    assert [row["sha256"] for row in rows] == [hashlib.sha256(jpeg(number)).hexdigest() for number in range(24)]
    assert {row["http"] for row in rows} == {version}
    assert len(served.connections) == 1 if version == "2" else len(served.connections) <= 9


def test_all_else_is_as_it_is_without_tls(secure, fetching):
    served, version = secure
    paths = ["/moved/3.jpg", "/noai/4.jpg", "/large/5.jpg", "/large/6.jpg"]
    rows = fetching(max_bytes=2**20).of(*map(served.url, paths))
    assert [row["failure_class"] for row in rows] == [None, "optout", None, None]
    assert rows[0]["final_url"] == served.url("/ok/3.jpg") and rows[2]["size"] == len(jpeg(5)) + 700_000
    served.paths.clear()
    rows = fetching(max_bytes=10_000).of(*map(served.url, ["/large/7.jpg", "/ok/8.jpg"]))
    assert [row["failure_class"] for row in rows] == ["too_large", None]
    if version == "2":
        [row] = fetching(tries=1).of(served.url("/reset/1.jpg"))
        assert row["failure_class"] == "network"


def test_a_certificate_that_nobody_vouches_for_is_refused(web, fetching, tmp_path):
    with secure_web(tmp_path, ["h2"]) as served:
        [row] = fetching().of(served.url("/ok/1.jpg"))
    assert row["failure_class"] == "network" and "CERTIFICATE_VERIFY_FAILED" in row["failure"]
    assert served.paths == []


def test_addresses_are_checked_over_tls_too(secure, fetching):
    served, _ = secure
    [row] = fetching(allow=[]).of(served.url("/ok/1.jpg"))
    assert row["failure_class"] == "unsafe" and served.connections == []
