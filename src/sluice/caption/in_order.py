"""Work in threads, results in the order of what was asked, few held at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

A = TypeVar("A")
B = TypeVar("B")

_AHEAD: Final = 4  # items a thread: one slow answer holds up the order, and not yet the others


def in_order(
    items: Iterable[A], work: Callable[[A], B], threads: int, interrupt: Callable[[], object] = lambda: None
) -> Iterator[B]:
    """`work` of each item. Where the reader leaves early, or `work` raises, `interrupt` ends what waits.

    >>> list(in_order(range(5), lambda number: number * number, 2))
    [0, 1, 4, 9, 16]
    """
    with ThreadPoolExecutor(threads, thread_name_prefix="caption") as pool:
        pending: deque[Future[B]] = deque()
        try:
            for item in items:
                pending.append(pool.submit(work, item))
                if len(pending) >= _AHEAD * threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        except BaseException:
            interrupt()
            for one in pending:
                one.cancel()
            raise
