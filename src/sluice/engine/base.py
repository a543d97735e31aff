"""What an engine is: run this function over these tasks, yield outcomes as they end, retry what died."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from sluice.engine.journal import Journal
from sluice.engine.spool import Spool
from sluice.errors import FailureClass


@dataclass(frozen=True)
class Task:
    """One unit's worth of work: `number` names it, `payload` is handed to the function (picklable, small)."""

    number: int
    payload: Any = None


@dataclass(frozen=True)
class Outcome:
    """What a task came to: the function's result, and what workers died of on the way there."""

    number: int
    result: Any
    deaths: tuple[str, ...] = ()


@dataclass(frozen=True)
class WorkerContext:
    """What a function gets beside its payload: where to journal, and what earlier deaths taught."""

    journal: Journal
    poison: Mapping[int, tuple[FailureClass, str]] = field(default_factory=dict[int, "tuple[FailureClass, str]"])
    suspects: tuple[tuple[int, int], ...] = ()  # half-open ranges to take one position at a time
    spool: Spool | None = None
    finished: Sequence[Any] = ()  # what earlier tries of this task kept, oldest first

    def is_suspect(self, position: int) -> bool:
        """Whether `position` must be worked on alone, so that a further death names it."""
        return any(low <= position < high for low, high in self.suspects)

    def keep(self, piece: Any) -> None:
        """Note a finished `piece` of the task (picklable): should this process die, the next finds it in `finished`."""
        if self.spool is not None:
            self.spool.add(piece)


class Engine(Protocol):
    """Runs `function` ('module:name', called as `function(shared, payload, context)`) over tasks in workers."""

    def warm(self, function: str) -> None:
        """Have workers ready that know `function`; nothing is owed."""
        ...

    def renew(self, function: str) -> None:
        """The same, between two runs that share nothing: what the first left in the workers may go."""
        ...

    def release(self) -> None:
        """Let the workers' memory go, for this process needs the room; they come back when something is to run."""
        ...

    def run(self, function: str, shared: Any, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Yield an outcome for each task as it ends, in any order; tasks are asked for as workers come free."""
        ...
