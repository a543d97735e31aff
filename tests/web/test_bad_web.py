"""Every way in which a server can misbehave ends in an outcome with its class, and never ends the run."""

from __future__ import annotations

import hashlib

import pyarrow.parquet as pq
import pytest

from sluice.table.refs import Ref, RefReader
from support.bad_web import jpeg

BYTES = None  # the class of what is stored
EXPECTED = {
    "/ok/1.jpg": BYTES,
    "/text-type/2.jpg": BYTES,
    "/gzip/3.jpg": BYTES,
    "/deflate/4.jpg": BYTES,
    "/moved/5.jpg": BYTES,
    "/flaky/1.jpg": BYTES,
    "/busy/6.jpg": BYTES,
    "/noai-other/7.jpg": BYTES,
    "/licensed/8.jpg": BYTES,
    "/status/404": "http_4xx",
    "/status/403": "http_4xx",
    "/status/500": "http_5xx",
    "/status/503": "http_5xx",
    "/status/418": "http_4xx",
    "/busy-for-long/9": "http_429",
    "/late/10.jpg": "timeout",
    "/drip/11.jpg": "timeout",
    "/endless/12.jpg": "too_large",
    "/endless-chunked/13.jpg": "too_large",
    "/announced/14.jpg": "too_large",
    "/bomb/15.jpg": "too_large",
    "/circle/1": "redirect",
    "/stairs/1": "redirect",
    "/nowhere/1": "redirect",
    "/short/16.jpg": "network",
    "/cut-chunks/17.jpg": "network",
    "/cut-gzip/18.jpg": "network",
    "/silent/19.jpg": "network",
    "/junk/20.jpg": "network",
    "/html/21.jpg": "decode",
    "/empty/22.jpg": "decode",
    "/brotli/23.jpg": "decode",
    "/noai/24.jpg": "optout",
    "/tdm/25.jpg": "optout",
    "/moved-to/file:///etc/passwd": "unsafe",
    "/moved-to/http://169.254.169.254/latest/meta-data": "unsafe",
    "/moved-to/http://127.0.0.1:1/": "unsafe",
}
ELSEWHERE = {
    "file:///etc/passwd": "unsafe",
    "ftp://h.test/a.jpg": "unsafe",
    "data:image/png;base64,AAAA": "unsafe",
    "http:///a.jpg": "unsafe",
    "http://[::1]/a.jpg": "unsafe",
    "http://[::ffff:127.0.0.1]/a.jpg": "unsafe",
    "http://2130706433/a.jpg": "unsafe",
    "http://127.1/a.jpg": "unsafe",
    "http://h.test:99999/a.jpg": "unsafe",
    "not a url": "unsafe",
    "http://missing.test/a.jpg": "dns",
    "http://h.test:1/a.jpg": "network",
}


@pytest.fixture
def _lookup_of_numbers(monkeypatch):
    """Old spellings of addresses resolve as the system's resolver does."""
    import socket

    from sluice.web import resolve

    inner = resolve.system_lookup

    async def lookup(host, port):
        try:
            return [socket.inet_ntoa(socket.inet_aton(host))]
        except OSError:
            return await inner(host, port)

    monkeypatch.setattr("sluice.web.resolve.system_lookup", lookup)


@pytest.mark.usefixtures("_lookup_of_numbers")
def test_every_row_is_accounted_for(web, fetching):
    urls = [web.url(path, f"h{number}.test") for number, path in enumerate(EXPECTED)]
    work = fetching(longest_wait=3, source={"name": "list"})
    work.write([*urls, *ELSEWHERE, "", web.url("/ok/1.jpg", "h0.test")])
    work.ingest()
    rows = {row["row"]: row for row in work.rows()}
    expected = [*EXPECTED.values(), *ELSEWHERE.values()]
    assert [rows[number]["failure_class"] for number in range(len(expected))] == expected
    assert len(expected) not in rows, "a row that names no URL has nothing to be fetched"
    again = rows[len(expected) + 1]
    assert again["repeat"] and again["sha256"] == rows[0]["sha256"]
    samples = pq.read_table(work.layout.root / "00_raw/samples").to_pylist()
    assert len(samples) == len(expected) + 2
    assert sum(sample["failure_class"] is None for sample in samples) == expected.count(BYTES) + 1
    assert samples[len(expected)]["failure_class"] == "io"


def test_what_is_stored_is_what_was_served(web, fetching):
    paths = ["/ok/1.jpg", "/gzip/3.jpg", "/deflate/4.jpg", "/moved/5.jpg", "/licensed/8.jpg"]
    work = fetching()
    rows = work.of(*(web.url(path) for path in paths))
    with RefReader(2**20) as reader:
        for path, row in zip(paths, rows, strict=True):
            ref = Ref("tar", str(work.layout.fetched / row["tar"]), row["member"], row["offset"], row["size"])
            data = reader.read(ref)
            assert data == jpeg(int("".join(filter(str.isdigit, path))))
            assert hashlib.sha256(data).hexdigest() == row["sha256"]
            assert (row["format"], row["http"], row["status"]) == ("jpeg", "1.1", 200)
    assert rows[0]["last_modified"] == "Wed, 21 Oct 2015 07:28:00 GMT"
    assert rows[3]["final_url"] == web.url("/ok/5.jpg")
    assert rows[4]["licence"] == "https://creativecommons.org/licenses/by/4.0/"


def test_only_what_may_pass_is_tried_again(web, fetching):
    rows = fetching(tries=3).of(web.url("/status/500"), web.url("/status/404"), web.url("/flaky/2.jpg"))
    assert [row["tries"] for row in rows] == [3, 1, 3]
    assert [row["failure_class"] for row in rows] == ["http_5xx", "http_4xx", None]


def test_a_host_that_asks_for_time_is_given_it(web, fetching):
    [row] = fetching(longest_wait=3).of(web.url("/busy/1.jpg"))
    first, second = (one.time for one in web.asked if one.path == "/busy/1.jpg")
    assert row["failure_class"] is None and second - first >= 1.0


def test_a_bomb_is_stopped_while_it_unpacks(web, fetching):
    [row] = fetching(max_bytes=2**20).of(web.url("/bomb/0.jpg"))
    assert row["failure_class"] == "too_large" and "unpack" in row["failure"]


def test_redirects_are_followed_as_far_as_is_said(web, fetching):
    rows = fetching(redirects=0).of(web.url("/moved/5.jpg"))
    assert rows[0]["failure_class"] == "redirect"
