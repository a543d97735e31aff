"""Farthest-first choice among unit vectors: seconds, peak memory, how far the choice leaves the worst-covered row.

    OPENBLAS_NUM_THREADS=1 python bench/diversity.py

Rows lie around seeded centres, `--spread` times as far from them as a random vector would; 0.8 or so is like an
encoder's images, a large one is plain noise. `--compare` names a second file with a `farthest_first` to run beside it.
"""

from __future__ import annotations

import argparse
import importlib.util
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sluice.corpus.farthest import farthest_first
from sluice.corpus.kmeans import blocks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=1_000_000, help="vectors")
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--size", type=int, default=1_000, help="rows to choose")
    parser.add_argument("--centres", type=int, default=2_000)
    parser.add_argument("--spread", type=float, default=0.8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--compare", type=Path, metavar="FILE", help="a Python file")
    options = parser.parse_args()

    vectors = around_centres(options.n, options.dim, options.centres, options.spread, options.seed)
    print(f"vectors   {options.n:,} x {options.dim} float16, {vectors.nbytes / 1e6:,.0f} MB, spread {options.spread}")
    before, began = peak_mb(), time.perf_counter()
    for _ in blocks(vectors):
        pass
    print(f"one pass  {time.perf_counter() - began:.1f} s: every row made float32 once, and nothing else")
    chosen = timed("chosen", farthest_first, vectors, options.size)
    print(f"memory    {peak_mb():,} MB at the peak, {before:,} MB before")
    print(f"cover     the row least like any chosen has {least_likeness(vectors, chosen):.4f}")
    if options.compare:
        other = timed("compared", _named(options.compare), vectors, options.size)
        print(f"same      {(other == chosen).sum():,} of {len(chosen):,} picks")


def around_centres(n: int, dim: int, centres: int, spread: float, seed: int) -> Any:
    """`n` unit vectors, made a block at a time."""
    rng = np.random.default_rng(seed)
    middles = rng.standard_normal((centres, dim), dtype=np.float32)
    vectors = np.empty((n, dim), np.float16)
    for start in range(0, n, 8_192):
        rows = vectors[start : start + 8_192]
        near = middles[rng.integers(0, centres, len(rows))]
        near = near + np.float32(spread) * rng.standard_normal(rows.shape, dtype=np.float32)
        rows[:] = near / np.linalg.norm(near, axis=1, keepdims=True)
    return vectors


def timed(name: str, choose: Callable[[Any, int], Any], vectors: Any, size: int) -> Any:
    wall, cpu = time.perf_counter(), time.process_time()
    chosen = choose(vectors, size)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{name:<9} {len(chosen):,} rows in {wall:.1f} s ({cpu:.1f} s of CPU)", flush=True)
    return chosen


def least_likeness(vectors: Any, chosen: Any) -> float:
    picked = vectors[chosen].astype(np.float32).T
    return min(float((values @ picked).max(axis=1).min()) for _, values in blocks(vectors))


def _named(path: Path) -> Callable[[Any, int], Any]:
    spec = importlib.util.spec_from_file_location("compared", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.farthest_first


def peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main()
