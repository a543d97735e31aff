"""A folder of tars of tiny JPEGs to packed shards: killed twice on the way, gone on with, verified; beside 20,000.

    python bench/million.py --samples 50000
    python bench/million.py --samples 1000000      # a quarter of an hour on two cores, 10 GB of disk

First a run of 20,000 samples that nobody kills, then that of `--samples`: each `sluice run` is a process of its own,
killed with all below it (SIGKILL) at a random moment of its way, twice, and started again. Images/s count the seconds
in which a run was at work; what was begun and lost counts as work. Memory is the peak of the PSS of all processes.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from processes import kill, scratch, watched
from tars import Planted, make

BASE = 20_000
RECIPE = """\
name: million
run: {run}
sources: [{{type: webdataset, path: {corpus}}}]
filter:
  reject:
    tiny: min_side < 16
    dark: brightness < 30
    short_caption: characters < 5
    boilerplate: boilerplate
engine: {{workers: {workers}}}
pack: [{{format: webdataset, shard_samples: 10000}}]
"""


@dataclass
class Cost:
    """What the starts of one run took together."""

    seconds: float = 0.0
    memory: float = 0.0  # MB of PSS at the peak
    kills: int = 0


def start(recipe: Path) -> "subprocess.Popen[bytes]":
    """`sluice run` in a group of its own."""
    command = [sys.executable, "-m", "sluice.cli", "run", str(recipe)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)


def watch(recipe: Path, cost: Cost, most: float | None, timeline: list[tuple[float, float]]) -> bool:
    """One start, killed after `most` seconds; whether it came to its end."""
    process = start(recipe)
    started, ended = time.perf_counter(), True
    with watched(process.pid) as memory:
        try:
            process.wait(most)
        except subprocess.TimeoutExpired:
            kill(process.pid)
            process.wait()
            ended = False
        cost.seconds += time.perf_counter() - started
    cost.memory = max(cost.memory, memory.peak)
    cost.kills += not ended
    timeline += memory.timeline
    if ended and process.returncode:
        assert process.stderr is not None
        raise SystemExit(f"sluice run: exit {process.returncode}\n{process.stderr.read().decode()[-3000:]}")
    return ended


def carry_out(recipe: Path, kills: list[float], timeline: list[tuple[float, float]]) -> Cost:
    """The run, killed after so many seconds of each of its first starts."""
    cost = Cost()
    todo = list(kills)
    while not watch(recipe, cost, todo.pop(0) if todo else None, timeline):
        print(f"  killed after {cost.seconds:,.1f} s in all", flush=True)
    return cost


def checked(run: Path, samples: int) -> dict[str, int]:
    """What came of the planted samples: SystemExit where a count is not what it must be."""
    raw = json.loads((run / "00_raw" / "stage.json").read_text())
    filtered = json.loads((run / "01_filtered" / "stage.json").read_text())
    final = json.loads((run / "04_final" / "stage.json").read_text())
    planted = Planted.among(samples)
    found = {
        "in": raw["in"],
        "kept": final["kept"],
        "same_bytes": filtered["rules"]["duplicate_bytes"]["samples"],
        "near": filtered["rules"]["near_duplicate"]["samples"],
        "dark": filtered["rules"]["dark"]["samples"],
        "broken": filtered["failed"],
    }
    print("  " + ", ".join(f"{name} {count:,}" for name, count in found.items()))
    for name in ("same_bytes", "dark", "broken"):
        if found[name] != getattr(planted, name):
            raise SystemExit(f"{name}: {found[name]:,} found, {getattr(planted, name):,} planted")
    if found["in"] != samples or found["near"] < planted.near:
        raise SystemExit(f"{samples:,} samples, {planted.near:,} near-duplicates planted")
    return found


def verify(run: Path) -> float:
    """Seconds of `sluice verify`; SystemExit where it finds anything."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "sluice.cli", "verify", str(run)], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def told(samples: int, cost: Cost, run: Path) -> None:
    stages = {
        stage.parent.name: round(sum(json.loads(stage.read_text()).values()), 1)
        for stage in sorted(run.glob("*/seconds.json"))
    }
    decide = json.loads((run / "01_filtered" / "seconds.json").read_text())["decide"]
    print(
        f"{samples:>10,} samples {cost.seconds:8.1f} s {samples / cost.seconds:8,.0f} images/s "
        f"{cost.memory:6.0f} MB at the peak, killed {cost.kills} times; deciding {decide:.1f} s, {stages}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=50_000)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    parser.add_argument("--folder", type=Path, help="where the corpora are made and stay; default: made and removed")
    parser.add_argument("--timeline", action="store_true", help="also write the memory every 0.1 s")
    options = parser.parse_args()
    draw = random.Random(options.seed)
    with scratch(options.folder) as name:
        costs: dict[int, Cost] = {}
        for samples in dict.fromkeys((BASE, options.samples)):
            corpus = (options.folder or Path(name)) / f"tars-{samples}"
            make(corpus, samples)
            run, recipe = Path(name) / f"run-{samples}", Path(name) / f"{samples}.yaml"
            recipe.write_text(RECIPE.format(run=run, corpus=corpus.absolute(), workers=options.workers))
            kills: list[float] = []
            if samples != BASE:
                expected = costs[BASE].seconds * samples / BASE
                kills = [expected * draw.uniform(0.05, 0.3) for _ in range(options.kills)]
            timeline: list[tuple[float, float]] = []
            costs[samples] = carry_out(recipe, kills, timeline)
            told(samples, costs[samples], run)
            checked(run, samples)
            print(f"  verified in {verify(run):.1f} s", flush=True)
            if options.timeline:
                path = Path(f"timeline-{samples}.json")
                path.write_text(json.dumps([(round(at, 1), round(pss)) for at, pss in timeline]))
                shutil.copy(run / "events.jsonl", f"events-{samples}.jsonl")
            shutil.rmtree(run)
    small, large = costs[BASE], costs[options.samples]
    speed = (options.samples / large.seconds) / (BASE / small.seconds)
    print(f"images/s {speed:.2f} of those at {BASE:,}; peak memory {large.memory / small.memory:.2f} times as much")


if __name__ == "__main__":
    main()
