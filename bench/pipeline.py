"""The whole run against a bare loop and against py-data-juicer, alternating in one session, as ratios.

    python bench/pipeline.py --corpus FOLDER --rounds 3 [--data-juicer PYTHON]

`library`   reads each file, decodes it at the scale that the run uses (simplejpeg, strict) and takes its pHash with the
            `imagehash` library; in as many processes as the run has workers. Nothing is written. Left out where
            `imagehash` is not installed.
`bare`      the same with Sluice's own pHash, the same bits in a third of the time.
`bare+`     the same, and what else the run's hashes and views need: gray at 256 px, dHash, SHA-256.
`asked`     `sluice run` with what the aim names: header, quality, pHash, texts and their language, 12 rules, duplicates
            by bytes, hash and caption, WebDataset, report; from nothing.
`run`       the same with all built-in measures.
`equal`     `sluice run --only 01_filtered` with what the recipe for Data-Juicer asks and no more, to a list of what is
            kept, as that writes one; run where Data-Juicer is, on the same files.
`shards`    `equal` gone on with, to WebDataset shards and the report, which that has not.
`again`     the same command with nothing changed;  `threshold`: with a changed rule.
Data-Juicer needs its own environment: give its interpreter with --data-juicer.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path

from processes import watched

LOOPS = ("library", "bare", "bare+")
RECIPE = """\
name: bench
run: {run}
sources: [{{type: folder, path: {corpus}}}]
filter:
  reject:
    tiny: min_side < 64
    banner: aspect > 5
    dark: brightness < 20
    blurry: sharpness < {sharpness}
    flat: entropy < 2
    wrong_extension: {{when: not extension_ok, null: pass}}
    short_caption: characters < 5
    file_name_caption: file_name_like
    boilerplate: boilerplate
    mojibake: mojibake
    html: html
    repetitive: repeated_ngram_share > 0.5
engine: {{workers: {workers}}}
pack: [{{format: webdataset, shard_samples: 5000}}]
"""


# The measures of `asked`: those that the aim names, and the two hashes that duplicates are found by.
ASKED = (
    "measures: [image.header, image.quality, image.phash, image.content_hash, text.basic, text.language, "
    "text.content_hash]\n"
)

# What `juicer` below asks of Data-Juicer, rule by rule.
EQUAL = """\
name: equal
run: {run}
sources: [{{type: table, path: {table}}}]
measures: [image.header, image.phash, text.basic]
filter:
  reject:
    small: min_side < 64
    banner: aspect > 5
    bytes: bytes < 1024 or bytes > 67108864
    characters: characters < 5 or characters > 100000
    words: words < 1 or words > 100000
    special_characters: letter_share + digit_share < 0.1
  duplicates: {{bytes: false, captions: false, boilerplate: null, near: {{distance: 0}}}}
