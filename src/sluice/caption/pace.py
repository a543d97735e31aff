"""How fast a service is asked: tokens within a minute, and silence where it asked for it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

_MINUTE: Final = 60.0


class Pace:
    """Threads wait in `start` until their tokens fit into the last minute, and until no pause is asked for."""

    def __init__(
        self,
        tokens_per_minute: int | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._limit = tokens_per_minute
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._sent: deque[list[float]] = deque()  # [when, tokens] of each try within the last minute
        self._silent_until = 0.0

    def start(self, tokens: int) -> Callable[[int], None]:
        """Wait, then count `tokens` as sent for now. What it gives takes the true number once that is known.

        More than the whole limit goes alone.

        >>> now, waits = [0.0], []
        >>> def sleep(seconds: float) -> None:
        ...     waits.append(seconds)
        ...     now[0] += seconds
        >>> pace = Pace(100, clock=lambda: now[0], sleep=sleep)
        >>> for tokens in (60, 40, 40):
        ...     correct = pace.start(tokens)
        >>> waits
        [60.0]
        """
        while True:
            with self._lock:
                now = self._clock()
                wait = max(self._silent_until - now, self._until_room(tokens, now))
                if wait <= 0:
                    self._sent.append(entry := [now, float(tokens)])
                    return partial(entry.__setitem__, 1)
            self._sleep(wait)

    def pause(self, seconds: float) -> None:
        """Nobody starts for so long: the service said so."""
        with self._lock:
            self._silent_until = max(self._silent_until, self._clock() + seconds)

    def _until_room(self, tokens: int, now: float) -> float:
        while self._sent and self._sent[0][0] <= now - _MINUTE:
            self._sent.popleft()
        if self._limit is None:
            return 0.0
        held = sum(entry[1] for entry in self._sent)
        for when, less in self._sent:
            if held + tokens <= self._limit:
                return 0.0
            held -= less
            if held <= 0 or held + tokens <= self._limit:
                return when + _MINUTE - now
        return 0.0
