"""Whose turn it is: so many requests of a host at a time, a pause between two, and longer where it asks for it."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Final

from yarl import URL

from sluice.web.answer import FetchFailure
from sluice.web.robots import Robots

_MOST: Final = 2_048  # hosts remembered while nothing is asked of them


@dataclass(slots=True)
class Job:
    """A URL of the list on its way to an outcome; `rows` are all that name it."""

    rows: list[int]
    listed: str
    key: bytes
    url: URL  # where it is asked for now: redirects lead on
    hops: int = 0
    tried: int = 0
    seen: set[URL] = field(default_factory=set[URL])


@dataclass(slots=True)
class Host:
    """A host by its name: what waits for it, and when it may be asked next."""

    name: str
    queue: deque[Job] = field(default_factory=deque[Job])
    serving: int = 0  # runners at work
    next_at: float = 0.0  # monotonic seconds: the next request
    quiet_until: float = 0.0  # it asked to be left alone until then
    robots: dict[URL, asyncio.Task[Robots | FetchFailure]] = field(  # by origin
        default_factory=dict[URL, "asyncio.Task[Robots | FetchFailure]"]
    )

    async def turn(self, delay: float) -> None:
        """Wait until this host may be asked, `delay` seconds after the request before."""
        while True:
            now = time.monotonic()
            if now < self.quiet_until:
                await asyncio.sleep(self.quiet_until - now)
                continue
            start = max(now, self.next_at)
            self.next_at = start + delay
            if start <= now:
                return
            await asyncio.sleep(start - now)
            if time.monotonic() >= self.quiet_until:
                return

    def be_quiet(self, seconds: float) -> None:
        """Ask nothing of it for so long."""
        self.quiet_until = max(self.quiet_until, time.monotonic() + seconds)

    @property
    def idle(self) -> bool:
        """Whether it may be forgotten."""
        return not (self.queue or self.serving or any(not task.done() for task in self.robots.values()))


class Hosts:
    """The hosts that are being asked, and those last asked."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Host] = OrderedDict()

    def of(self, name: str) -> Host:
        """The host called `name`."""
        host = self._known.get(name)
        if host is None:
            host = self._known[name] = Host(name)
            self._forget()
        else:
            self._known.move_to_end(name)
        return host

    def _forget(self) -> None:
        now = time.monotonic()
        while len(self._known) > _MOST:
            name, oldest = self._known.popitem(last=False)
            if oldest.idle and max(oldest.next_at, oldest.quiet_until) <= now:
                continue
            self._known[name] = oldest  # still at work: it is looked at again in its turn
            return
