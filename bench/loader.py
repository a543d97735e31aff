"""The loader against webdataset, mosaicml-streaming, litdata and datasets, alternating in one session, as ratios.

    python bench/loader.py --corpus FOLDER --peers PYTHON [--rounds 2] [--modes raw pil draft same]
    python bench/loader.py --corpus FOLDER --large [--samples 100000000]

The corpus is made by bench/corpus.py; each loader reads it in its own best format, in whole processes of their own,
with its own shuffling, in batches of 256. `raw` hands out the bytes of the images. The other modes hand out arrays
(256, 224, 224, 3): Sluice's by its own decoder in all of them, those of the others as bench/loader_peers.py says.
Cold: the files are dropped from the page cache before. Imports do not count; CPU seconds are of a process and its
workers, and more to be trusted than wall seconds where a machine does other things too.

`--large`: the time to the first decoded batch of 10^6 samples (the shards of the corpus, linked again and again), and
the memory of an order of `--samples` samples.
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
from pathlib import Path

from loader_timing import BATCH, SIDE, measure
from pipeline import sluice
from processes import tree_pss, watched

PEERS = ("webdataset", "mosaicml", "litdata", "datasets")
MODES = ("raw", "pil", "draft", "same")
HERE = Path(__file__).parent
RECIPE = """\
name: loader
run: {run}
sources: [{{type: folder, path: {corpus}}}]
measures: [image.header, text.basic]
filter: {{duplicates: {{bytes: false, captions: false, boilerplate: null, near: null}}}}
pack: [{{format: webdataset, shard_samples: 5000}}]
"""


def one(pack: Path, mode: str, workers: int, threads: int, state: Path, most: int | None) -> None:
    """Sluice's own process: an epoch, up to a step, or from a state on."""
    import numpy as np

    from sluice.load.decode import Pixels
    from sluice.load.loader import Loader

    decode = None if mode == "raw" else Pixels(SIDE)

    made: list[Loader] = []

    def batches():
        loader = Loader(pack, BATCH, decode=decode, processes=workers, threads=threads)
        made.append(loader)
        if state.is_file():
            loader.load_state_dict(json.loads(state.read_text()))
        for batch in loader:
            if decode is None:
                yield [sample.images[0] for sample in batch.values]
            else:
                yield np.stack([pair.image for pair in batch.values])
            if batch.step + 1 == most and not state.is_file():
                state.write_text(json.dumps(loader.state_dict()))
                return

    measure(
        batches,
        lambda: made[0].close(),  # noqa: PLW0108 - made later
        most if state.is_file() else None,
    )


def whole(command: list[str]) -> dict[str, float]:
    """What a process says of itself, and the peak PSS of its tree in MB."""
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(HERE.parent / "src"),
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
    }
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True)
    with watched(process.pid, 0.25) as memory:
        said, errors = process.communicate()
    lines = [line for line in said.splitlines() if line.startswith("{")]
    if not lines:
        raise SystemExit(f"{' '.join(command)}: exit {process.returncode}\n{errors[-3000:]}")
    return {**json.loads(lines[-1]), "memory": memory.peak}