engine: {{workers: {workers}}}
pack: [{{format: webdataset, shard_samples: 1000}}]
"""


def bare(files: list[str], kind: str) -> int:
    """Decode and hash, and nothing else."""
    import hashlib

    import simplejpeg
    from PIL import Image

    from sluice.measures.image_hash import dhash, phash
    from sluice.media.decode import shrink, to_gray

    for name in files:
        with open(name, "rb") as file:
            data = file.read()
        height, width, _, _ = simplejpeg.decode_jpeg_header(data)
        longer = max(height, width)
        scale = next(scale for scale in (1, 2, 3, 4, 8) if -(-longer * scale // 8) >= min(256, longer))
        least = -(-height * scale // 8), -(-width * scale // 8)
        if kind == "library":
            import imagehash

            pixels = simplejpeg.decode_jpeg(data, "RGB", min_height=least[0], min_width=least[1])
            imagehash.phash(Image.fromarray(pixels))
            continue
        pixels = simplejpeg.decode_jpeg(data, "RGBX", min_height=least[0], min_width=least[1])
        gray = to_gray(pixels)
        phash([gray])
        if kind == "bare+":
            dhash([gray])
            shrink(gray, 256)
            hashlib.sha256(data).hexdigest()
    return len(files)


def bare_command(corpus: Path, workers: int, kind: str) -> list[str]:
    return [
        sys.executable,
        __file__,
        "--corpus",
        str(corpus),
        "--workers",
        str(workers),
        "--bare",
        kind,
    ]


def run_bare(corpus: Path, workers: int, kind: str) -> None:
    files = sorted(str(path) for path in corpus.rglob("*.jpg"))
    size = 512
    slices = [files[start : start + size] for start in range(0, len(files), size)]
    with ProcessPoolExecutor(workers) as pool:
        assert sum(pool.map(bare, slices, [kind] * len(slices))) == len(files)


def timed(command: list[str], memory: list[float] | None = None) -> tuple[float, float]:
    """Wall and CPU seconds of a whole tree of processes; its peak PSS in MB is appended to `memory`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    # One thread a process, as the run's own workers have: two on a core would wait for each other.
    one = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    # Modules compiled once, as an installation from a wheel leaves them: some machines of developers keep none.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**environment, **one})
    with nullcontext() if memory is None else watched(process.pid) as seen:
        _, errors = process.communicate()
        elapsed = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if memory is not None and seen is not None:
        memory.append(seen.peak)
    if process.returncode:
        raise SystemExit(f"{command}: exit {process.returncode}\n{errors.decode()[-3000:]}")
    return elapsed, cpu


def sluice(recipe: Path) -> list[str]:
    return [sys.executable, "-m", "sluice.cli", "run", str(recipe)]


def juicer(python: str, corpus: Path, folder: Path, workers: int, count: int) -> list[str]:
    """Data-Juicer on the nearest recipe: size, aspect, text length, words, special characters, image dedup."""
    listing = folder / "juicer.jsonl"
    if not listing.exists():
        with listing.open("w") as out:
            for path in sorted(corpus.absolute().rglob("*.jpg"))[:count]:
                text = path.with_suffix(".txt").read_text()
                out.write(json.dumps({"text": f"<__dj__image> {text}", "images": [str(path)]}) + "\n")
    config = folder / "juicer.yaml"
    config.write_text(
        f"dataset_path: {listing}\nexport_path: {folder}/juicer-out/out.jsonl\nnp: {workers}\nop_fusion: true\n"
        "open_tracer: false\nuse_cache: false\nprocess:\n"
        "  - image_shape_filter: {min_width: 64, min_height: 64}\n"
        "  - image_aspect_ratio_filter: {min_ratio: 0.2, max_ratio: 5.0}\n"
        "  - image_size_filter: {min_size: '1kb', max_size: '64mb'}\n"
        "  - text_length_filter: {min_len: 5, max_len: 100000}\n"
        "  - words_num_filter: {min_num: 1, max_num: 100000}\n"
        "  - special_characters_filter: {min_ratio: 0.0, max_ratio: 0.9}\n"
        "  - image_deduplicator: {method: phash}\n"
    )
    shutil.rmtree(folder / "juicer-out", ignore_errors=True)
    return [str(Path(python).with_name("dj-process")), "--config", str(config)]


