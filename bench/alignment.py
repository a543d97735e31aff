"""03_quality_checked: from stored vectors to verdicts, the questions after it, and embedding against a bare loop.

    python bench/alignment.py rules --rows 1000000
    python bench/alignment.py embed --images 3000

`rules`   a real run of a few images whose rows, verdicts of 01_filtered and vectors are then drawn as many as asked
          (one image and one caption a sample, 5% of them mismatched). The stage decides on them by the real code, in a
          process of its own each round, with nothing but the vectors there; its parts are timed, its memory watched.
          Then `what-if` and `curve` as whole processes. `bare` reads the same vectors and takes the cosines.
`embed`   the embedding of a run, `embed_units`, against a loop that reads, decodes, prepares and calls onnxruntime
          with the same threads and batch, alternating, as ratios; and onnxruntime alone on tensors that are ready.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from corpus import make
from pipeline import tree_pss
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
PARTS = ("calibrate_run", "write_quality_rows", "judge", "record", "_deciles")


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


def rules(options: argparse.Namespace) -> None:
    """The benchmark `rules`."""
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
            for what, took in {**seconds, **decided["took"]}.items():
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


EMBED = """\
name: embedded
run: run
sources: [{{type: folder, path: {images}}}]
measures: [image.header]
filter: {{duplicates: {{bytes: false, captions: false, boilerplate: null, near: null}}}}
quality: {{encoder: {{type: builtin, threads: {threads}, batch: {batch}}}}}
engine: {{workers: {workers}}}
"""
Job = tuple[Path, Path, int, int]  # recipe, images, threads, batch


def embed_stage(job: Job, answer: Path) -> None:
    """Embed what the run of a recipe kept, by the real code; the clock runs while the model is loaded already."""
    from sluice.engine import LocalEngine
    from sluice.run.checking import encoder_facts
    from sluice.run.conductor import prepare
    from sluice.run.embedding import Chosen, embed_units
    from sluice.run.events import Events
    from sluice.run.recipe import load_recipe
    from sluice.table.layout import CHECKED, FILTERED, Layout

    file = load_recipe(job[0])
    layout = Layout(job[0].parent / "run")
    shutil.rmtree(layout.stage(CHECKED), ignore_errors=True)
    checks = prepare(file).checks
    assert checks is not None
    units = len(list((layout.stage("00_raw") / "samples").iterdir()))
    with LocalEngine(file.recipe.engine.workers) as engine, Events(layout) as events:
        facts = encoder_facts(checks.plan, engine)
        wall, cpu = time.perf_counter(), tree_cpu(os.getpid())
        embed_units(layout, checks.plan, facts.store, Chosen(FILTERED, "bench"), units, engine, events)
        answer.write_text(json.dumps((time.perf_counter() - wall, tree_cpu(os.getpid()) - cpu)))


def embed_bare(job: Job, answer: Path) -> None:
    """The same images and captions, decoded at the same scale and prepared by the same code; nothing is written."""
    import simplejpeg

    from sluice.models.base import Preprocess
    from sluice.models.hashed_words import HashedWords, tokens
    from sluice.models.preprocess import tensor

    _, images, threads, batch = job
    manifest, (image, text) = sessions(threads)
    preprocess = Preprocess(**manifest["preprocess"])
    words = HashedWords(**{name: value for name, value in manifest["tokenizer"].items() if name != "type"})
    side = 2 * max(preprocess.width, preprocess.height)

    def decoded(path: Path) -> Any:
        data = path.read_bytes()
        head: Any = simplejpeg.decode_jpeg_header(data)
        height, width = head[:2]
        longer = max(height, width)
        scale = next(scale for scale in (1, 2, 3, 4, 8) if -(-longer * scale // 8) >= min(side, longer))
        least = -(-height * scale // 8), -(-width * scale // 8)
        return simplejpeg.decode_jpeg(data, "RGB", min_height=least[0], min_width=least[1])

    files = sorted(images.rglob("*.jpg"))
    wall, cpu = time.perf_counter(), time.process_time()
    for start in range(0, len(files), batch):
        some = files[start : start + batch]
        image.run(["vectors"], {"pixels": tensor([decoded(path) for path in some], preprocess)})
        captions = [path.with_suffix(".txt").read_text() for path in some]
        text.run(["vectors"], {"tokens": tokens(captions, words)})
    answer.write_text(json.dumps((time.perf_counter() - wall, time.process_time() - cpu)))


def embed_ready(job: Job, answer: Path) -> None:
    """onnxruntime alone, on tensors that are there."""
    _, images, threads, batch = job
    manifest, (image, text) = sessions(threads)
    shape = manifest["preprocess"]
    pixels = np.zeros((batch, 3, shape["height"], shape["width"]), np.float32)
    words = np.ones((batch, manifest["tokenizer"]["length"]), np.int64)
    rounds = -(-sum(1 for _ in images.rglob("*.jpg")) // batch)
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(rounds):
        image.run(["vectors"], {"pixels": pixels})
        text.run(["vectors"], {"tokens": words})
    answer.write_text(json.dumps((time.perf_counter() - wall, time.process_time() - cpu)))


def embed_small(job: Job, answer: Path) -> None:
    """The encoder in the package on images of 96 px that are decoded already."""
    from sluice.models.config import BuiltinConfig
    from sluice.models.load import load_encoder

    _, images, threads, batch = job
    encoder = load_encoder(BuiltinConfig(type="builtin", threads=threads, batch=batch))
    count = sum(1 for _ in images.rglob("*.jpg"))
    pixels = list(np.random.default_rng(0).integers(0, 256, (count, 96, 96, 3), dtype=np.uint8))
    wall, cpu = time.perf_counter(), time.process_time()
    encoder.encode_images(pixels)
    answer.write_text(json.dumps((time.perf_counter() - wall, time.process_time() - cpu)))


def sessions(threads: int) -> tuple[dict[str, Any], list[Any]]:
    """What the encoder in the package says of itself, and its two towers, warm."""
    import onnxruntime

    import sluice.models

    folder = Path(sluice.models.__file__).parent / "builtin"
    manifest = json.loads((folder / "encoder.json").read_text())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    towers = [onnxruntime.InferenceSession(str(folder / f"{name}.onnx"), options) for name in ("image", "text")]
    shape = manifest["preprocess"]
    towers[0].run(None, {"pixels": np.zeros((1, 3, shape["height"], shape["width"]), np.float32)})
    towers[1].run(None, {"tokens": np.ones((1, manifest["tokenizer"]["length"]), np.int64)})
    return manifest, towers


def tree_cpu(pid: int) -> float:
    """Processor seconds of a process and all below it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    spent = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    for task in Path(f"/proc/{pid}/task").iterdir():
        spent += sum(tree_cpu(int(child)) for child in (task / "children").read_text().split())
    return spent


