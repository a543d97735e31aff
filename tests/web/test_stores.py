"""What was fetched is kept: stored once, found again, gone on with after a kill, forgotten by class."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sluice.errors import RunError
from sluice.pack.tar import read_members
from sluice.run.fetching import forget_fetched
from support.bad_web import jpeg
from support.folders import tree_digest


def tars(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.tar"))


def test_a_second_run_asks_for_nothing(web, fetching):
    work = fetching()
    before = work.of(*(web.url(f"/ok/{number}.jpg") for number in range(5)), web.url("/status/404"))
    web.asked.clear()
    work.fetch()
    assert web.asked == [] and work.rows() == before


def test_a_url_is_fetched_once_and_bytes_are_stored_once(web, fetching):
    urls = [web.url("/same/1.jpg"), web.url("/same/2.jpg"), web.url("/same/1.jpg"), web.url("/same/1.jpg#top")]
    rows = fetching().of(*urls)
    assert sorted(web.paths()) == ["/same/1.jpg", "/same/2.jpg"]
    assert len({(row["tar"], row["offset"]) for row in rows}) == 1 and len({row["sha256"] for row in rows}) == 1


@pytest.mark.parametrize("index", ["kept", "lost"])
def test_a_list_that_changed_finds_what_was_fetched_before(web, fetching, index):
    work = fetching()
    urls = [web.url(f"/ok/{number}.jpg") for number in range(6)]
    before = work.of(*urls[:4])
    web.asked.clear()
    if index == "lost":
        for path in work.layout.fetched.glob("index.sqlite*"):
            path.unlink()
    rows = work.of(*reversed(urls))
    assert sorted(web.paths()) == ["/ok/4.jpg", "/ok/5.jpg"]
    assert [row["sha256"] for row in reversed(rows)][:4] == [row["sha256"] for row in before]


def test_forgetting_a_class_fetches_those_and_no_others(web, fetching):
    work = fetching(tries=1)
    urls = [web.url(f"/ok/{number}.jpg") for number in range(4)]
    web.broken |= {"/ok/1.jpg", "/ok/3.jpg"}
    rows = work.of(*urls, web.url("/status/404"))
    assert [row["failure_class"] for row in rows] == [None, "http_5xx", None, "http_5xx", "http_4xx"]
    assert forget_fetched(work.layout, "timeout") == 0
    assert forget_fetched(work.layout, "http_5xx") == 2
    web.broken.clear()
    web.asked.clear()
    work.fetch()
    assert sorted(web.paths()) == ["/ok/1.jpg", "/ok/3.jpg"]
    assert [row["failure_class"] for row in work.rows()] == [None] * 4 + ["http_4xx"]


def test_the_same_stores_give_the_same_units(web, fetching):
    work = fetching()
    work.write([web.url(f"/ok/{number}.jpg", f"h{number}.test") for number in range(30)])
    work.ingest()
    raw = work.layout.root / "00_raw"
    before = {name: digest for name, digest in tree_digest(raw).items() if "fetched" not in str(name)}
    for path in [*raw.glob("samples/*"), *raw.glob("items/*"), raw / "stage.json"]:
        path.unlink()
    work.ingest()
    assert {name: digest for name, digest in tree_digest(raw).items() if "fetched" not in str(name)} == before


def test_stores_are_closed_by_size(web, fetching):
    work = fetching(shard_bytes=10_000)
    rows = work.of(*(web.url(f"/ok/{number}.jpg") for number in range(12)))
    assert len(tars(work.stores)) > 1
    held = {}
    for tar in tars(work.stores):
        with tar.open("rb") as file:
            held |= {(f"list/{tar.name}", member.offset): member for member in read_members(file)}
    assert len(held) == 12
    for row in rows:
        member = held[row["tar"], row["offset"]]
        assert (member.name, member.size) == (row["member"], row["size"])


def test_a_list_is_read_no_faster_than_it_is_fetched(web, fetching, monkeypatch):
    """What is held does not grow with the list: a batch, and the window of what is under way."""
    import asyncio

    from sluice.web.config import FetchConfig
    from sluice.web.crawl import Crawl
    from sluice.web.opt_outs import OptOuts

    read = 0

    class Never:
        def open(self, url, headers):
            raise AssertionError("not reached")

        async def close(self):
            pass

    class Sink:
        def repeats(self, row, url, key):
            return False

        async def keep(self, job, outcome, body):
            pass

    async def listed():
        nonlocal read
        for start in range(0, 10**6, 16):
            read += 16
            yield [(row, f"http://slow.test/{row}", str(row).encode()) for row in range(start, start + 16)]

    async def run():
        crawl = Crawl(FetchConfig(concurrency=4, robots=False), Never(), Sink(), OptOuts(), Path())
        monkeypatch.setattr(crawl, "_one", lambda host, job: asyncio.sleep(3600))
        task = asyncio.create_task(crawl.run(listed()))
        await asyncio.sleep(0.3)
        task.cancel()

    asyncio.run(run())
    assert read <= 8 * 4 + 16


def test_a_tar_whose_table_was_never_written_is_no_store(web, fetching):
    """What a kill between the two leaves: nobody knows what the tar holds, so it goes and is fetched again."""
    work = fetching()
    urls = [web.url(f"/ok/{number}.jpg") for number in range(3)]
    before = work.of(*urls)
    for path in [*work.stores.glob("*.parquet"), *work.stores.glob("*.json"), *work.layout.fetched.glob("index*")]:
        path.unlink()
    web.asked.clear()
    after = work.of(*urls)
    assert sorted(web.paths()) == [f"/ok/{number}.jpg" for number in range(3)]
    assert [row["sha256"] for row in after] == [row["sha256"] for row in before] and len(tars(work.stores)) == 1


def test_a_failure_of_the_disk_ends_the_run_and_says_why(web, fetching, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("sluice.web.store._Shard.write", full)
    with pytest.raises(RunError, match="no room left on the disk"):
        fetching().of(web.url("/ok/1.jpg"))


KILLS = 3


def test_a_killed_fetch_goes_on_without_asking_twice(web, fetching, tmp_path):
    """SIGKILL at several instants: the same rows, no committed URL asked for again, no cut tar."""
    count = 300
    urls = [f"http://127.0.1.{number % 20 + 1}:{web.port}/ok/{number}.jpg" for number in range(count)]
    work = fetching(allow=["127.0.0.0/8"], commit_seconds=0.15, concurrency=8, per_host=8, first_byte=20, whole=60)
    web.latency = 0.04
    recipe = work.write(urls)
    command = [sys.executable, "-m", "sluice.cli", "run", str(recipe), "--only", "00_raw"]
    killed = 0
    for number in range(KILLS):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=os.environ)
        committed = len(list(work.stores.glob("store-*.parquet")))
        deadline = time.monotonic() + 60
        while len(list(work.stores.glob("store-*.parquet"))) <= committed and time.monotonic() < deadline:
            if process.poll() is not None:
                break
            time.sleep(0.01)
        time.sleep(0.05 * number)
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
        _, _ = process.communicate()
        for tar in tars(work.stores):
            if tar.with_suffix(".parquet").is_file():
                with tar.open("rb") as file:
                    list(read_members(file))
    assert killed >= 2
    known = _fetched(work.stores)
    web.asked.clear()
    web.latency = 0.0
    done = subprocess.run(command, capture_output=True, env=os.environ, check=False, text=True)
    assert done.returncode == 0, done.stderr
    assert not known & set(web.paths()), "what was committed was asked for again"
    assert len(known) + len(set(web.paths())) == count
    rows = work.rows()
    assert [row["url"] for row in rows] == urls and all(row["failure_class"] is None for row in rows)
    assert not list(work.layout.root.rglob("*.partial"))
    for number, row in enumerate(rows):
        assert row["sha256"] == hashlib.sha256(jpeg(number)).hexdigest()


def _fetched(folder: Path) -> set[str]:
    """The paths that committed stores hold."""
    found: set[str] = set()
    for path in folder.glob("store-*.parquet"):
        found |= {"/" + url.split("/", 3)[3] for url in pq.read_table(path, columns=["url"]).column("url").to_pylist()}
    return found
