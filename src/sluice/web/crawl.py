"""All URLs of a list, each to an outcome: many hosts at a time, few requests of one, tried again where it may help.

What is held is bounded by a window of URLs under way, whatever the length of the list. A redirect goes back into the
queue of the host that it leads to, so that it is held to that host's limits, robots.txt and address as any other URL.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final, Protocol

from yarl import URL

from sluice.web.answer import FetchFailure, Outcome, Said, licence_of, now, retry_after
from sluice.web.body import Body, read_body, read_text
from sluice.web.config import FetchConfig
from sluice.web.exchange import Answer, Client, parsed
from sluice.web.hosts import Host, Hosts, Job
from sluice.web.opt_outs import OptOuts
from sluice.web.robots import ALLOW_ALL, MOST_BYTES, Robots, parse

_WINDOW: Final = 8  # times `concurrency`: URLs under way, most of them waiting for their host's turn
_FIRST_WAIT: Final = 0.5  # seconds before the second try, doubled with each, and up to half as long again
_REDIRECTS: Final = (301, 302, 303, 307, 308)
_AGAIN: Final = (408, 425, 429)
_ACCEPT: Final = "image/avif,image/webp,image/png,image/jpeg,image/*;q=0.9,*/*;q=0.5"


class Sink(Protocol):
    """Takes what came of URLs."""

    def repeats(self, row: int, url: str, key: bytes) -> bool:
        """Whether the bytes of a URL are stored already; if so, that is written down for `row`."""
        ...

    async def keep(self, job: Job, outcome: Outcome, body: Body | None) -> None:
        """Store `body` and write the outcome down for all rows of `job`."""
        ...


class Crawl:
    """Fetches; `folder` takes long bodies until they are stored."""

    def __init__(
        self,
        config: FetchConfig,
        client: Client,
        sink: Sink,
        opt_outs: OptOuts,
        folder: Path,
        *,
        first_wait: float = _FIRST_WAIT,
    ) -> None:
        self._config = config
        self._client = client
        self._sink = sink
        self._opt_outs = opt_outs
        self._folder = folder
        self._first_wait = first_wait
        self._hosts = Hosts()
        self._slots = asyncio.Semaphore(config.concurrency)
        self._window = asyncio.Semaphore(_WINDOW * config.concurrency)
        self._under_way: dict[bytes, Job] = {}
        self._jitter = random.Random()
        self._headers = {"User-Agent": config.user_agent, "Accept": _ACCEPT, "Accept-Encoding": "identity"}
        self._group: asyncio.TaskGroup

    async def run(self, listed: AsyncIterator[Sequence[tuple[int, str, bytes]]]) -> None:
        """Bring every (row, URL, key of the URL) to an outcome."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            async for batch in listed:
                for row, url, key in batch:
                    known = self._under_way.get(key)
                    if known is not None:
                        known.rows.append(row)
                        continue
                    if self._sink.repeats(row, url, key):
                        await asyncio.sleep(0)  # others' turn: a list of what is stored is long
                        continue
                    await self._window.acquire()
                    await self._begin(row, url, key)

    async def _begin(self, row: int, url: str, key: bytes) -> None:
        job = Job([row], url, key, URL())
        self._under_way[key] = job
        try:
            self._opt_outs.check_url(url)
            job.url = parsed(url)
        except FetchFailure as failure:
            await self._end(job, failure)
        else:
            self._queue(job)

    def _queue(self, job: Job) -> None:
        host = self._hosts.of(job.url.raw_host or "")
        host.queue.append(job)
        if host.serving < self._config.per_host:
            host.serving += 1
            self._group.create_task(self._serve(host))

    async def _serve(self, host: Host) -> None:
        try:
            while host.queue:
                await self._one(host, host.queue.popleft())
        finally:
            host.serving -= 1

    async def _one(self, host: Host, job: Job) -> None:
        """One exchange: an outcome, or the job is queued again."""
        started = time.monotonic()
        job.tried += 1
        try:
            robots = await self._robots(host, job.url)
            if not robots.allows(job.url.raw_path_qs):
                raise FetchFailure("robots", f"{job.url.origin()}/robots.txt disallows it for {self._config.token!r}")
            delay = max(self._config.delay, robots.delay or 0.0)
            if delay > max(self._config.longest_wait, self._config.delay):
                raise FetchFailure(
                    "robots", f"robots.txt asks for {delay:g} s between requests, longer than longest_wait"
                )
            await host.turn(delay)
            async with self._slots:
                started = time.monotonic()
                await self._ask(job, started)
        except FetchFailure as failure:
            if failure.retry_after is not None and failure.retry_after <= self._config.longest_wait:
                host.be_quiet(failure.retry_after)
            if not self._later(job, failure):
                await self._end(job, failure, time.monotonic() - started)

    async def _ask(self, job: Job, started: float) -> None:
        config = self._config
        said: Said | None = None
        try:
            async with asyncio.timeout(config.whole), self._client.open(job.url, self._headers) as answer:
                said = _said(answer)
                if answer.status in _REDIRECTS:
                    self._redirect(job, answer)
                    return
                _check_status(answer)
                self._opt_outs.check_answer(answer)
                body = await read_body(answer, config.max_bytes, self._folder)
        except TimeoutError as error:
            failure = FetchFailure("timeout", f"not all there within {config.whole:g} s", passing=True)
            failure.said = said
            raise failure from error
        except FetchFailure as failure:
            failure.said = said
            raise
        try:
            self._opt_outs.check_sha256(body.sha256)
            outcome = Outcome(str(job.url), job.tried, now(), time.monotonic() - started, said)
            await self._done(job, outcome, body)
        except FetchFailure as failure:
            failure.said = said
            raise
        finally:
            body.close()

    def _redirect(self, job: Job, answer: Answer) -> None:
        target = answer.header("location")
        if not target:
            raise FetchFailure("redirect", f"HTTP {answer.status} without a Location")
        url = parsed(target, job.url)
        job.seen.add(job.url)
        if url in job.seen:
            raise FetchFailure("redirect", f"the redirect to {url} goes round in a circle")
        if job.hops >= self._config.redirects:
            raise FetchFailure("redirect", f"more than {self._config.redirects} redirects, the last to {url}")
        self._opt_outs.check_url(str(url))
        job.hops += 1
        job.tried -= 1  # another place, not another try
        job.url = url
        self._queue(job)

    def _later(self, job: Job, failure: FetchFailure) -> bool:
        """Queue the job again after a while, if another try may help."""
        if not failure.passing or job.tried >= self._config.tries:
            return False
        wait = self._first_wait * 2 ** (job.tried - 1) * self._jitter.uniform(1, 1.5)
        wait = min(wait, self._config.longest_wait) if failure.retry_after is None else failure.retry_after
        if wait > self._config.longest_wait:
            return False
        self._group.create_task(self._queue_after(job, wait))
        return True

    async def _queue_after(self, job: Job, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._queue(job)

    async def _end(self, job: Job, failure: FetchFailure, seconds: float = 0.0) -> None:
        what = (failure.failure_class, failure.message)
        shown = str(job.url) or job.listed
        await self._done(job, Outcome(shown, job.tried, now(), seconds, failure.said, None, what), None)

    async def _done(self, job: Job, outcome: Outcome, body: Body | None) -> None:
        del self._under_way[job.key]  # a row that names it from here on finds it in the store
        self._window.release()
        await self._sink.keep(job, outcome, body)

    async def _robots(self, host: Host, url: URL) -> Robots:
        if not self._config.robots:
            return ALLOW_ALL
        origin = url.origin()
        task = host.robots.get(origin)
        if task is None:
            task = host.robots[origin] = asyncio.create_task(self._robots_of(host, origin))
        found = await asyncio.shield(task)
        if isinstance(found, Robots):
            return found
        # what could not be had in all its tries is believed for as long as the host is remembered
        raise FetchFailure(found.failure_class, f"{origin}/robots.txt: {found.message}")

    async def _robots_of(self, host: Host, origin: URL) -> Robots | FetchFailure:
        """The rules of a host: none where it has no robots.txt (4xx), a failure where it cannot say (5xx)."""
        tried = 0
        while True:
            tried += 1
            try:
                return await self._fetch_robots(host, origin / "robots.txt")
            except FetchFailure as failure:
                if not failure.passing or tried >= self._config.tries:
                    return failure
                wait = failure.retry_after or self._first_wait * 2 ** (tried - 1) * self._jitter.uniform(1, 1.5)
                if wait > self._config.longest_wait:
                    return failure
                await asyncio.sleep(wait)

    async def _fetch_robots(self, host: Host, url: URL) -> Robots:
        config = self._config
        for _ in range(config.redirects + 1):
            await host.turn(config.delay)
            try:
                async with (
                    self._slots,
                    asyncio.timeout(config.whole),
                    self._client.open(url, {**self._headers, "Accept": "text/plain,*/*;q=0.5"}) as answer,
                ):
                    target = answer.header("location")
                    if answer.status in _REDIRECTS and target:
                        url = parsed(target, url)
                        continue
                    if answer.status >= 500 or answer.status == 429:
                        _check_status(answer)
                    if not 200 <= answer.status < 300:
                        return ALLOW_ALL
                    return parse(await read_text(answer, MOST_BYTES), config.token)
            except TimeoutError as error:
                raise FetchFailure("timeout", f"no answer within {config.whole:g} s", passing=True) from error
        return ALLOW_ALL


def _check_status(answer: Answer) -> None:
    status = answer.status
    if 200 <= status < 300:
        return
    asked = retry_after(answer.header("retry-after"))
    if status == 429:
        raise FetchFailure("http_429", "HTTP 429", passing=True, retry_after=asked)
    if status >= 500:
        raise FetchFailure("http_5xx", f"HTTP {status}", passing=True, retry_after=asked)
    raise FetchFailure("http_4xx", f"HTTP {status}", passing=status in _AGAIN, retry_after=asked)


def _said(answer: Answer) -> Said:
    return Said(
        status=answer.status,
        http=answer.http,
        content_type=answer.header("content-type"),
        last_modified=answer.header("last-modified"),
        robots=answer.header("x-robots-tag"),
        tdm=answer.header("tdm-reservation"),
        licence=licence_of(answer.header("link")),
    )
