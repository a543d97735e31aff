"""Near-duplicate pairs among evenly spread 64-bit hashes with planted near ones: pairs, recall, seconds, memory."""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np

from sluice.corpus.hamming import Hashes, collapse, pairs_within


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=100_000, help="hashes")
    parser.add_argument("--k", type=int, default=8, help="Hamming distance in bits, 0 to 12")
    parser.add_argument("--planted", type=float, default=0.05, help="share of hashes that are a near copy of another")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    hashes, originals, copies = planted(options.n, options.k, options.planted, options.seed)
    before = peak_mb()
    wall, cpu = time.perf_counter(), time.process_time()
    unique, inverse = collapse(hashes)
    pairs = pairs_within(unique, options.k)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu

    a, b = np.sort([inverse[originals], inverse[copies]], axis=0)
    found = np.isin(a * unique.size + b, pairs.a * unique.size + pairs.b) | (a == b)
    print(f"hashes    {hashes.size:,} ({unique.size:,} distinct), distance {options.k}, seed {options.seed}")
    print(f"pairs     {len(pairs):,}; planted ones found {found.sum():,} of {found.size:,}")
    print(f"seconds   {wall:.2f} ({cpu:.2f} of one core)")
    print(f"memory    {peak_mb():,} MB at the peak, {before:,} MB before")


def planted(n: int, k: int, share: float, seed: int) -> tuple[Hashes, np.ndarray, np.ndarray]:
    """`n` hashes; those at `copies` differ from those at `originals` in up to `k` bits."""
    rng = np.random.default_rng(seed)
    hashes = rng.integers(0, 2**64, n, dtype=np.uint64)
    copies, originals = np.split(rng.permutation(n)[: 2 * int(n * share)], 2)
    flips = np.uint64(1) << rng.integers(0, 64, (copies.size, k), dtype=np.uint64)
    kept = rng.integers(0, k + 1, copies.size)[:, None] > np.arange(k)
    hashes[copies] = hashes[originals] ^ np.bitwise_or.reduce(flips * kept, axis=1, initial=0)
    return hashes, originals, copies


def peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main()
