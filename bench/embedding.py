"""Embedding by a run, `embed_units`, against a loop that does no more than it must, alternating, as ratios.

    python bench/embedding.py --images 3000

`bare`    reads, decodes, prepares and calls onnxruntime with the same threads and batch; nothing is written.
`ready`   onnxruntime alone on tensors that are there.
`96 px`   the encoder in the package on images of 96 px that are decoded already.
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
from typing import Any

import numpy as np

from corpus import make
from processes import in_a_process, told, tree_cpu

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


def embed(options: argparse.Namespace) -> None:
    """Each way in turn, as often as asked."""
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
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--corpus", type=Path, help="made by bench/corpus.py, in place of one that is made")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    embed(parser.parse_args())


if __name__ == "__main__":
    main()
