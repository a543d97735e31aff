"""Runs of 10^4 to 10^8 rows, drawn, and what it takes to decide on them and to ask them: seconds and memory.

    python bench/scale.py --rows 10000 --rows 1000000 --rows 10000000
    python bench/scale.py --rows 100000000 --folder /scratch     # 30 GB of disk, an hour

A run of a few images is made by the real command; then its tables are drawn as large as asked, row group by row group
with the real layout, schemas and writers: samples, items, verdicts of 00_raw and the row table of 01_filtered (random
values, captions of their own, 1% equal bytes, 1% near hashes). The real code then decides, and the real commands ask.
Each is a process of its own: wall and processor seconds, peak memory. `bytes` are those of the whole folder.
"""

import argparse
import compileall
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

import sluice
from processes import scratch
from what_if import measured

RECIPE = """\
name: wide
run: run
unit: {unit}
sources: [{{type: folder, path: images}}]
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
    wrong_language: {{when: language_mismatch, null: pass}}
"""
PIECE = 2**20  # rows drawn at a time; whole units
SIDES = 64
HEX = np.frombuffer(b"0123456789abcdef", np.uint8)


def unit_of(rows: int) -> int:
    """Samples a unit: larger ones for larger runs, as docs/scale.md advises."""
    return 2_048 if rows <= 1_000_000 else 16_384


def hexed(rng: np.random.Generator, rows: int, digits: int) -> pa.Array:
    """Random hexadecimal texts."""
    letters = HEX[rng.integers(0, 16, rows * digits, np.uint8)]
    offsets = np.arange(rows + 1, dtype=np.int32) * digits
    return pa.StringArray.from_buffers(rows, pa.py_buffer(offsets), pa.py_buffer(letters))


