"""One image whose decoder segfaults, or never returns, among 500: what comes out of which engine.

    python bench/poison.py [--daft PYTHON] [--ray PYTHON] [--seconds 60]

The same function over the same files under `sluice run`, a process pool of the standard library, Daft and Ray Data,
each twice: as it is, and with what it offers against failures. Each gets two workers, 16 rows at a time where it takes
batches, and `--seconds`; what still runs then is ended and called hung. A sample came out if its result reached the
caller, whatever happened afterwards; so 499 is all that can come out.

Daft and Ray need environments of their own (with Pillow): give their interpreters.
"""

import argparse
import contextlib
import ctypes
import io
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from processes import kill

IMAGES = 500
PLANTED = 250
BATCH = 16
WORKERS = 2
WORDS = {"segfault": b"SEGFAULT", "hang": b"HANG"}
PLUGIN = """\
import sys

sys.path.insert(0, {bench!r})
import pyarrow as pa
from poison import decode

from sluice import data, measure


@measure("bench.decode", version=1, reads=data(), writes={{"decoded_width": pa.int32()}})
def decoded(batch):
    return {{"decoded_width": [decode(image) for image in batch.bytes]}}
"""
RECIPE = """\
name: bench
run: {run}
sources: [{{type: folder, path: {folder}}}]
plugins: [./plugin.py]
measures: [image.header, bench.decode]
filter: {{duplicates: {{near: null, bytes: false}}}}
engine: {{workers: {workers}}}
{limits}
"""


def decode(data: bytes) -> int:
    """The image's width in px, found by decoding it; what stands after the image may be a death sentence."""
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        width = image.convert("RGB").width
    if data.endswith(WORDS["segfault"]):
        ctypes.string_at(0)
    while data.endswith(WORDS["hang"]):
        time.sleep(1)
    return width


def decode_file(path: str) -> int:
    """The width of the image in the file `path`."""
    with open(path, "rb") as file:
        return decode(file.read())


def decode_row(row: dict[str, str]) -> dict[str, int]:
    """The same, as Ray wants it."""
    return {"width": decode_file(row["path"])}


# The engines: each yields something for every result, as it arrives.


def process_pool(paths: list[str]) -> Iterator[object]:
    """The standard library's pool, a task a file."""
    from concurrent.futures import ProcessPoolExecutor, as_completed

    with ProcessPoolExecutor(WORKERS) as pool:
        for future in as_completed([pool.submit(decode_file, path) for path in paths]):
            yield future.result()


def process_pool_caught(paths: list[str]) -> Iterator[object]:
    """The same, every exception of a task caught."""
    from concurrent.futures import ProcessPoolExecutor, as_completed

    with ProcessPoolExecutor(WORKERS) as pool:
        for future in as_completed([pool.submit(decode_file, path) for path in paths]):
            if future.exception() is None:
                yield future.result()


def daft(paths: list[str]) -> Iterator[object]:
    """Daft's own runner, a batch function."""
    yield from _daft(paths, {})


def daft_careful(paths: list[str]) -> Iterator[object]:
    """The same in processes of its own, errors ignored, with retries."""
    yield from _daft(paths, {"use_process": True, "on_error": "ignore", "max_retries": 3})


def _daft(paths: list[str], options: dict[str, object]) -> Iterator[object]:
    import daft as engine

    def widths(column):  # a Series
        return [decode_file(path) for path in column.to_pylist()]

    function = engine.func.batch(return_dtype=engine.DataType.int64(), batch_size=BATCH, **options)(widths)
    frame = engine.from_pydict({"path": paths})
    for row in frame.select(function(frame["path"]).alias("width")).iter_rows():
        if row["width"] is not None:
            yield row


def ray(paths: list[str]) -> Iterator[object]:
    """Ray Data, blocks of as many rows as the others' batches."""
    yield from _ray(paths)


def ray_careful(paths: list[str]) -> Iterator[object]:
    """The same, told to do without the blocks that fail."""
    import ray.data as engine

    engine.DataContext.get_current().max_errored_blocks = -1
    yield from _ray(paths)


