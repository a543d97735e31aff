"""`sluice what-if` and `sluice curve` on a run of many rows, as whole processes: start, reading, deciding, printing.

    python bench/what_if.py --rows 1000000

Of each it says the seconds on the clock, the seconds of processor time (of all its threads) and the peak memory.

The run is a real one of a few images whose row table is then drawn as large as asked (random values, 1% duplicates),
and decided by the real code.
"""

import argparse
import compileall
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

import sluice

RECIPE = """\
name: wide
run: run
sources: [{type: folder, path: images}]
filter:
  reject:
    tiny: min_side < 64
    banner: aspect > 3
    dark: brightness < 20
    blurry: sharpness < 100
    flat: entropy < 2
    short_caption: characters < 5
    file_name_caption: file_name_like
    boilerplate: boilerplate
    mojibake: mojibake
    wrong_language: {when: language_mismatch, null: pass}
pack: []
"""


def measured(rng: np.random.Generator, rows: int) -> dict[str, np.ndarray]:
    """What rows of one image and one caption each hold beside their ids and hashes."""
    return {
        "image_item": np.zeros(rows, np.int16),
        "text_item": np.ones(rows, np.int16),
        "alternative": np.ones(rows, bool),
        "images": np.ones(rows),
        "captions": np.ones(rows),
        "texts": np.ones(rows),
        "min_side": rng.integers(40, 1000, rows),
        "pixels": rng.integers(4000, 10**6, rows),
        "aspect": rng.uniform(1, 3.2, rows),
        "brightness": rng.uniform(10, 240, rows),
        "sharpness": rng.gamma(2, 300, rows),
        "entropy": rng.uniform(1.5, 8, rows),
        "characters": rng.integers(2, 200, rows),
    }


def widen(folder: Path, rows: int) -> None:
    """Give the run of `folder` a row table of `rows` rows and decide on it."""
    from sluice.run import filtering
    from sluice.run.conductor import prepare
    from sluice.run.recipe import load_recipe
    from sluice.run.rows import rows_fingerprint
    from sluice.run.stage import stage_record
    from sluice.table.commit import ROW_GROUP, table_writer, write_json
    from sluice.table.layout import RAW, Layout

    file = load_recipe(folder / "recipe.yaml")
    layout = Layout(file.run_folder)
    schema = pq.read_schema(layout.rows)
    schema = schema.with_metadata({**schema.metadata, b"sluice.fingerprint": b"drawn"})
    rng = np.random.default_rng(0)
    ids = [f"{number:032x}" for number in rng.permutation(rows)]
    hashes = rng.integers(0, 2**63, rows, dtype=np.uint64)
    again = rng.choice(rows, rows // 100, replace=False)
    hashes[again] = np.roll(hashes, 1)[again] ^ np.uint64(1)
    drawn = {
        "id": ids,
        "ordinal": np.arange(rows),
        "unit": np.arange(rows) // 2048,
        "phash": hashes,
        **measured(rng, rows),
    }
    columns = []
    for field in schema:
        if field.name in drawn:
            columns.append(pa.array(drawn[field.name]).cast(field.type))
        elif pa.types.is_boolean(field.type):
            columns.append(pa.array(rng.random(rows) < 0.01))
        else:
            columns.append(pa.nulls(rows, field.type))
    with table_writer(layout.rows, schema) as writer:
        writer.write_table(pa.Table.from_arrays(columns, schema=schema), row_group_size=ROW_GROUP)
    write_json(layout.stage_file(RAW), {**stage_record(layout, RAW), "in": rows, "kept": rows})
    prepared = prepare(file)
    name = rows_fingerprint(layout)
    filtering.write_rows = lambda *_: name  # the table was drawn, not measured
    filtering.decide_stage(file, layout, prepared.measures, prepared.rules, [], prepared.orders, {}, 1)


@dataclass(frozen=True)
class Cost:
    """What one process took."""

    seconds: float
    cpu: float  # seconds, of all its threads
    memory: float  # MB at its peak


def cost(command: list[str]) -> Cost:
    """Carry out `command`, its output thrown away."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def report(what: str, costs: list[Cost]) -> None:
    seconds, cpu, memory = (sorted(getattr(one, name) for one in costs) for name in ("seconds", "cpu", "memory"))
    print(
        f"{what}: {statistics.median(seconds):.2f} s ({seconds[0]:.2f} to {seconds[-1]:.2f}), "
        f"{statistics.median(cpu):.2f} s of processor time ({cpu[0]:.2f} to {cpu[-1]:.2f}), {memory[-1]:.0f} MB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keep", type=Path, help="leave the run in this folder")
    options = parser.parse_args()
    command = [sys.executable, "-m", "sluice.cli"]
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as name:
        folder = options.keep or Path(name)
        (folder / "images").mkdir(parents=True)
        for number in range(4):
            noise = np.random.default_rng(number).integers(0, 256, (80, 80, 3), dtype=np.uint8)
            Image.fromarray(noise).save(folder / "images" / f"{number}.jpg")
            (folder / "images" / f"{number}.txt").write_text(f"noise number {number}")
        (folder / "recipe.yaml").write_text(RECIPE.replace("pack: []\n", ""))
        subprocess.run([*command, "run", str(folder / "recipe.yaml"), "--only", "01_filtered"], check=True)
        started = time.perf_counter()
        # In a process of its own: the memory of this one would count as that of the processes it starts.
        drawing = get_context("spawn").Process(target=widen, args=(folder, options.rows))
        drawing.start()
        drawing.join()
        if drawing.exitcode:
            raise SystemExit("the run could not be drawn")
        print(f"decided on {options.rows:,} rows in {time.perf_counter() - started:.1f} s (drawing them included)")
        compileall.compile_dir(Path(sluice.__file__).parent, quiet=1)  # as installing does
        run = str(folder / "run")
        what_if = [*command, "what-if", run, "--set", "blurry: sharpness < 150"]
        print(subprocess.run(what_if, check=True, stdout=subprocess.PIPE, text=True).stdout)
        print(f"over {options.rows:,} rows, start included, median (least to most) of {options.rounds}:")
        report("what-if", [cost(what_if) for _ in range(options.rounds)])
        report("curve", [cost([*command, "curve", run, "--column", "sharpness"]) for _ in range(options.rounds)])


if __name__ == "__main__":
    main()
