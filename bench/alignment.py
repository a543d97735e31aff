"""03_quality_checked: from stored vectors to verdicts, and the questions after it.

    python bench/alignment.py --rows 1000000

A real run of a few images, whose rows, verdicts of 01_filtered and vectors are then drawn as many as asked (one image
and one caption a sample, 5% of them mismatched). The stage decides on them by the real code, in a process of its own
each round, with nothing but the vectors there; its parts are timed, its memory watched. `verdicts` is the sum of those
from vectors to verdicts: the rows with their alignment, the rules, the writing down. Then `what-if` and `curve`, as
whole processes. `bare` reads the same vectors and takes their cosines.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from processes import in_a_process, told
from what_if import cost, report

RECIPE = """\
name: aligned
run: run
sources: [{type: folder, path: images}]
filter: {reject: {tiny: min_side < 8}}
quality:
  encoder: {type: builtin}
  reject:
    misaligned: {when: false_accept > 0.01, null: pass}
    poor: alignment < 0.2
  hold:
    doubtful: alignment < 0.25
"""
UNIT = 2048
MISMATCHED = 0.05
PARTS = ("calibrate_run", "write_quality_rows", "record", "_deciles")
TO_VERDICTS = ("write_quality_rows", "record")


def small_run(folder: Path) -> None:
    """A run of four images, whose tables are then drawn larger."""
    (folder / "images").mkdir(parents=True)
    for number in range(4):
        noise = np.random.default_rng(number).integers(0, 256, (80, 80, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / "images" / f"{number}.jpg")
        (folder / "images" / f"{number}.txt").write_text(f"noise number {number}")
    (folder / "recipe.yaml").write_text(RECIPE)
    command = [sys.executable, "-m", "sluice.cli", "run", str(folder / "recipe.yaml"), "--only", "03_quality_checked"]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


def widen(folder: Path, rows: int, dim: int) -> None:
    """Give the run `rows` samples that 01_filtered kept, and their vectors of `dim` numbers."""
    from sluice.run.stage import stage_record
    from sluice.table.commit import ROW_GROUP, table_writer, write_json
    from sluice.table.ids import sample_id
    from sluice.table.layout import FILTERED, RAW, Layout
    from sluice.table.schema import VERDICTS

    layout = Layout(folder / "run")
    schema = pq.read_schema(layout.rows)
    rng = np.random.default_rng(0)
    ids = [sample_id("folder", str(number)) for number in range(rows)]
    store = next(layout.measures("03_quality_checked").iterdir())
    for old in store.iterdir():
        old.unlink()
    unit = np.arange(rows) // UNIT
    with (
        table_writer(layout.rows, schema) as all_rows,
        table_writer(layout.verdicts(FILTERED), VERDICTS) as verdicts,
    ):
        for start in range(0, rows, UNIT * 8):
            end = min(rows, start + UNIT * 8)
            all_rows.write_table(drawn_rows(schema, ids[start:end], start, rng), row_group_size=2**30)
        for start in range(0, rows, ROW_GROUP):
            part = slice(start, min(rows, start + ROW_GROUP))
            verdicts.write_table(kept(VERDICTS, ids[part], unit[part]), row_group_size=2**30)
    for number in range(-(-rows // UNIT)):
        part = slice(number * UNIT, min(rows, (number + 1) * UNIT))
        draw_vectors(store / f"unit-{number:05d}.parquet", ids[part], dim, np.random.default_rng(number))
    for stage in (RAW, FILTERED):
        write_json(layout.stage_file(stage), {**stage_record(layout, stage), "in": rows, "kept": rows})


def drawn_rows(schema: pa.Schema, ids: list[str], first: int, rng: np.random.Generator) -> pa.Table:
    """Rows with every column of the identity filled as a caption pair fills it, and numbers in the measured ones."""
    count = len(ids)
    number = np.arange(first, first + count)
    known: dict[str, Any] = {
        "id": ids,
        "ordinal": number,
        "unit": number // UNIT,
        "image_item": np.zeros(count, np.int16),
        "text_item": np.ones(count, np.int16),
        "alternative": np.ones(count, np.bool_),
        "key": [f"{place // 1000:05d}/{place:09d}.jpg" for place in number],
        "source": ["folder"] * count,
        "images": np.ones(count),
        "captions": np.ones(count),
        "texts": np.ones(count),
        "text": [
            f"a photograph of thing {place} beside another, seen from {place % 97} steps away" for place in number
        ],
        "declared_language": ["en"] * count,
    }
    columns: list[pa.Array] = []
    for field in schema:
        if field.name in known:
            columns.append(pa.array(known[field.name]).cast(field.type))
        elif pa.types.is_boolean(field.type):
            columns.append(pa.array(rng.random(count) < 0.01))
        elif pa.types.is_floating(field.type):
            columns.append(pa.array(rng.gamma(2, 50, count)).cast(field.type))
        elif pa.types.is_integer(field.type):
            columns.append(pa.array(rng.integers(0, 120, count)).cast(field.type))
        elif field.name in ("sha256", "content_hash", "text_hash"):
            columns.append(pa.array([rng.bytes(16).hex() for _ in range(count)]).cast(field.type))
        else:
            columns.append(pa.nulls(count, field.type))
    return pa.Table.from_arrays(columns, schema=schema)


def kept(schema: pa.Schema, ids: list[str], unit: Any) -> pa.Table:
    """Verdicts of samples that were kept."""
    none: list[list[Any]] = [[]] * len(ids)
    known: dict[str, Any] = {"id": ids, "unit": unit, "verdict": ["kept"] * len(ids)}
    known |= dict.fromkeys(("rules", "reasons", "captions_left_out"), none)
    columns = [
        pa.array(known[field.name], field.type) if field.name in known else pa.nulls(len(ids), field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def draw_vectors(path: Path, ids: list[str], dim: int, rng: np.random.Generator) -> None:
    """The vectors of a unit's images and captions: cosines of 0.35 and thereabouts, of some around 0."""
    from sluice.table.vectors import VECTOR, vector_type, write_vectors

    count = len(ids)
    image, other = (rng.standard_normal((count, dim), np.float32) for _ in range(2))
    image /= np.linalg.norm(image, axis=1, keepdims=True)
    other -= (other * image).sum(axis=1, keepdims=True) * image
    other /= np.linalg.norm(other, axis=1, keepdims=True)
    fits = rng.random(count) >= MISMATCHED
    cosine = np.where(fits, rng.normal(0.35, 0.04, count), rng.normal(0, 0.06, count)).astype(np.float32)[:, None]
    text = cosine * image + np.sqrt(1 - cosine**2) * other
    both = np.empty((2 * count, dim), np.float16)
    both[0::2], both[1::2] = image, text
    table = pa.table(
        {
            "id": pa.array(np.repeat(np.array(ids, object), 2), pa.string()),
            "item": pa.array(np.tile(np.array([0, 1], np.int16), count)),
            "error": pa.nulls(2 * count, pa.string()),
            VECTOR: pa.FixedSizeListArray.from_arrays(pa.array(both.reshape(-1)), type=vector_type(dim)),
            "captions": pa.nulls(2 * count, pa.string()),
        }
    )
    write_vectors(path, table)