def taken(array: pa.Array, rng: np.random.Generator) -> pa.Array:
    """The same with one in a hundred replaced by the value before it."""
    index = np.arange(len(array))
    some = rng.choice(len(array), len(array) // 100, replace=False)
    index[some] = np.maximum(some - 1, 0)
    return array.take(pa.array(index))


def drawn(start: int, rows: int, unit: int, schema: pa.Schema) -> pa.Table:
    """Rows of the row table, from `start` on."""
    rng = np.random.default_rng(start)
    hashes = rng.integers(0, 2**64, rows, dtype=np.uint64)
    again = rng.choice(rows, rows // 100, replace=False)
    hashes[again] = np.roll(hashes, 1)[again] ^ np.uint64(1)
    real: dict[str, Any] = {
        "id": hexed(rng, rows, 32),
        "ordinal": np.arange(start, start + rows),
        "unit": np.arange(start, start + rows) // unit,
        "sha256": taken(hexed(rng, rows, 64), rng),
        "text_hash": hexed(rng, rows, 32),
        "phash": hashes,
        **measured(rng, rows),
    }
    columns = []
    for field in schema:
        if field.name in real:
            columns.append(pa.array(real[field.name]).cast(field.type))
        elif field.name in ("file_name_like", "boilerplate", "mojibake", "language_mismatch"):
            columns.append(pa.array(rng.random(rows) < 0.01))
        else:
            columns.append(pa.nulls(rows, field.type))
    return pa.Table.from_arrays(columns, schema=schema)


def pieces(rows: int, unit: int, schema: pa.Schema) -> Iterator[pa.Table]:
    """The whole row table, whole units at a time."""
    size = PIECE - PIECE % unit
    for start in range(0, rows, size):
        yield drawn(start, min(size, rows - start), unit, schema)


def of_schema(columns: dict[str, Any], rows: int, schema: pa.Schema) -> pa.Table:
    """A table of some columns, the others null."""
    arrays = [pa.array(columns[f.name]).cast(f.type) if f.name in columns else pa.nulls(rows, f.type) for f in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


def write_units(layout: Any, table: pa.Table, unit: int) -> None:
    """The samples and items of the units of a piece."""
    from sluice.table.commit import write_table
    from sluice.table.schema import ITEMS, SAMPLES

    for start in range(0, table.num_rows, unit):
        ids = table.column("id").slice(start, unit).combine_chunks()
        first, rows = table.column("ordinal")[start].as_py(), len(ids)
        keys = pa.array([f"part-{number // 10_000:05d}/{number:09d}" for number in range(first, first + rows)])
        samples = {"id": ids, "key": keys, "source": pa.array(["drawn"] * rows)}
        two = pa.array(np.repeat(np.arange(rows), 2))
        image = np.arange(2 * rows) % 2 == 0
        items = {
            "id": ids.take(two),
            "item": np.arange(2 * rows) % 2,
            "kind": pa.array(np.where(image, "image", "text")),
            "role": pa.array(np.where(image, "image", "caption")),
            "text": pa.array([None, "a drawn caption"]).take(pa.array(np.arange(2 * rows) % 2)),
            "container": pa.array(["tar", None]).take(pa.array(np.arange(2 * rows) % 2)),
            "uri": pa.array([f"/tars/part-{first // 10_000:05d}.tar", None]).take(pa.array(np.arange(2 * rows) % 2)),
            "offset": pa.array(np.repeat(np.arange(first, first + rows) * 4096, 2), mask=~image),
            "size": pa.array(np.full(2 * rows, 1300), mask=~image),
        }
        number = first // unit
        write_table(layout.samples(number), of_schema(samples, rows, SAMPLES))
        write_table(layout.items(number), of_schema(items, 2 * rows, ITEMS))


def raw_verdicts(table: pa.Table) -> pa.Table:
    """What 00_raw says of a piece: all came in whole."""
    from sluice.table.schema import VERDICTS

    rows = table.num_rows
    nothing = pa.array(np.zeros(rows + 1, np.int32))
    lists = {
        name: pa.ListArray.from_arrays(nothing, pa.array([], VERDICTS.field(name).type.value_type))
        for name in ("rules", "reasons", "captions_left_out")
    }
    columns = {"id": table.column("id"), "unit": table.column("unit"), "verdict": pa.array(["kept"] * rows)}
    arrays = [columns.get(f.name, lists.get(f.name, pa.nulls(rows, f.type))) for f in VERDICTS]
    return pa.Table.from_arrays(arrays, schema=VERDICTS)


def draw(folder: Path, rows: int) -> None:
    """Give the run of `folder` tables of `rows` samples."""
    from sluice.run.conductor import prepare
    from sluice.run.recipe import load_recipe
    from sluice.run.stage import stage_record
    from sluice.table.commit import commit, piece_writer, table_writer, write_json
    from sluice.table.ids import fingerprint
    from sluice.table.layout import FILTERED, RAW, Layout
    from sluice.table.schema import VERDICTS

    file = load_recipe(folder / "recipe.yaml")
    layout, unit = Layout(file.run_folder), file.recipe.unit
    record = stage_record(layout, RAW)
    layout.stage_file(FILTERED).unlink()  # what was decided on the few images
    shutil.rmtree(layout.corpus("any").parent)
    # The row table's own name for what it was made from: it is up to date, so deciding does not make it again.
    name = fingerprint("rows/1", record["fingerprint"], *prepare(file).measures)
    schema = pq.read_schema(layout.rows)
    schema = schema.with_metadata({**(schema.metadata or {}), b"sluice.fingerprint": name.encode()})
    with (
        commit(layout.rows) as partial,
        table_writer(partial, schema) as rows_writer,
        piece_writer(layout.verdicts(RAW), VERDICTS) as verdicts,
    ):
        for table in pieces(rows, unit, schema):
            rows_writer.write_table(table, row_group_size=16_384)
            verdicts.write(raw_verdicts(table))
            write_units(layout, table, unit)
    counts = {"in": rows, "kept": rows, "images": rows, "texts": rows, "bytes": 1300 * rows}
    write_json(layout.stage_file(RAW), {**record, **counts, "units": -(-rows // unit)})


def decide(folder: Path) -> None:
    """What a run does between measuring and packing."""
    from sluice.run.conductor import prepare
    from sluice.run.filtering import decide_stage
    from sluice.run.ingest import unit_count
    from sluice.run.recipe import load_recipe
    from sluice.table.layout import Layout

    file = load_recipe(folder / "recipe.yaml")
    prepared, layout = prepare(file), Layout(file.run_folder)
    assert decide_stage(file, layout, prepared.measures, prepared.rules, [], prepared.orders, {}, unit_count(layout)), (
        "nothing to do"
    )


def cost(command: list[str]) -> tuple[float, float, float, str]:
    """Wall seconds, processor seconds, MB at the peak (all of it in one process) and output of a command."""
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(command, stdout=out, env={"ARROW_DEFAULT_MEMORY_POOL": "system", **os.environ})
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)
        out.seek(0)
        return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, out.read()


def measure(folder: Path, rows: int, keep: bool) -> None:
    """One size: drawn, decided, asked."""
    command = [sys.executable, "-m", "sluice.cli"]
    (folder / "images").mkdir(parents=True)
    for number in range(4):
        noise = np.random.default_rng(number).integers(0, 256, (SIDES, SIDES, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / "images" / f"{number}.jpg")
        (folder / "images" / f"{number}.txt").write_text(f"noise number {number}")
    (folder / "recipe.yaml").write_text(RECIPE.format(unit=unit_of(rows)))
    recipe, run = str(folder / "recipe.yaml"), str(folder / "run")
    subprocess.run([*command, "run", recipe, "--only", "01_filtered"], check=True, stdout=subprocess.DEVNULL)
    own = [sys.executable, __file__, "--folder", str(folder)]
    told: list[tuple[str, tuple[float, float, float, str]]] = []
    told.append(("draw", cost([*own, "--draw", str(rows)])))
    told.append(("decide", cost([*own, "--decide"])))
    told.append(("what-if", cost([*command, "what-if", run, "--set", "blurry: sharpness < 150", "--json"])))
    told.append(("status", cost([*command, "status", run])))
    middle = pq.ParquetFile(folder / "run" / "01_filtered" / "verdicts.parquet")
    group = middle.read_row_group(middle.num_row_groups // 2, columns=["id"])
    identity = group.column("id")[group.num_rows // 2].as_py()
    told.append(("why ID", cost([*command, "why", run, identity])))
    told.append(("why KEY", cost([*command, "why", run, f"part-{rows // 20_000:05d}/{rows // 2:09d}"])))
    size = sum(path.stat().st_size for path in folder.rglob("*.parquet"))
    after = json.loads(told[2][1][3])["after"]
    print(f"\n{rows:,} rows, {size / rows:,.0f} bytes of tables a row; what-if keeps {after['kept']:,}")
    for name, (seconds, cpu, memory, _) in told:
        print(f"{name:<10} {seconds:9.2f} s {cpu:9.2f} s of CPU {memory:7.0f} MB", flush=True)
    if not keep:
        shutil.rmtree(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, action="append", help="several; default: 10^4, 10^5, 10^6")
    parser.add_argument("--folder", type=Path, help="where the runs are drawn; default: a temporary folder")
    parser.add_argument("--keep", action="store_true", help="leave the runs there")
    parser.add_argument("--draw", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--decide", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.draw:
        return draw(options.folder, options.draw)
    if options.decide:
        return decide(options.folder)
    compileall.compile_dir(Path(sluice.__file__).parent, quiet=1)  # as installing does
    with scratch(options.folder) as name:
        for rows in options.rows or (10_000, 100_000, 1_000_000):
            measure((options.folder if options.keep else Path(name)) / f"rows-{rows}", rows, options.keep)
    return None


if __name__ == "__main__":
    main()
