"""What the benchmarks share: work in a process of its own, and what trees of processes take."""

import os
import signal
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any


def in_a_process(call: Callable[..., None], *args: Any) -> float:
    """Carry out `call` in a process of its own, started fresh; its peak PSS in MB, with all below it."""
    process = get_context("spawn").Process(target=call, args=args)
    process.start()
    with watched(process.pid or 0, 0.05) as memory:
        process.join()
    if process.exitcode:
        raise SystemExit(f"{call.__name__} failed")
    return memory.peak


def scratch(folder: Path | None) -> tempfile.TemporaryDirectory[str]:
    """A folder that goes when its block is left: in `folder`, which is made, or where the system has such."""
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(prefix="sluice-bench-", dir=folder)


@dataclass
class Memory:
    """PSS of a tree of processes, as it was seen: seconds from the first look on, MB."""

    timeline: list[tuple[float, float]] = field(default_factory=list)

    @property
    def peak(self) -> float:
        return max((pss for _, pss in self.timeline), default=0.0)


@contextmanager
def watched(pid: int, every: float = 0.1) -> Generator[Memory]:
    """Look at the memory of a process and all below it, from now until the block is left."""
    memory, left, started = Memory(), threading.Event(), time.perf_counter()

    def watch() -> None:
        while True:
            memory.timeline.append((time.perf_counter() - started, tree_pss(pid)))
            if left.wait(every):
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield memory
    finally:
        left.set()
        watcher.join()


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
    total = 0.0
    for one in tree(pid):
        try:
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:"))
    return total


def tree(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for one in found:
        for task in Path(f"/proc/{one}/task").glob("*/children"):
            try:
                found += map(int, task.read_text().split())
            except OSError:
                continue
    return found


def kill(pid: int) -> None:
    """SIGKILL to a process and all below it, also those in sessions of their own."""
    for one in tree(pid):
        with suppress(ProcessLookupError):
            os.kill(one, signal.SIGKILL)


def tree_cpu(pid: int) -> float:
    """Processor seconds of a process and all below it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    spent = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    for task in Path(f"/proc/{pid}/task").iterdir():
        spent += sum(tree_cpu(int(child)) for child in (task / "children").read_text().split())
    return spent
