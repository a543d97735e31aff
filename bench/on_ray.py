"""`engine: ray` against the local engine: the same run on the same cores of this machine, alternating, as ratios.

    python bench/on_ray.py --corpus FOLDER [--rounds 3] [--workers 2]

Start and end (until the first stage begins, and from the report on) are told apart from the work in between. Processor
time is that of all processes that belong to the run, Ray's own among them. Each pair of runs must have come to the same
bytes.

This file is not called `ray.py`: Python would import it in the place of Ray.
"""

import argparse
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from processes import watched

RECIPE = """\
name: bench
run: {run}
sources: [{{type: folder, path: {corpus}}}]
filter: {{reject: {{tiny: min_side < 64, blurry: sharpness < 50}}}}
engine: {{type: {engine}, workers: {workers}}}
"""


@dataclass(frozen=True)
class Took:
    """Seconds of a run."""

    wall: float
    start: float  # of which before the first stage and after the report
    cpu: float  # of all processes, from the first stage on
    starting: float  # the same before
    peak: float  # PSS of all processes, MB

    @property
    def work(self) -> float:
        return self.wall - self.start


def run(recipe: Path, folder: Path) -> Took:
    """Run it from nothing."""
    shutil.rmtree(folder, ignore_errors=True)
    began = time.time()
    process = subprocess.Popen([sys.executable, "-m", "sluice.cli", "run", str(recipe)], stderr=subprocess.PIPE)
    spent: dict[int, float] = {}
    starting: float | None = None
    told = folder / "events.jsonl"
    with watched(process.pid, 0.2) as memory:
        while process.poll() is None:
            note(process.pid, spent)
            if starting is None and told.is_file() and '"stage_started"' in told.read_text():
                starting = sum(spent.values())
            time.sleep(0.2)
    ended = time.time()
    _, errors = process.communicate()
    if process.returncode:
        raise SystemExit(errors.decode()[-3000:])
    events = [json.loads(line) for line in told.read_text().splitlines()]
    when = {event["event"]: event["time"] for event in reversed(events)}  # the first of each
    before = starting or 0.0
    start = when["stage_started"] - began + ended - when["report_written"]
    return Took(ended - began, start, sum(spent.values()) - before, before, memory.peak)


def note(pid: int, spent: dict[int, float]) -> None:
    """The processor seconds of a process and all below it so far, by process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        spent[pid] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                note(int(child), spent)
    except OSError:
        return


def digest(run: Path) -> str:
    """Of all that a run came to, without what tells the time or the engine."""
    told = hashlib.sha256()
    for path in sorted(run.rglob("*")):
        name = path.relative_to(run)
        if (
            path.is_file()
            and name.parts[0] != ".state"
            and path.name not in ("seconds.json", "events.jsonl", "report.html", "recipe.lock.yaml")
        ):
            told.update(f"{name}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return told.hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True, help="made by bench/corpus.py")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    found: dict[str, list[Took]] = {"local": [], "ray": []}
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as name:
        folder = Path(name)
        for number in range(options.rounds):
            digests = {}
            for engine in sorted(found, reverse=bool(number % 2)):
                recipe, where = folder / f"{engine}.yaml", folder / engine
                corpus = options.corpus.absolute()
                recipe.write_text(RECIPE.format(run=where, corpus=corpus, engine=engine, workers=options.workers))
                took = run(recipe, where)
                found[engine].append(took)
                digests[engine] = digest(where)
                print(
                    f"{engine:<6} {took.wall:7.2f} s, of which start and end {took.start:5.2f}; "
                    f"work {took.work:7.2f} s; {took.starting:5.2f} + {took.cpu:7.2f} s of CPU; {took.peak:5.0f} MB",
                    flush=True,
                )
            if len(set(digests.values())) != 1:
                raise SystemExit("the two engines gave other bytes")
    for what in ("wall", "work", "cpu", "peak"):
        pairs = zip(found["local"], found["ray"], strict=True)
        ratios = [getattr(on_ray, what) / getattr(local, what) for local, on_ray in pairs]
        print(f"{what}: ray / local {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})")


if __name__ == "__main__":
    main()
