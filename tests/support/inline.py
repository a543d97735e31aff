"""An engine without processes: tasks one after the other, here, in order or shuffled."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from sluice.engine import Outcome, Task, WorkerContext
from sluice.engine.journal import Journal
from sluice.engine.worker import resolve


class InlineEngine:
    """Same contract as the local engine, for tests that are not about processes."""

    def __init__(self, shuffle: int | None = None) -> None:
        self.shuffle = shuffle
        self.twice = False  # each task: as where a worker dies before it can say that it is done
        self.ran: list[tuple[str, int]] = []

    def __enter__(self) -> InlineEngine:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def warm(self, function):
        """There is no worker to start."""

    def renew(self, function):
        """Nor is there one to end."""

    def release(self):
        """Nor here."""

    def run(self, function: str, shared: Any, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Yield an outcome for each task."""
        listed = list(tasks)
        if self.shuffle is not None:
            random.Random(self.shuffle).shuffle(listed)
        with tempfile.TemporaryDirectory() as folder:
            journal = Journal(Path(folder) / "journal")
            for task in listed:
                self.ran.append((function, task.number))
                if self.twice:
                    resolve(function)(shared, task.payload, WorkerContext(journal))
                yield Outcome(task.number, resolve(function)(shared, task.payload, WorkerContext(journal)))
