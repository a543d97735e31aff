"""Names looked up once: a cache of addresses, so that a list with millions of rows of a host asks for it once.

An answer is kept for some minutes and then asked for anew; connections go to the very addresses that were checked, so a
name that changes its answer between two look-ups (DNS rebinding) gains nothing.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_address
from typing import Final

from sluice.web.address import Allowed, UnsafeAddressError

Lookup = Callable[[str, int], Awaitable[Sequence[str]]]

_KEPT: Final = 300.0  # seconds
_REFUSED: Final = 30.0  # seconds for which "no such name" is believed
_MOST: Final = 16_384  # names held
_AT_A_TIME: Final = 64  # the system's resolver takes a thread each


class NoSuchNameError(OSError):
    """A name that has no address."""


async def system_lookup(host: str, port: int) -> Sequence[str]:
    """The addresses of a name, by the system's resolver."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise NoSuchNameError(f"{host}: {getattr(error, 'strerror', None) or 'no name of a host'}") from error
    return [str(sockaddr[0]) for *_, sockaddr in found]


class Resolver:
    """Addresses of names that may be connected to; those that may not are left out."""

    def __init__(self, allowed: Allowed, lookup: Lookup | None = None) -> None:
        self._allowed = allowed
        self._lookup = lookup or system_lookup
        self._known: OrderedDict[str, tuple[float, Sequence[str] | NoSuchNameError]] = OrderedDict()
        self._pending: dict[str, asyncio.Task[Sequence[str]]] = {}
        self._room = asyncio.Semaphore(_AT_A_TIME)

    async def addresses(self, host: str, port: int) -> list[str]:
        """Where `host` may be reached; `NoSuchNameError` or `UnsafeAddressError` where it may not."""
        found = [host] if _is_address(host) else await self._found(host, port)
        reasons = [self._allowed.why_not(host, address) for address in found]
        safe = [address for address, why in zip(found, reasons, strict=True) if why is None]
        if not safe:
            raise UnsafeAddressError(next((why for why in reasons if why), f"{host}: has no address"))
        return safe

    async def _found(self, host: str, port: int) -> Sequence[str]:
        known = self._known.get(host)
        if known is not None and known[0] > time.monotonic():
            self._known.move_to_end(host)
            if isinstance(known[1], NoSuchNameError):
                raise NoSuchNameError(*known[1].args)
            return known[1]
        task = self._pending.get(host)
        if task is None:
            task = self._pending[host] = asyncio.create_task(self._ask(host, port))
        return await asyncio.shield(task)  # who waits may give up; others wait for the same answer

    async def _ask(self, host: str, port: int) -> Sequence[str]:
        try:
            async with self._room:
                answer = list(dict.fromkeys(await self._lookup(host, port)))
            self._keep(host, _KEPT, answer)
            return answer
        except NoSuchNameError as error:
            self._keep(host, _REFUSED, error)
            raise
        finally:
            self._pending.pop(host, None)

    def _keep(self, host: str, seconds: float, answer: Sequence[str] | NoSuchNameError) -> None:
        self._known[host] = (time.monotonic() + seconds, answer)
        if len(self._known) > _MOST:
            self._known.popitem(last=False)


def _is_address(host: str) -> bool:
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