def write_equal(folder: Path, corpus: Path, workers: int, count: int) -> Path:
    """The recipe `EQUAL` on the first `count` images, to be run from nothing."""
    table, recipe = folder / "equal.jsonl", folder / "equal.yaml"
    with table.open("w") as out:
        for path in sorted(corpus.absolute().rglob("*.jpg"))[:count]:
            row = {"path": str(path), "caption": path.with_suffix(".txt").read_text()}
            out.write(json.dumps(row) + "\n")
    shutil.rmtree(folder / "equal", ignore_errors=True)
    recipe.write_text(EQUAL.format(run=folder / "equal", table=table, workers=workers))
    return recipe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True, help="made by bench/corpus.py")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--data-juicer", metavar="PYTHON")
    parser.add_argument("--data-juicer-count", type=int, default=5_000)
    parser.add_argument("--bare", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare is not None:
        run_bare(options.corpus, options.workers, options.bare)
        return
    count = sum(1 for _ in options.corpus.rglob("*.jpg"))
    loops = [kind for kind in LOOPS if kind != "library" or find_spec("imagehash")]
    figures: dict[str, list[tuple[float, float]]] = {}
    memory: list[float] = []
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as name:
        folder = Path(name)
        recipe = folder / "recipe.yaml"

        def write(sharpness: int, measures: str = "", run: str = "run") -> None:
            recipe.write_text(
                RECIPE.format(
                    run=folder / run, corpus=options.corpus.absolute(), workers=options.workers, sharpness=sharpness
                )
                + measures
            )

        def note(what: str, seconds: tuple[float, float]) -> None:
            figures.setdefault(what, []).append(seconds)
            print(f"  {what:<12} {seconds[0]:8.2f} s {seconds[1]:8.2f} s of CPU", flush=True)

        for number in range(options.rounds):
            print(f"round {number + 1}", flush=True)
            for kind in loops:
                note(kind, timed(bare_command(options.corpus, options.workers, kind)))
            write(50, ASKED, "asked")
            note("asked", timed(sluice(recipe)))
            for run in ("asked", "run"):
                shutil.rmtree(folder / run, ignore_errors=True)
            write(50)
            note("run", timed(sluice(recipe), memory))
            note("again", timed(sluice(recipe)))
            write(60 + number)
            note("threshold", timed([*sluice(recipe), "--only", "01_filtered"]))
            note("repack", timed(sluice(recipe)))
            if options.data_juicer:
                equal = write_equal(folder, options.corpus.absolute(), options.workers, options.data_juicer_count)
                note("equal", timed([*sluice(equal), "--only", "01_filtered"]))
                note("shards", timed(sluice(equal)))
                command = juicer(
                    options.data_juicer, options.corpus, folder, options.workers, options.data_juicer_count
                )
                seconds = timed(command)
                written = folder / "juicer-out" / "out.jsonl"
                lines = len(written.read_text().splitlines()) if written.exists() else 0
                if not lines:  # it says nothing with its exit code when an operator or an installation of its own fails
                    raise SystemExit(f"Data-Juicer wrote nothing: run {' '.join(command)} by hand to see why")
                note("data-juicer", seconds)
        outcome = json.loads((folder / "run" / "01_filtered" / "stage.json").read_text())
    wall = {what: statistics.median(second for second, _ in seconds) for what, seconds in figures.items()}
    cpu = {what: statistics.median(second for _, second in seconds) for what, seconds in figures.items()}
    print(f"\n{count:,} images, {options.workers} workers, medians of {options.rounds} alternating rounds")
    for what, seconds in wall.items():
        images = options.data_juicer_count if what in ("data-juicer", "equal", "shards") else count
        print(f"{what:<12} {seconds:8.2f} s {images / seconds:9,.0f} images/s {1e6 * cpu[what] / images:8,.0f} us CPU")
    for kind in ("asked", "run"):
        for bare in loops:
            print(
                f"{kind + ' / ' + bare:<18} {wall[bare] / wall[kind]:.2f} of its images/s; "
                f"{cpu[bare] / cpu[kind]:.2f} by CPU time"
            )
    if "data-juicer" in wall:
        scale = count / options.data_juicer_count
        print(
            f"run / data-juicer  {scale * wall['data-juicer'] / wall['run']:.1f} times its images/s; "
            f"{scale * cpu['data-juicer'] / cpu['run']:.1f} by CPU time"
        )
        for what, parts in (("equal", ("equal",)), ("equal+shards", ("equal", "shards"))):
            seconds, work = (sum(took[part] for part in parts) for took in (wall, cpu))
            print(
                f"{what} / data-juicer {wall['data-juicer'] / seconds:.1f} times its images/s; "
                f"{cpu['data-juicer'] / work:.1f} by CPU time"
            )
    print(f"peak PSS of all processes {max(memory):,.0f} MB; kept {outcome['kept']:,} of {outcome['in']:,}")


if __name__ == "__main__":
    main()