def drop(folder: Path) -> None:
    """Have the files of a folder read from the disk when they are read next."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def pack(corpus: Path, folder: Path) -> Path:
    recipe, run = folder / "recipe.yaml", folder / "sluice"
    if (run / "04_final").exists():
        return run / "04_final"
    recipe.write_text(RECIPE.format(run=run, corpus=corpus.absolute()))
    subprocess.run(sluice(recipe), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return run / "04_final"


def ours(packed: Path, mode: str, workers: int, threads: int, *more: str) -> list[str]:
    options = ["--mode", mode, "--workers", str(workers), "--threads", str(threads), *more]
    return [sys.executable, str(HERE / "loader.py"), "--one", str(packed), *options]


def compare(options: argparse.Namespace, folder: Path) -> None:
    packed = pack(options.corpus, folder)
    count = sum(1 for _ in options.corpus.rglob("*.jpg"))
    for peer in PEERS if options.peers else ():
        command = [options.peers, str(HERE / "loader_peers.py"), "convert", peer, str(folder / peer)]
        if not (folder / peer).exists():
            whole([*command, "--corpus", str(options.corpus.absolute())])
    figures: dict[tuple[str, str, int, str], list[dict[str, float]]] = {}

    def note(what: tuple[str, str, int, str], found: dict[str, float]) -> None:
        figures.setdefault(what, []).append(found)
        speed, work = found["samples"] / found["seconds"], found["cpu"] / found["samples"] * 1e6
        print(f"  {' '.join(map(str, what)):<40} {speed:8,.0f} samples/s {work:8,.0f} us of CPU a sample", flush=True)
        if found["samples"] != count:
            print(f"  {what[0]} served {found['samples']:,} of {count:,} samples")

    for number in range(options.rounds):
        print(f"round {number + 1}", flush=True)
        for mode in options.modes:
            for heat in options.heats:
                for workers in (0, 2):
                    for name in ("sluice", "sluice, 2 threads", *(PEERS if options.peers else ())):
                        threads = 2 if name.endswith("threads") else 0
                        if threads == 2 and workers:
                            continue
                        if name.startswith("sluice"):
                            where, command = packed, ours(packed, mode, workers, threads)
                        else:
                            where = folder / name
                            command = [options.peers, str(HERE / "loader_peers.py"), "run", name, str(where)]
                            command += ["--mode", mode, "--workers", str(workers)]
                        if heat == "cold":
                            drop(where)
                        note((mode, heat, workers, name), whole(command))
    table(figures)
    resume(options, folder, packed, count)


def table(figures: dict[tuple[str, str, int, str], list[dict[str, float]]]) -> None:
    print("\n| mode | | workers | loader | samples/s | CPU us a sample | first batch s | MB |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for (mode, heat, workers, name), runs in figures.items():
        speed = statistics.median(run["samples"] / run["seconds"] for run in runs)
        work = statistics.median(run["cpu"] / run["samples"] * 1e6 for run in runs)
        first, memory = (statistics.median(run[what] for run in runs) for what in ("first", "memory"))
        row = f"{mode} | {heat} | {workers} | {name} | {speed:,.0f} | {work:,.0f} | {first:.2f} | {memory:,.0f}"
        print(f"| {row} |", flush=True)


def resume(options: argparse.Namespace, folder: Path, packed: Path, count: int) -> None:
    """Seconds and CPU seconds to the first batch after 90% of an epoch, raw, without workers."""
    steps = str(count // BATCH * 9 // 10)
    state = folder / "sluice.json"
    print("\n| resumed at 90% | s | CPU s |\n| --- | --- | --- |")
    for name in ("sluice", *(PEERS if options.peers else ())):
        if name == "sluice":
            whole(ours(packed, "raw", 0, 1, "--state", str(state), "--steps", steps))
            found = whole(ours(packed, "raw", 0, 1, "--state", str(state), "--steps", "1"))
        else:
            command = [options.peers, str(HERE / "loader_peers.py")]
            whole([*command, "save", name, str(folder / name), "--steps", steps])
            found = whole([*command, "resume", name, str(folder / name), "--steps", steps])
        print(f"| {name} | {found['first']:.3f} | {found['cpu']:.3f} |", flush=True)


def large(options: argparse.Namespace, folder: Path) -> None:
    """First batch of 10^6 samples; memory and time of an order of many more."""
    packed = pack(options.corpus, folder)
    million = folder / "million"
    linked(packed, million, 10**6)
    for workers in (0, 2):
        for mode in ("raw", "draft"):
            drop(million)
            found = whole(ours(million, mode, workers, 2, "--steps", "1", "--state", str(folder / f"{workers}{mode}")))
            print(
                f"10^6 samples, {'raw' if mode == 'raw' else 'decoded'}, {workers} workers: first batch after "
                f"{found['first']:.2f} s, {found['cpu']:.2f} s of CPU, {found['memory']:.0f} MB",
                flush=True,
            )
    listed(packed, folder / "listed", options.samples)
    found = whole([sys.executable, __file__, "--order", str(folder / "listed")])
    print(
        f"{options.samples:,} samples: opened in {found['open']:.1f} s, step at 90% found in {found['step']:.2f} s; "
        f"{found['holds']:.0f} MB more than the process without them, {found['memory']:.0f} MB at the peak in all"
    )


def linked(packed: Path, folder: Path, samples: int) -> None:
    """A pack of so many samples: the shards of `packed`, each linked often."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(packed / "manifest.parquet")
    names = table.column("shard").to_pylist()
    with pq.ParquetWriter(_made(folder) / "manifest.parquet", table.schema) as out:
        for turn in range(-(-samples // table.num_rows)):
            shards = pa.array([f"{turn:06d}/{name}" for name in names])
            at = table.schema.get_field_index("shard")
            out.write_table(table.set_column(at, "shard", shards), row_group_size=16_384)
            for name in dict.fromkeys(names):
                path = folder / f"{turn:06d}" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                os.link(packed / name, path)
    shutil.copy(packed / "SHA256SUMS", folder)


def listed(packed: Path, folder: Path, samples: int) -> None:
    """A manifest of so many samples in shards of 5,000 that are not there: each row is the first of `packed`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = 5_000
    first = pq.read_table(packed / "manifest.parquet").slice(0, 1)
    table = pa.concat_tables([first] * rows).combine_chunks()
    at = table.schema.get_field_index("shard")
    with pq.ParquetWriter(_made(folder) / "manifest.parquet", table.schema, compression="zstd") as out:
        for shard in range(0, samples // rows, 3):
            names = [f"train/shard-{number:07d}.tar" for number in range(shard, min(shard + 3, samples // rows))]
            pieces = [table.set_column(at, "shard", pa.array([name] * rows)) for name in names]
            out.write_table(pa.concat_tables(pieces), row_group_size=3 * rows)
    shutil.copy(packed / "SHA256SUMS", folder)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def order(folder: Path) -> None:
    """Open a pack that has a manifest only, and find a step near the end of its epoch."""
    from sluice.load.loader import Loader

    before, started = tree_pss(os.getpid()), time.perf_counter()
    loader = Loader(folder, BATCH)
    opened = time.perf_counter()
    step = len(loader) * 9 // 10
    loader._steps.step(step)
    ended = time.perf_counter()
    time.sleep(0.3)
    found = {"open": opened - started, "step": ended - opened, "holds": tree_pss(os.getpid()) - before}
    print(json.dumps(found), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, help="made by bench/corpus.py")
    parser.add_argument("--peers", metavar="PYTHON", help="an interpreter that has them; without: Sluice alone")
    parser.add_argument("--work", type=Path, help="a folder to keep what was packed and converted, for another run")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--modes", nargs="+", default=list(MODES), choices=MODES)
    parser.add_argument("--heats", nargs="+", default=["warm", "cold"], choices=["warm", "cold"])
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--samples", type=int, default=10**8)
    for name in ("--one", "--order", "--state"):
        parser.add_argument(name, type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--mode", default="raw", help=argparse.SUPPRESS)
    for name in ("--workers", "--threads", "--steps"):
        parser.add_argument(name, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        state = options.state or Path("none")
        one(options.one, options.mode, options.workers, options.threads, state, options.steps)
    elif options.order:
        order(options.order)
    else:
        with tempfile.TemporaryDirectory(prefix="sluice-bench-", dir=options.corpus.absolute().parent) as name:
            folder = options.work or Path(name)
            folder.mkdir(exist_ok=True)
            (large if options.large else compare)(options, folder)


if __name__ == "__main__":
    main()
