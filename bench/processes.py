"""What the benchmarks share: work in a process of its own, and what trees of processes take."""

import os
import statistics
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any


def in_a_process(call: Callable[..., None], *args: Any) -> float:
    """Carry out `call` in a process of its own, started fresh; its peak PSS in MB, with all below it."""
    process = get_context("spawn").Process(target=call, args=args)
    process.start()
    peak = 0.0
    while process.is_alive():
        peak = max(peak, tree_pss(process.pid or 0))
        process.join(0.05)
    if process.exitcode:
        raise SystemExit(f"{call.__name__} failed")
    return peak


def told(what: str, pairs: list[tuple[float, float]]) -> None:
    """A line: the median and the range of the wall time, the median of the processor time."""
    wall, cpu = sorted(second for second, _ in pairs), sorted(second for _, second in pairs)
    print(
        f"{what:<20} {statistics.median(wall):7.2f} s ({wall[0]:.2f} to {wall[-1]:.2f}) "
        f"{statistics.median(cpu):7.2f} s of CPU",
        flush=True,
    )


def tree_pss(pid: int) -> float:
    """PSS of a process and all below it, MB."""
    total, todo = 0.0, [pid]
    while todo:
        current = todo.pop()
        try:
            for line in Path(f"/proc/{current}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) / 1024
            for task in Path(f"/proc/{current}/task").iterdir():
                todo += map(int, (task / "children").read_text().split())
        except (OSError, ValueError):
            continue
    return total


def tree_cpu(pid: int) -> float:
    """Processor seconds of a process and all below it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    spent = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    for task in Path(f"/proc/{pid}/task").iterdir():
        spent += sum(tree_cpu(int(child)) for child in (task / "children").read_text().split())
    return spent
