"""What a host asks for is done: its pauses, its robots.txt, its opt-outs; and it is told who asks."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from support.bad_web import jpeg


def test_requests_of_one_host_keep_their_distance(web, fetching):
    urls = [web.url(f"/ok/{number}.jpg", f"h{number % 2}.test") for number in range(12)]
    assert all(row["failure_class"] is None for row in fetching(delay=0.08, robots=False).of(*urls))
    for host in ("h0.test", "h1.test"):
        times = sorted(one.time for one in web.asked if one.host == host)
        # one that is late by its handshake shortens a distance, but not the whole
        assert len(times) == 6 and times[-1] - times[0] > 3 * 0.08


def test_no_more_requests_than_allowed_are_under_way(web, fetching):
    web.latency = 0.1
    urls = [web.url(f"/ok/{number}.jpg") for number in range(12)]
    assert all(row["failure_class"] is None for row in fetching(per_host=3, robots=False).of(*urls))
    times = sorted(one.time for one in web.asked)
    assert all(times[at + 3] - times[at] > 0.08 for at in range(9))


def test_a_crawl_delay_is_obeyed(web, fetching):
    web.robots["h.test"] = (200, "User-agent: *\nCrawl-delay: 0.15")
    fetching().of(*(web.url(f"/ok/{number}.jpg") for number in range(4)))
    times = sorted(one.time for one in web.asked if one.path != "/robots.txt")
    assert times[-1] - times[0] > 2 * 0.15


def test_a_crawl_delay_past_our_patience_is_a_no(web, fetching):
    web.robots["h.test"] = (200, "User-agent: *\nCrawl-delay: 86400")
    [row] = fetching(longest_wait=5).of(web.url("/ok/1.jpg"))
    assert row["failure_class"] == "robots" and web.paths() == []


def test_robots_txt_is_asked_for_once_a_host_and_obeyed(web, fetching):
    web.robots["a.test"] = (200, "User-agent: *\nDisallow: /ok/1\n\nUser-agent: mylab\nDisallow: /ok/2")
    urls = [web.url(f"/ok/{number}.jpg", host) for host in ("a.test", "b.test") for number in range(4)]
    rows = fetching(user_agent="mylab/1.0 (+https://mylab.test)").of(*urls)
    assert [row["failure_class"] for row in rows] == [None, None, "robots", *[None] * 5]
    assert [one.host for one in web.asked if one.path == "/robots.txt"].count("a.test") == 1
    assert {one.headers["user-agent"] for one in web.asked} == {"mylab/1.0 (+https://mylab.test)"}


@pytest.mark.parametrize(("status", "found"), [(404, None), (403, None), (503, "http_5xx")])
def test_a_robots_txt_that_cannot_be_had(web, fetching, status, found):
    """RFC 9309, 2.3.1: none means that all is allowed, an error of the server's that nothing is."""
    web.robots["h.test"] = (status, "")
    rows = fetching(tries=2).of(web.url("/ok/1.jpg"), web.url("/ok/2.jpg"))
    assert [row["failure_class"] for row in rows] == [found, found]
    assert len([one for one in web.asked if one.path == "/robots.txt"]) == (2 if found else 1)


def test_a_redirect_is_held_to_the_robots_txt_of_where_it_leads(web, fetching):
    web.robots["b.test"] = (200, "User-agent: *\nDisallow: /")
    [row] = fetching().of(web.url(f"/moved-to/{web.url('/ok/1.jpg', 'b.test')}", "a.test"))
    assert row["failure_class"] == "robots" and not any(path.startswith("/ok") for path in web.paths())


def test_opt_outs_of_an_answer_can_be_recorded_instead(web, fetching):
    rows = fetching(honour=[]).of(web.url("/noai/1.jpg"), web.url("/tdm/2.jpg"))
    assert [row["failure_class"] for row in rows] == [None, None]
    assert (rows[0]["robots"], rows[1]["tdm"]) == ("noai", "1")


def test_listed_opt_outs_are_not_even_asked_for(web, fetching, tmp_path):
    (tmp_path / "domains.txt").write_text("b.test\n")
    (tmp_path / "urls.txt").write_text(web.url("/ok/1.jpg", "a.test"))
    (tmp_path / "hashes.txt").write_text(hashlib.sha256(jpeg(3)).hexdigest())
    lists = [
        {"name": "people", "path": "domains.txt", "kind": "domains"},
        {"name": "pages", "path": "urls.txt", "kind": "urls"},
        {"name": "pictures", "path": "hashes.txt", "kind": "sha256"},
    ]
    work = fetching(recipe={"filter": {"rights": {"opt_out": lists}}})
    urls = [web.url("/ok/1.jpg", "a.test"), web.url("/ok/2.jpg", "x.b.test"), web.url("/ok/3.jpg", "a.test")]
    rows = work.of(*urls, web.url("/ok/4.jpg", "a.test"))
    assert [row["failure_class"] for row in rows] == ["optout", "optout", "optout", None]
    assert web.paths() == ["/ok/3.jpg", "/ok/4.jpg"] or web.paths() == ["/ok/4.jpg", "/ok/3.jpg"]
    assert "people: b.test" in rows[1]["failure"]


def test_files_that_run_out_end_the_run_and_fail_no_row(web, fetching):
    import resource

    from sluice.errors import RunError

    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    web.latency = 0.5
    work = fetching(concurrency=400, per_host=400, robots=False)
    work.write([web.url(f"/ok/{number}.jpg", f"h{number}.test") for number in range(400)])
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (len(list(Path("/proc/self/fd").iterdir())) + 60, before[1]))
        with pytest.MonkeyPatch.context() as patch, pytest.raises(RunError, match="too many open files"):
            patch.setattr("sluice.web.clients._allow_files", lambda: None)
            work.fetch()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
