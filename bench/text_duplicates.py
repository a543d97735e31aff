"""Near-duplicate captions: Sluice beside datasketch, rensa and datatrove, by turns in one run; recall against sets.

Each contestant is a process of its own over the same captions: sentences of a grammar, a tenth of them made from
another one by an edit. The clock starts with the captions as a list of `str` in memory and stops when the duplicates
are told. All have the same n-grams of words, 128 permutations and the same threshold; how they cut bands is theirs.
Only Sluice verifies what it tells. What is not installed is left out: `pip install datasketch rensa datatrove`, and for
that last one `spacy regex tokenizers "xxhash<4"`, which it needs without saying so.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

Flags = npt.NDArray[np.bool_]

PERMUTATIONS = 128
THRESHOLD = 0.8
SLICE = 20_000  # captions that are compared all with all
ADJECTIVES = "old young red blue small huge wooden rusty bright quiet golden striped broken wet dusty pale tall".split()
NOUNS = (
    "dog cat boat bicycle lighthouse bridge child woman man horse market train cafe mountain lake forest car bus kite "
    "guitar table chair lamp window door garden street tower castle beach river field barn tractor plane bird owl fox"
).split()
VERBS = "stands waits rests leans sleeps plays runs shines sits moves turns looks".split()
PLACES = "beside behind near under above against before opposite".split()
TIMES = "at dawn|at dusk|in the rain|in the snow|in winter|on a sunny day|at night|in the fog|before a storm".split("|")
FRAMES = (
    "{a} {n} {v} {p} the {b} {m} {t}",
    "a photo of {a} {n} that {v} {p} a {b} {m}, taken {t}",
    "close-up of the {a} {n} {p} the {b} {m} while a {c} {o} {v} {t}",
    "{t} the {a} {n} {v} {p} a {b} {m} and a {c} {o}",
    "an image showing one {a} {n} and two {c} {o}s {p} the {b} {m} {t}, number {x}",
)


def captions(n: int, seed: int = 0, planted: float = 0.1) -> tuple[list[str], npt.NDArray[np.int64]]:
    """`n` captions, and for those that were made from another one which that is (-1: from none)."""
    rng = random.Random(seed)
    said: list[str] = []
    of = np.full(n, -1, np.int64)
    pick = rng.choice
    for number in range(n):
        if number > 100 and rng.random() < planted:
            of[number] = rng.randrange(number)
            said.append(edited(said[of[number]], rng))
            continue
        frame = FRAMES[rng.randrange(len(FRAMES))]
        said.append(
            frame.format(
                a=pick(ADJECTIVES),
                b=pick(ADJECTIVES),
                c=pick(ADJECTIVES),
                n=pick(NOUNS),
                m=pick(NOUNS),
                o=pick(NOUNS),
                v=pick(VERBS),
                p=pick(PLACES),
                t=pick(TIMES),
                x=rng.randrange(10_000),
            )
            + f" {pick(NOUNS)} {pick(ADJECTIVES)} {pick(NOUNS)} {rng.randrange(1_000)}"
        )
    return said, of


def edited(caption: str, rng: random.Random) -> str:
    """The caption with one thing changed, of which many are nothing to a reader."""
    words = caption.split()
    match rng.randrange(4):
        case 0:
            return caption.capitalize() + "  "
        case 1:
            return f"{caption} {rng.choice(NOUNS)}"
        case 2:
            del words[rng.randrange(len(words))]
        case _:
            words[rng.randrange(len(words))] = rng.choice(ADJECTIVES)
    return " ".join(words)


def token_set(caption: str, n: int) -> set[str]:
    """The n-grams of words, as every contestant but datatrove (which does it itself) gets them."""
    words = caption.lower().split()
    return {" ".join(words[i : i + n]) for i in range(max(1, len(words) - n + 1))} if n > 1 else set(words)


def sluice(said: list[str], n: int) -> Flags:
    """Pairs verified, clusters made: a flag for each text that is like another."""
    from sluice.corpus.minhash import bands_for, near_texts
    from sluice.corpus.ngrams import Grams, distinct, folded

    texts, node = distinct(folded(said))
    found = near_texts(texts, Grams("word", n), THRESHOLD, bands_for(THRESHOLD, PERMUTATIONS))
    flags = np.zeros(len(texts), np.bool_)
    flags[found.a] = flags[found.b] = True
    flags |= np.bincount(node, minlength=len(texts)) > 1
    return flags[node]


def datasketch(said: list[str], n: int) -> Flags:
    """Candidates of its LSH."""
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS)
    flags = np.zeros(len(said), np.bool_)
    encoded = ([token.encode() for token in token_set(caption, n)] for caption in said)
    for number, minhash in enumerate(MinHash.generator(encoded, num_perm=PERMUTATIONS, seed=1)):
        others = index.query(minhash)
        if others:
            flags[[number, *others]] = True
        index.insert(number, minhash, check_duplication=False)
    return flags


def _rensa(said: list[str], n: int, bands: int, rho: bool) -> Flags:
    from rensa import RMinHash, RMinHashLSH

    make = RMinHash.digest_matrix_from_token_sets_rho if rho else RMinHash.digest_matrix_from_token_sets
    matrix = make([list(token_set(caption, n)) for caption in said], PERMUTATIONS, 42)
    index = RMinHashLSH(THRESHOLD, PERMUTATIONS, bands)
    return np.array(index.query_duplicate_flags_matrix_one_shot(matrix), np.bool_)


def rensa(said: list[str], n: int) -> Flags:
    """Its fastest exact signature, 32 bands (as much recall as 128 permutations give), flags in one go."""
    return _rensa(said, n, 32, rho=False)


def rensa_16(said: list[str], n: int) -> Flags:
    """The same with the 16 bands of its README."""
    return _rensa(said, n, 16, rho=False)


def rensa_rho(said: list[str], n: int) -> Flags:
    """Its sketch that is made in one pass over the tokens."""
    return _rensa(said, n, 16, rho=True)


def datatrove(said: list[str], n: int) -> Flags:
    """Its steps 1 to 3, in a folder; step 3 says who goes, so the kept one of a cluster is not flagged."""
    from datatrove.data import Document
    from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from datatrove.utils.hashing import HashConfig

    config = MinhashConfig(n_grams=n, num_buckets=16, hashes_per_bucket=8, hash_config=HashConfig(precision=64))
    with tempfile.TemporaryDirectory() as folder:
        documents = (Document(text=caption, id=str(number)) for number, caption in enumerate(said))
        MinhashDedupSignature(f"{folder}/signatures", config=config).run(documents)
        for bucket in range(config.num_buckets):
            step = MinhashDedupBuckets(f"{folder}/signatures", f"{folder}/buckets", config=config)
            step.run(None, bucket, config.num_buckets)
        MinhashDedupCluster(f"{folder}/buckets", f"{folder}/gone", config=config).run(None, 0, 1)
        gone = np.fromfile(f"{folder}/gone/000000.remove", "<u4")
    flags = np.zeros(len(said), np.bool_)
    flags[gone] = True
    return flags


CONTESTANTS: dict[str, Callable[[list[str], int], Flags]] = {
    "sluice": sluice,
    "rensa": rensa,
    "rensa_16": rensa_16,
    "rensa_rho": rensa_rho,
    "datasketch": datasketch,
    "datatrove": datatrove,
}


def exactly(said: list[str], n: int) -> tuple[Flags, npt.NDArray[np.int64]]:
    """Which captions are like another by their sets, all compared with all; and the first of each one's partners."""
    numbers: dict[str, int] = {}
    sets = [[numbers.setdefault(token, len(numbers)) for token in token_set(caption, n)] for caption in said]
    size = np.array(list(map(len, sets)))
    holders: list[list[int]] = [[] for _ in numbers]
    for text, tokens in enumerate(sets):
        for token in tokens:
            holders[token].append(text)
    lists = [np.array(some) for some in holders]
    flags, partner = np.zeros(len(said), np.bool_), np.full(len(said), -1, np.int64)
    for text, tokens in enumerate(sets):
        shared = np.bincount(np.concatenate([lists[token] for token in tokens]), minlength=len(said))
        like = np.flatnonzero(shared >= THRESHOLD * (size + size[text] - shared) - 1e-9)
        like = like[like != text]
        if like.size:
            flags[text], partner[text] = True, like[0]
    return flags, partner