def embed(options: argparse.Namespace) -> None:
    """The benchmark `embed`."""
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as name:
        images: Path = options.corpus or Path(name) / "images"
        if not options.corpus:
            make(images, options.images)
        recipe = Path(name) / "recipe.yaml"
        given = {"threads": options.threads, "batch": options.batch, "workers": 1}
        recipe.write_text(EMBED.format(images=images.absolute(), **given))
        command = [sys.executable, "-m", "sluice.cli", "run", str(recipe), "--only", "01_filtered"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        count = sum(1 for _ in images.rglob("*.jpg"))
        job: Job = (recipe, images, options.threads, options.batch)
        answer = Path(name) / "answer.json"
        calls = {"bare": embed_bare, "stage": embed_stage, "ready": embed_ready, "96 px": embed_small}
        found: dict[str, list[tuple[float, float]]] = {what: [] for what in calls}
        for _ in range(options.rounds):
            for what, call in calls.items():
                in_a_process(call, job, answer)
                found[what].append(json.loads(answer.read_text()))
        load = os.getloadavg()[0]
        print(f"{count:,} pairs, {options.rounds} rounds, load {load:.0f}")
        for what, took in found.items():
            told(what, took)
        wall = {what: statistics.median(second for second, _ in took) for what, took in found.items()}
        cpu = {what: statistics.median(second for _, second in took) for what, took in found.items()}
        for what in ("bare", "ready"):
            print(f"stage / {what}: {wall[what] / wall['stage']:.2f}; {cpu[what] / cpu['stage']:.2f} by CPU time")
        for what in found:
            print(f"{what:<8} {count / cpu[what]:,.0f} a second of CPU time, {count / wall[what]:,.0f} by wall time")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("rules")
    one.set_defaults(call=rules)
    one.add_argument("--rows", type=int, default=1_000_000)
    one.add_argument("--dim", type=int, default=256)
    one.add_argument("--rounds", type=int, default=3)
    one.add_argument("--keep", type=Path, help="leave the run in this folder, or go on with the one that is there")
    other = commands.add_parser("embed")
    other.set_defaults(call=embed)
    other.add_argument("--images", type=int, default=3000)
    other.add_argument("--corpus", type=Path, help="made by bench/corpus.py, in place of one that is made")
    other.add_argument("--threads", type=int, default=1)
    other.add_argument("--batch", type=int, default=32)
    other.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    options.call(options)


if __name__ == "__main__":
    main()