def _ray(paths: list[str]) -> Iterator[object]:
    import logging

    import ray as engine
    import ray.data

    engine.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    items = [{"path": path} for path in paths]
    yield from engine.data.from_items(items, override_num_blocks=-(-len(paths) // BATCH)).map(decode_row).iter_rows()


ENGINES: dict[str, Callable[[list[str]], Iterator[object]]] = {
    "process_pool": process_pool,
    "process_pool_caught": process_pool_caught,
    "daft": daft,
    "daft_careful": daft_careful,
    "ray": ray,
    "ray_careful": ray_careful,
}


# The bench.


@dataclass(frozen=True)
class Case:
    """A row of the table."""

    name: str
    settings: str
    python: str
    engine: str  # of ENGINES; or sluice
    limits: str = ""


@dataclass(frozen=True)
class Came:
    """What came of a case."""

    out: int
    outcome: str
    seconds: float


def cases(options: argparse.Namespace) -> Iterator[Case]:
    """All that can be run with the interpreters given."""
    yield Case("sluice", "`limits.seconds: 2`", sys.executable, "sluice", "limits: {seconds: 2}")
    yield Case("sluice", "default (`limits.seconds: 30`)", sys.executable, "sluice")
    yield Case("ProcessPoolExecutor", "a task a file", sys.executable, "process_pool")
    yield Case("ProcessPoolExecutor", "exceptions of tasks caught", sys.executable, "process_pool_caught")
    if options.daft:
        yield Case("daft", "default", options.daft, "daft")
        yield Case("daft", "`use_process`, `on_error=ignore`, `max_retries=3`", options.daft, "daft_careful")
    if options.ray:
        yield Case("ray", "default", options.ray, "ray")
        yield Case("ray", "`max_errored_blocks=-1`", options.ray, "ray_careful")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--daft", metavar="PYTHON", help="an interpreter that has daft and Pillow")
    parser.add_argument("--ray", metavar="PYTHON", help="an interpreter that has ray[data] and Pillow")
    parser.add_argument("--seconds", type=float, default=60.0, help="after which an engine is ended")
    parser.add_argument("--engine", choices=ENGINES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.engine:
        work(options.engine, options.folder)
        return
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    print("| engine | settings | segfault: came out | outcome | s | hang: came out | outcome | s |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory(prefix="poison-") as home:
        folders = {kind: draw(Path(home) / kind, word) for kind, word in WORDS.items()}
        for case in cases(options):
            cells = [f"{case.name} {version(case)}", case.settings]
            for folder in folders.values():
                came = attempt(case, folder, options.seconds)
                cells += [f"{came.out} of {IMAGES - 1}", came.outcome, f"{came.seconds:.1f}"]
            print(f"| {' | '.join(cells)} |", flush=True)


def draw(folder: Path, word: bytes) -> Path:
    """Small JPEGs with captions; `word` stands after the end of one."""
    from PIL import Image

    folder.mkdir()
    rng = random.Random(0)
    for number in range(IMAGES):
        data = io.BytesIO()
        Image.frombytes("RGB", (96, 72), rng.randbytes(96 * 72 * 3)).save(data, "JPEG")
        (folder / f"{number:04d}.jpg").write_bytes(data.getvalue() + (word if number == PLANTED else b""))
        (folder / f"{number:04d}.txt").write_text(f"picture number {number}, drawn for this bench")
    return folder


def version(case: Case) -> str:
    """The version of the engine in its own environment."""
    if case.name == "ProcessPoolExecutor":
        return ""
    code = f"from importlib.metadata import version; print(version({case.name!r}))"
    return subprocess.run([case.python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def attempt(case: Case, folder: Path, seconds: float) -> Came:
    """Run one engine in a session of its own; end what is left of it."""
    with tempfile.TemporaryDirectory(prefix="poison-run-") as home, open(f"{home}/out", "w+") as out:
        command = sluice_command(case, folder, Path(home)) if case.engine == "sluice" else child(case, folder)
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, stderr=open(f"{home}/err", "w+"), start_new_session=True)  # noqa: SIM115
        try:
            code = process.wait(seconds)
            outcome = "finished" if code == 0 else f"died ({last_words(Path(home) / 'err', code)})"
        except subprocess.TimeoutExpired:
            outcome = "hung"
        took = time.perf_counter() - started
        end(process)
        if case.engine == "sluice":
            return Came(packed(Path(home) / "run"), outcome, took)
        return Came(Path(home, "out").read_text().count("one\n"), outcome, took)


def child(case: Case, folder: Path) -> list[str]:
    return [case.python, __file__, "--engine", case.engine, "--folder", str(folder)]


def sluice_command(case: Case, folder: Path, home: Path) -> list[str]:
    (home / "plugin.py").write_text(PLUGIN.format(bench=str(Path(__file__).resolve().parent)))
    recipe = home / "recipe.yaml"
    recipe.write_text(RECIPE.format(run=home / "run", folder=folder, workers=WORKERS, limits=case.limits))
    return [case.python, "-m", "sluice.cli", "run", str(recipe)]


def packed(run: Path) -> int:
    """Samples in the shards."""
    stage = run / "04_final" / "stage.json"
    return json.loads(stage.read_text())["kept"] if stage.is_file() else 0


def work(engine: str, folder: str) -> None:
    """What a child does: one line a result, at once."""
    paths = sorted(str(path) for path in Path(folder).glob("*.jpg"))
    for _ in ENGINES[engine](paths):
        print("one", flush=True)
    print("done", flush=True)


def last_words(errors: Path, code: int) -> str:
    """What an engine died of: a signal, or the class of the error that its last traceback ends in."""
    if code < 0:
        return signal.Signals(-code).name
    lines = [line.strip() for line in errors.read_text(errors="replace").splitlines() if line.strip()]
    ends = [line.split(":")[0] for line in lines if line.split(":")[0].endswith(("Error", "Exception", "Pool"))]
    return ends[-1].rpartition(".")[2] if ends else f"exit code {code}"


def end(process: subprocess.Popen[bytes]) -> None:
    """End the engine and all processes below it, also those in sessions of their own."""
    kill(process.pid)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # those whose parents are gone
    process.wait()


if __name__ == "__main__":
    main()
