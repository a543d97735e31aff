"""Writing a world to a folder: images, captions, questions, and the truth about each sample.

FOLDER/images/000000.jpg ...   FOLDER/masks/000000.png ... (where asked)
FOLDER/captions.jsonl          what a pipeline is given: a `table` source
FOLDER/questions.json          questions on the pictures, with answers
FOLDER/truth.parquet           what no pipeline may read: the defect of each sample, its partner, its scene
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from sluice.errors import RunError
from sluice.synth.plan import DEFECTS, NEEDS_MODEL, PARTS, plan
from sluice.table.commit import write_bytes, write_json, write_table

TRUTH: Final = pa.schema(
    [
        ("key", pa.string()),  # path of the image, relative to the folder
        ("defect", pa.string()),  # null for a good sample
        ("detail", pa.string()),
        ("partner", pa.string()),  # key of the sample it was made from
        ("expected", pa.string()),  # keep | reject
        ("needs_model", pa.bool_()),  # only a model that reads image and text together can tell
        ("language", pa.string()),  # of the captions, whatever the table declares
        ("objects", pa.int16()),
        ("scene", pa.string()),  # JSON: Scene.from_json
        ("boxes", pa.string()),  # JSON: per thing [left, top, right, bottom] as shares, or null where it is hidden
    ]
)


@dataclass(frozen=True)
class World:
    """What was written."""

    folder: Path
    samples: int
    good: int
    planted: dict[str, int]  # samples per defect, harmless ones included
    image_bytes: int


def generate(folder: Path, count: int = 2000, seed: int = 0, workers: int = 0, masks: bool = False) -> World:
    """Write a world of `count` samples; equal (count, seed) give equal bytes whatever the number of workers.

    `workers` is a number of processes, 0 for one a core. A folder that holds anything but an earlier world is refused.
    """
    if count < 1:
        raise RunError(f"a world needs at least one sample, not {count}")
    _clear(folder)
    for name in ("images", PARTS, *(("masks",) if masks else ())):
        (folder / name).mkdir(parents=True, exist_ok=True)
    share = min(workers or os.cpu_count() or 1, count)
    _draw(folder, count, seed, share, masks)
    files = [(folder / PARTS / f"{worker}.jsonl").read_bytes().split(b"\n")[:-1] for worker in range(share)]
    known = [json.loads(line) for line in chain.from_iterable(zip_longest(*files)) if line is not None]
    shutil.rmtree(folder / PARTS)
    rows = "".join(json.dumps(one["row"], ensure_ascii=False) + "\n" for one in known)
    write_bytes(folder / "captions.jsonl", rows.encode())
    asked = [question for one in known for question in one["questions"]]
    write_json(folder / "questions.json", {"questions": [{"id": number, **one} for number, one in enumerate(asked)]})
    write_table(folder / "truth.parquet", _truth([one["truth"] for one in known], count, seed))
    found = Counter(one["truth"]["defect"] for one in known)
    return World(
        folder=folder,
        samples=count,
        good=found[None],
        planted={defect: found[defect] for defect in DEFECTS},
        image_bytes=sum(path.stat().st_size for path in (folder / "images").iterdir()),
    )


def _clear(folder: Path) -> None:
    """Make way for a world: an earlier one goes, anything else stays."""
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not (folder / "captions.jsonl").exists() and not (folder / PARTS).exists():
        raise RunError(f"{folder} is not empty and holds no world of ours: choose another folder")
    for name in ("images", "masks", PARTS):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in ("captions.jsonl", "questions.json", "truth.parquet"):
        (folder / name).unlink(missing_ok=True)


def _draw(folder: Path, count: int, seed: int, workers: int, masks: bool) -> None:
    """Run the workers to their end. Plain subprocesses: a caller's script needs no `__main__` guard."""
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    commands = [
        [
            sys.executable,
            "-m",
            "sluice.synth.worker",
            str(folder),
            *map(str, (count, seed, worker, workers, int(masks))),
        ]
        for worker in range(workers)
    ]
    running = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) for command in commands]
    try:
        errors = [process.communicate()[1].decode(errors="replace") for process in running]
    except BaseException:
        for process in running:
            process.kill()
        raise
    for process, error in zip(running, errors, strict=True):
        if process.returncode:
            last = error.strip().splitlines()[-1:] or [f"exit code {process.returncode}"]
            raise RunError(f"drawing the world in {folder} failed: {last[0]}")


def _truth(facts: list[dict[str, Any]], count: int, seed: int) -> pa.Table:
    parts = plan(count, seed)
    rows = [
        {**fact, "expected": part.expected, "needs_model": part.defect in NEEDS_MODEL}
        for fact, part in zip(facts, parts, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=TRUTH)