def decide(folder: Path, rows: int, dim: int, answer: Path) -> None:
    """Decide by the real stage with nothing but the vectors there; the seconds of its parts go to `answer`."""
    from dataclasses import replace

    from sluice.engine import LocalEngine
    from sluice.run import checking, quality_rows
    from sluice.run.conductor import prepare
    from sluice.run.events import Events
    from sluice.run.recipe import load_recipe
    from sluice.table.layout import CHECKED, FILTERED, Layout

    layout = Layout(folder / "run")
    for path in (layout.rows_of(CHECKED), layout.verdicts(CHECKED), layout.calibration, layout.stage_file(CHECKED)):
        path.unlink(missing_ok=True)
    took: dict[str, tuple[float, float]] = {}

    def clocked(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            wall, cpu = time.perf_counter(), time.process_time()
            result = call(*args, **kwargs)
            took[name] = (time.perf_counter() - wall, time.process_time() - cpu)
            return result

        return timed

    aligning: list[float] = []  # processor seconds, in whichever thread

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any) -> Any:
            cpu = time.thread_time()
            result = call(*args)
            aligning.append(time.thread_time() - cpu)
            return result

        return timed

    checks = prepare(load_recipe(folder / "recipe.yaml")).checks
    assert checks is not None
    for name in ("UnitVectors", "_aligned", "_judged"):
        setattr(quality_rows, name, counted(getattr(quality_rows, name)))
    facts = checking.encoder_facts
    checking.encoder_facts = lambda *args: replace(facts(*args), dim=dim)
    checking.embed_units = lambda *_: {}  # the vectors are there
    for name in PARTS:
        setattr(checking, name, clocked(name, getattr(checking, name)))
    with LocalEngine(1) as engine, Events(layout) as events:
        checking.encoder_facts(checks.plan, engine)  # the model is loaded before the clock runs
        whole = clocked("stage", checking.check_stage)
        whole(checks, layout, FILTERED, -(-rows // UNIT), engine, events)
    answer.write_text(json.dumps({"took": took, "aligning": sum(aligning)}))


def bare(folder: Path, answer: Path) -> None:
    """Read the vectors and take the cosines of neighbours: what no way to judge them can do without."""
    from sluice.table.vectors import read_vectors

    wall, cpu = time.perf_counter(), time.process_time()
    for path in sorted((folder / "run" / "03_quality_checked" / "measures").glob("*/unit-*.parquet")):
        _, vectors = read_vectors(path)
        np.einsum("ij,ij->i", vectors[0::2].astype(np.float32), vectors[1::2].astype(np.float32))
    answer.write_text(json.dumps({"bare": (time.perf_counter() - wall, time.process_time() - cpu)}))


def rules(options: argparse.Namespace) -> None:
    """Draw, decide as often as asked, and say what it took."""
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as name:
        folder: Path = options.keep or Path(name)
        if not (folder / "recipe.yaml").is_file():
            small_run(folder)
            in_a_process(widen, folder, options.rows, options.dim)
        found: dict[str, list[tuple[float, float]]] = {}
        peaks: list[float] = []
        aligning: list[float] = []
        answer = Path(name) / "answer.json"
        for _ in range(options.rounds):
            in_a_process(bare, folder, answer)
            seconds = json.loads(answer.read_text())
            peaks.append(in_a_process(decide, folder, options.rows, options.dim, answer))
            decided = json.loads(answer.read_text())
            aligning.append(decided["aligning"])
            parts: dict[str, tuple[float, float]] = decided["took"]
            verdicts = tuple(sum(parts[name][clock] for name in TO_VERDICTS) for clock in (0, 1))
            for what, took in {**seconds, **parts, "verdicts": verdicts}.items():
                found.setdefault(what, []).append(took)
        print(f"{options.rows:,} samples, {options.dim} dimensions, load {os.getloadavg()[0]:.0f}")
        for what, took in found.items():
            told(what, took)
        both = statistics.median(aligning)
        copying = statistics.median(cpu for _, cpu in found["write_quality_rows"]) - both
        print(f"of write_quality_rows {both:.2f} s of CPU are the alignment, {copying:.2f} the copy of the rows")
        print(f"peak PSS {max(peaks):,.0f} MB, the worker that holds the encoder included")
        record = json.loads((folder / "run" / "03_quality_checked" / "stage.json").read_text())
        print({name: record[name] for name in ("in", "kept", "rejected", "held", "failed", "rules")})
        command, run = [sys.executable, "-m", "sluice.cli"], str(folder / "run")
        what_if = [*command, "what-if", run, "--set", "poor: alignment < 0.3"]
        report("what-if", [cost(what_if) for _ in range(options.rounds)])
        report("curve", [cost([*command, "curve", run, "--column", "alignment"]) for _ in range(options.rounds)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="leave the run in this folder, or go on with the one that is there")
    rules(parser.parse_args())


if __name__ == "__main__":
    main()