def one(name: str, n: int, gram: int, out: str) -> None:
    """A contestant, here: its seconds, memory and flags."""
    said, _ = captions(n)
    CONTESTANTS[name](said[:200], gram)  # imports
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    wall, cpu = time.perf_counter(), cpu_seconds()
    flags = CONTESTANTS[name](said, gram)
    wall, cpu = time.perf_counter() - wall, cpu_seconds() - cpu
    np.save(out, flags)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"wall": wall, "cpu": cpu, "flags": int(flags.sum()), "before": before, "peak": peak}))


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=1_000_000, help="captions")
    parser.add_argument("--gram", type=int, default=2, help="words in an n-gram")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=list(CONTESTANTS), choices=list(CONTESTANTS))
    parser.add_argument("--slow", type=int, default=50_000, help="captions for datasketch and datatrove, to be scaled")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        one(options.one[0], int(options.one[1]), options.gram, options.one[2])
        return
    installed = [name for name in options.only if importlib.util.find_spec(name.partition("_")[0])]
    counts = {name: min(options.n, options.slow if name.startswith("data") else options.n) for name in installed}
    told: dict[str, list[dict[str, float]]] = {name: [] for name in installed}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "flags.npy"
        for turn in range(options.rounds):
            for name in installed if turn % 2 == 0 else installed[::-1]:
                told[name].append(started(name, counts[name], options.gram, out))
        print(f"{options.n:,} captions, {options.gram}-grams of words, threshold {THRESHOLD}, {options.rounds} rounds")
        ours = per_million(told["sluice"], counts["sluice"]) if "sluice" in told else None
        print(f"{'':<12}{'captions':>10}{'wall s':>8}{'cpu s':>8}{'cpu s per 10^6':>16}{'MB':>8}{'times ours':>12}")
        for name in installed:
            wall, cpu = (statistics.median(run[what] for run in told[name]) for what in ("wall", "cpu"))
            scaled = per_million(told[name], counts[name])
            peak = max(run["peak"] for run in told[name])
            ratio = f"{scaled / ours:>12.2f}" if ours else ""
            print(f"{name:<12}{counts[name]:>10,}{wall:>8.1f}{cpu:>8.1f}{scaled:>16.1f}{peak:>8.0f}{ratio}")
        said, _ = captions(SLICE)
        true, partner = exactly(said, options.gram)
        print(f"\nof {SLICE:,} captions {true.sum():,} are like another, by all with all")
        for name in installed:
            started(name, SLICE, options.gram, out)
            flags = np.load(out)
            if name == "datatrove":  # flags all but one of a cluster
                pairs = true & (partner < np.arange(SLICE))
                found, asked = flags[pairs].sum(), pairs.sum()
            else:
                found, asked = flags[true].sum(), true.sum()
            wrong = (flags & ~true).sum()
            print(f"{name:<12} recall {found / asked:.4f} ({found:,} of {asked:,}); told and not so {wrong:,}")


def per_million(runs: list[dict[str, float]], n: int) -> float:
    return statistics.median(run["cpu"] for run in runs) * 1e6 / n


def started(name: str, n: int, gram: int, out: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--gram", str(gram), "--one", name, str(n), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name}: {done.stderr}")
    return json.loads(done.stdout.strip().split("\n")[-1])


if __name__ == "__main__":
    main()
