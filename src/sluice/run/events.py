"""`events.jsonl`: what happened and when, a JSON object a line; and the listeners that show it to a person."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Final

from sluice.table.commit import explain
from sluice.table.layout import Layout

Listener = Callable[[dict[str, Any]], None]

_EVERY: Final = 2.0  # seconds between two notes of how far the comparing is


class Events:
    """Appends events to `events.jsonl` and tells them to `listener` (a progress bar, plain lines, nothing)."""

    def __init__(self, layout: Layout, listener: Listener | None = None) -> None:
        self._layout = layout
        self._listener = listener
        self._file: Any = None

    def __enter__(self) -> Events:
        try:
            self._file = self._layout.events.open("a", encoding="utf-8")
        except OSError as error:
            raise explain(error, self._layout.events) from error
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def tell(self, event: str, **facts: Any) -> None:
        """Note an event with its facts."""
        record = {"event": event, "time": round(time.time(), 3), **facts}
        try:
            self._file.write(json.dumps(record, ensure_ascii=False, default=str) + "\n")
            self._file.flush()
        except OSError as error:
            raise explain(error, self._layout.events) from error
        if self._listener:
            self._listener(record)

    @contextmanager
    def stage(self, stage: str) -> Generator[None]:
        """Note the start and the end of a stage."""
        done = self.begin(stage)
        yield
        done(None)

    def begin(self, stage: str) -> Callable[[float | None], None]:
        """Note the start of a stage; call what this returns at its end.

        It takes the seconds spent, where other work went on in between; None: all since the start.
        """
        started = time.perf_counter()
        self.tell("stage_started", stage=stage)

        def done(seconds: float | None) -> None:
            took = time.perf_counter() - started if seconds is None else seconds
            self.tell("stage_done", stage=stage, seconds=round(took, 3))

        return done


def compared(events: Events | None) -> Callable[[float], None] | None:
    """What notes every few seconds which share of the comparing of all images is done."""
    if events is None:
        return None
    started = last = time.monotonic()

    def tell(share: float) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > _EVERY:
            last = now
            events.tell("comparing", share=round(share, 4), seconds=round(now - started, 1))

    return tell
