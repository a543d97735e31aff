"""Semantic duplicates among vectors like an image encoder's: pairs, recall against all with all, seconds, memory.

The vectors crowd around concepts of very different sizes, on a narrow cone (the mean cosine of two is near 0.5), with
planted near copies. They lie in a file, as a run lays them out. Each row is a process of its own, by turns in a round.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sluice.corpus.semantic import partitions_for, similar_pairs
from sluice.corpus.unit_vectors import equal_vectors
from sluice.corpus.vector_file import VectorFile

WAYS: dict[str, dict[str, int | None]] = {
    "all with all": {"partitions": 1},
    "partitions": {},
    "2 guests": {"probes": 2},
    "no guests": {"probes": 0},
}


def drawn(n: int, dim: int, seed: int = 0, concepts: int = 2_000, planted: float = 0.05) -> npt.NDArray[np.float16]:
    """`n` vectors of length 1."""
    rng = np.random.default_rng(seed)
    spectrum = (np.arange(1, dim + 1) ** -0.6).astype(np.float32)
    centres = rng.standard_normal((concepts, dim), dtype=np.float32) * spectrum
    vectors = centres[rng.zipf(1.3, n) % concepts]
    vectors += 0.7 * rng.standard_normal((n, dim), dtype=np.float32) * spectrum
    vectors[:, 0] += np.linalg.norm(spectrum)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    copies = int(n * planted)
    noise = rng.standard_normal((copies, dim), dtype=np.float32)
    noise *= rng.uniform(0.02, 0.4, (copies, 1)).astype(np.float32) / np.linalg.norm(noise, axis=1, keepdims=True)
    vectors[n - copies :] = vectors[rng.integers(0, n - copies, copies)] + noise
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float16)


def one(path: Path, n: int, dim: int, cosine: float, way: str, out: Path) -> None:
    """One way, here."""
    vectors = VectorFile(path, n, dim)
    before = peak_mb()
    wall, cpu = time.perf_counter(), cpu_seconds()
    node = equal_vectors(vectors)
    found = similar_pairs(vectors, np.flatnonzero(node == np.arange(n)), cosine, **WAYS[way])
    wall, cpu = time.perf_counter() - wall, cpu_seconds() - cpu
    np.save(out, found.a * n + found.b)
    print(json.dumps({"wall": wall, "cpu": cpu, "pairs": len(found), "before": before, "peak": peak_mb()}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=100_000, help="vectors")
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--cosine", type=float, default=0.95)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        path, way, out = options.one
        one(Path(path), options.n, options.dim, options.cosine, way, Path(out))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vectors"
        path.write_bytes(drawn(options.n, options.dim).data)
        told: dict[str, list[dict[str, float]]] = {way: [] for way in options.only}
        pairs: dict[str, npt.NDArray[np.int64]] = {}
        for turn in range(options.rounds):
            for way in options.only if turn % 2 == 0 else options.only[::-1]:
                command = [sys.executable, __file__, "--n", str(options.n), "--dim", str(options.dim)]
                command += ["--cosine", str(options.cosine), "--one", str(path), way, f"{folder}/pairs.npy"]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                told[way].append(json.loads(done.stdout))
                pairs[way] = np.load(f"{folder}/pairs.npy")
    print(f"{options.n:,} x {options.dim}, cosine {options.cosine}, {partitions_for(options.n)} partitions")
    exact = pairs.get("all with all", pairs[options.only[0]])
    print(f"{'':<14}{'pairs':>10}{'recall':>9}{'wall s':>9}{'cpu s':>9}{'MB':>7}{'MB before':>11}")
    for way in options.only:
        wall, cpu = (statistics.median(run[what] for run in told[way]) for what in ("wall", "cpu"))
        recall = np.isin(exact, pairs[way]).mean()
        peak, before = (max(run[what] for run in told[way]) for what in ("peak", "before"))
        print(f"{way:<14}{len(pairs[way]):>10,}{recall:>9.4f}{wall:>9.1f}{cpu:>9.1f}{peak:>7.0f}{before:>11.0f}")


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak_mb() -> int:
    """The most memory that this process has held; `ru_maxrss` would count its parent's, too."""
    lines = Path("/proc/self/status").read_text().split("\n")
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) // 1024


if __name__ == "__main__":
    main()
