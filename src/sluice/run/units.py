"""Units carried to workers, whatever is made of them: each is told of as it ends, and the seconds are added up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from sluice.engine import Engine, Task
from sluice.run.events import Events
from sluice.run.measuring import UnitCost


def run_units(engine: Engine, function: str, shared: Any, tasks: Iterable[Task], events: Events) -> dict[str, float]:
    """Run `function`, which gives a `UnitCost`, over the units of `tasks`; the seconds spent, over all workers."""
    seconds: Counter[str] = Counter()
    for outcome in engine.run(function, shared, tasks):
        cost: UnitCost = outcome.result
        seconds.update(cost.seconds)
        events.tell(
            "unit_measured",
            unit=cost.unit,
            samples=cost.samples,
            failed=cost.failed,
            bytes=cost.bytes_read,
            deaths=outcome.deaths,  # what its workers died of
        )
    return dict(seconds)
