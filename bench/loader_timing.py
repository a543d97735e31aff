"""What bench/loader.py measures in each process: samples, seconds, CPU seconds, the first batch. Needs no Sluice."""

import json
import os
import resource
import time
from collections.abc import Callable, Iterable

BATCH = 256
SIDE = 224


def cpu() -> float:
    """CPU seconds of this process and of the children that have ended."""
    return sum(
        used.ru_utime + used.ru_stime
        for used in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    )


def measure(make: Callable[[], Iterable], end: Callable[[], None] = lambda: None, most: int | None = None) -> None:
    """Go through the batches that `make` gives, `most` at most; imports are done, all else counts. Prints JSON."""
    started, before = time.perf_counter(), cpu()
    first = 0.0
    samples = checked = 0
    batches = iter(make())
    for steps, batch in enumerate(batches, 1):
        first = first or time.perf_counter() - started
        samples += len(batch)
        checked += int(batch[0][0]) if isinstance(batch[0], bytes) else int(batch[0, 0, 0, 0])
        if steps == most:
            break
    seconds = time.perf_counter() - started
    del batches
    end()
    print(json.dumps({"samples": samples, "seconds": seconds, "cpu": cpu() - before, "first": first}), flush=True)
    os._exit(0)  # some libraries take seconds to end, or say things
