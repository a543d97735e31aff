"""Tasks on their way: what waits, and what the deaths of its workers have taught about each.

Every engine learns the same way, whoever watches the process: a death names the positions that were in hand, those are
taken one at a time after it, and one that kills again when it is alone is poison.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from sluice.engine.base import Task
from sluice.engine.journal import Entry
from sluice.errors import FailureClass, RunError

_STRIKES: Final = 2  # deaths with a position in hand, the last time alone, before it is taken for poison
_STRIKES_KILLED: Final = 3  # ... when it may have been somebody else's SIGKILL
_BLIND_DEATHS: Final = 5  # deaths of one task with nothing in hand before the run gives up

_LOSSES: Final = 8  # of workers with the same task, before the run gives up


@dataclass
class WorkerTrial:
    """A task and what its deaths have taught so far."""

    task: Task
    deaths: list[str] = field(default_factory=list[str])  # the cause of each
    blind_deaths: int = 0
    poison: dict[int, tuple[FailureClass, str]] = field(default_factory=dict[int, "tuple[FailureClass, str]"])
    suspects: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    strikes: dict[int, int] = field(default_factory=dict[int, int])
    losses: int = 0  # of workers whose machine went away, which teach nothing

    def learn(self, entry: Entry, failure_class: FailureClass, message: str) -> None:
        """Note a death with `entry` in hand: what the next try must do differently."""
        self.deaths.append(f"{failure_class}: {message}")
        if entry.low < 0:
            self.blind_deaths += 1
            if self.blind_deaths >= _BLIND_DEATHS:
                raise RunError(
                    f"unit {self.task.number} killed {_BLIND_DEATHS} workers with no sample in hand ({message}): "
                    "is the machine out of memory? Run again to go on, with fewer `engine.workers`"
                )
            return
        for position in range(entry.low, entry.high):
            self.strikes[position] = self.strikes.get(position, 0) + 1
        if entry.high - entry.low > 1:
            self.suspects.append((entry.low, entry.high))
        else:
            strikes = self.strikes[entry.low]
            killed = failure_class == "crash" and message.endswith("SIGKILL")
            if strikes >= (_STRIKES_KILLED if killed else _STRIKES):
                self.poison[entry.low] = (failure_class, message)

    def lose(self, message: str) -> None:
        """Note that a worker is gone with its machine: nothing is known of what it had in hand."""
        self.deaths.append(f"lost: {message}")
        self.losses += 1
        if self.losses >= _LOSSES:
            raise RunError(
                f"unit {self.task.number} lost {_LOSSES} workers, each with its machine or by Ray ({message}): are the "
                "nodes out of memory? Run again to go on, with fewer workers a node or a smaller `unit`"
            )


class TrialQueue:
    """Trials of tasks that may be made only when asked for: `ahead` of them are kept ready, so that no worker waits."""

    def __init__(self, tasks: Iterable[Task], ahead: int) -> None:
        self._tasks = iter(tasks)
        self._ready: deque[WorkerTrial] = deque()
        self.ahead = ahead

    def __iter__(self) -> Iterator[WorkerTrial]:
        return self

    def __next__(self) -> WorkerTrial:
        return self._ready.popleft() if self._ready else WorkerTrial(next(self._tasks))

    def __len__(self) -> int:
        """How many are ready."""
        return len(self._ready)

    def look_ahead(self) -> bool:
        """Have one more trial ready, unless there are enough; whether there is one more."""
        before = len(self._ready)
        if before < self.ahead:
            self._ready.extend(WorkerTrial(task) for task in islice(self._tasks, 1))
        return len(self._ready) > before

    def put_back(self, trial: WorkerTrial) -> None:
        """Have `trial` made again, before all others."""
        self._ready.appendleft(trial)
