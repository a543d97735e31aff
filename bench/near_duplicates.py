"""Near-duplicate pairs among evenly spread hashes with planted near ones: pairs, recall, seconds, memory.

    python bench/near_duplicates.py --n 1000000                 # --bits 256 --k 31: hashes like PDQ's
    python bench/near_duplicates.py --n 1000000 --crowded       # a fifth of the corpus in 100 clusters
    python bench/near_duplicates.py --n 1000000 --peers         # with faiss-cpu, and imagededup (--no-deps)

With `--peers` the others answer for a slice of the hashes, each time after a whole join of ours, all on one core; what
they would take for all is their time for the slice times what it is of the whole. faiss counts a pair from both ends.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from sluice.corpus.hamming import Hashes, Pairs, collapse, distinct, pairs_within

Matches = tuple[np.ndarray, np.ndarray]
"""For some queries, who is near: places of queries and of what is near them, themselves included."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=100_000, help="hashes")
    parser.add_argument("--k", type=int, default=8, help="Hamming distance in bits, 0 to 12 of 64")
    parser.add_argument("--bits", type=int, default=64, help="of a hash, a multiple of 64")
    parser.add_argument("--planted", type=float, default=0.05, help="share of hashes that are a near copy of another")
    parser.add_argument("--crowded", action="store_true", help="20%% in 100 clusters, half of them equal hashes")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--peers", action="store_true", help="beside faiss, imagededup's BK-tree and brute force")
    parser.add_argument("--slice", type=int, default=500, help="hashes that the peers are asked for")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()

    hashes, originals, copies = planted(options.n, options.k, options.planted, options.seed, options.bits // 64)
    if options.crowded:
        crowd(hashes, options.seed)
    hashes = hashes[:, 0] if options.bits == 64 else hashes
    before = peak_mb()
    wall, cpu = time.perf_counter(), time.process_time()
    unique = distinct(hashes)
    pairs = pairs_within(unique, options.k, threads=options.threads)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = peak_mb()

    print(f"hashes    {len(hashes):,} ({len(unique):,} distinct) of {options.bits} bits, distance {options.k}")
    if not options.crowded:
        inverse = collapse(hashes)[1]
        a, b = np.sort([inverse[originals], inverse[copies]], axis=0)
        found = np.isin(a * len(unique) + b, pairs.a * len(unique) + pairs.b) | (a == b)
        print(f"pairs     {len(pairs):,}; planted ones found {found.sum():,} of {found.size:,}")
    else:
        print(f"pairs     {len(pairs):,}")
    print(f"seconds   {wall:.2f} ({cpu:.2f} of one core), {options.threads} threads")
    print(f"memory    {peak:,} MB at the peak, {before:,} MB before")
    if options.peers:
        beside(unique, pairs, options.k, options.slice, options.rounds)


def planted(n: int, k: int, share: float, seed: int, words: int = 1) -> tuple[Hashes, np.ndarray, np.ndarray]:
    """`n` rows of words; those at `copies` differ from those at `originals` in up to `k` bits."""
    rng = np.random.default_rng(seed)
    hashes = rng.integers(0, 2**64, (n, words), dtype=np.uint64)
    copies, originals = np.split(rng.permutation(n)[: 2 * int(n * share)], 2)
    hashes[copies] = hashes[originals]
    flips = rng.integers(0, k + 1, copies.size)
    for flip in range(k):
        row = copies[flips > flip]
        bit = rng.integers(0, 64 * words, row.size, dtype=np.uint64)
        hashes[row, bit // 64] ^= np.uint64(1) << (bit % 64)
    return hashes, originals, copies


def crowd(hashes: Hashes, seed: int) -> None:
    """Make the first fifth of `hashes` 100 clusters: half of each equal, half within three bits of those."""
    rng = np.random.default_rng(seed + 1)
    size = len(hashes) // 500
    for cluster in range(100):
        members = hashes[cluster * size : (cluster + 1) * size]
        members[:] = members[0]
        near = members[size // 2 :]
        for _ in range(3):
            bit = rng.integers(0, 64 * hashes.shape[1], len(near), dtype=np.uint64)
            near[np.arange(len(near)), bit // 64] ^= np.uint64(1) << (bit % 64)


def beside(hashes: Hashes, pairs: Pairs, k: int, count: int, rounds: int) -> None:
    """Print what the peers took for `count` of the hashes, and how that compares."""
    rng = np.random.default_rng(0)
    queries = np.sort(rng.choice(len(hashes), count, replace=False))
    few, part = queries[: max(1, count // 50)], min(5_000, len(hashes))
    peers: dict[str, tuple[Callable[[], Matches], np.ndarray, int]] = {
        "brute force, NumPy": (lambda: brute(hashes, queries, k), queries, len(hashes)),
        "faiss BinaryFlat": (faiss_search(hashes, queries, k, multi=False), queries, len(hashes)),
        "faiss MultiHash": (faiss_search(hashes, queries, k, multi=True), queries, len(hashes)),
        "imagededup BK-tree": (bk_search(hashes, few, k, part), few, part),
    }
    ours: list[float] = []
    seconds: dict[str, list[float]] = {name: [] for name in peers}
    recall: dict[str, str] = {}
    expected = {(int(q), int(q)) for q in queries}
    asked = np.zeros(len(hashes), np.bool_)
    asked[queries] = True
    for one, other in ((pairs.a, pairs.b), (pairs.b, pairs.a)):
        here = asked[one]
        expected |= set(zip(one[here].tolist(), other[here].tolist(), strict=True))
    for _ in range(rounds):
        for name, (search, asked_for, among) in peers.items():
            start = time.process_time()
            pairs_within(hashes, k, threads=1)
            ours.append(time.process_time() - start)
            start = time.process_time()
            query, near = search()
            seconds[name].append((time.process_time() - start) * len(hashes) / among * len(hashes) / len(asked_for))
            found = set(zip(query.tolist(), near.tolist(), strict=True))
            these = set(asked_for.tolist())
            there = {pair for pair in expected if pair[0] in these and pair[1] < among}
            of = "" if among == len(hashes) else f" among {among:,}"
            recall[name] = f"{len(found & there):,} of {len(there):,} found{of}, {len(found - there):,} others"
    base = statistics.median(ours)
    print(f"\nfor all, one core, median of {rounds} rounds ({count:,} asked for):")
    print(f"  {'ours':<20} {base:12,.2f} s")
    for name, taken in seconds.items():
        each = statistics.median(taken)
        print(f"  {name:<20} {each:12,.0f} s  {each / base:12,.0f} times  {recall[name]}")


def brute(hashes: Hashes, queries: np.ndarray, k: int) -> Matches:
    """Each query with every hash."""
    rows: list[np.ndarray] = []
    near: list[np.ndarray] = []
    for query in queries.tolist():
        bits = np.bitwise_count(hashes ^ hashes[query])
        near.append(np.flatnonzero((bits if bits.ndim == 1 else bits.sum(axis=1)) <= k))
        rows.append(np.full(near[-1].size, query))
    return np.concatenate(rows), np.concatenate(near)


def faiss_search(hashes: Hashes, queries: np.ndarray, k: int, *, multi: bool) -> Callable[[], Matches]:
    """faiss on one core; its index is built outside of the time that is taken."""
    import faiss

    faiss.omp_set_num_threads(1)
    bits = hashes[0].nbytes * 8
    codes = np.ascontiguousarray(hashes).view(np.uint8).reshape(len(hashes), -1)
    if multi:  # h keys of which one must be within f flips: complete where h * (f + 1) > k
        keys, flips = (3, k // 3) if bits == 64 else (bits // 16, k // (bits // 16))
        index: Any = faiss.IndexBinaryMultiHash(bits, keys, min(bits // keys, 30))
        index.nflip = flips
    else:
        index = faiss.IndexBinaryFlat(bits)
    index.add(codes)

    def search() -> Matches:
        limits, _, near = index.range_search(codes[queries], k + 1)  # strictly less
        return np.repeat(queries, np.diff(limits.astype(np.int64))), near

    return search


def bk_search(hashes: Hashes, queries: np.ndarray, k: int, part: int) -> Callable[[], Matches]:
    """imagededup's BK-tree over the first `part` of the hashes."""
    from imagededup.handlers.search.bktree import BKTree

    def text(place: int) -> str:
        return f"{int.from_bytes(hashes[place].tobytes(), 'little'):x}"

    def distance(one: str, other: str) -> int:
        return (int(one, 16) ^ int(other, 16)).bit_count()

    tree = BKTree({str(place): text(place) for place in range(part)}, distance)

    def search() -> Matches:
        found = [(query, int(name)) for query in queries.tolist() for name, _ in tree.search(text(query), tol=k)]
        return np.array([query for query, _ in found]), np.array([near for _, near in found])

    return search


def peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main()
