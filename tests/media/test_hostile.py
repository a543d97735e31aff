"""Hostile files: each gives pixels within the limits or a failure with a class; no hang, memory bounded."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from media.mutator import honest_files, hostile_corpus
from sluice.media.decode import decode
from sluice.media.header import read_header
from sluice.media.limits import Limits

TESTS = Path(__file__).parent.parent
FILES = 2_000

# Runs apart, so that a crash, a hang or a flood of memory is seen as such; it prints what came of each file.
TRIAL = """
import json, resource, signal, sys
from media.mutator import hostile_corpus, honest_files
from sluice.errors import SampleFailure
from sluice.media.decode import decode
from sluice.media.header import read_header
from sluice.media.limits import Limits

files = list(hostile_corpus(int(sys.argv[1]), int(sys.argv[2])))
limits = Limits()
for data in honest_files().values():  # every decoder is loaded before the limit counts
    decode(data, read_header(data, limits), 256, "rgb", limits)
resource.setrlimit(resource.RLIMIT_DATA, (limits.memory, limits.memory))
signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends the process: a hang is a failed test
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
outcomes = []
for number, (name, data) in enumerate(files):
    signal.alarm(30)
    try:
        mode = ("rgb", "gray")[number % 2]
        pixels = decode(data, read_header(data, limits), (256, None, 64)[number % 3], mode, limits)
        assert pixels.dtype == "uint8" and pixels.size > 0 and pixels.ndim == (3, 2)[number % 2], name
        assert pixels.shape[0] * pixels.shape[1] <= limits.pixels, name
        outcomes.append((name, "pixels", list(pixels.shape)))
    except SampleFailure as failure:
        outcomes.append((name, failure.failure_class, failure.message))
signal.alarm(0)
grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
json.dump({"grown": grown, "outcomes": outcomes}, sys.stdout)
"""


def trial(seed: int, count: int) -> dict[str, object]:
    run = subprocess.run(
        [sys.executable, "-c", TRIAL, str(seed), str(count)],
        cwd=TESTS,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, f"exit {run.returncode}: {run.stderr[-2000:]}"
    assert run.stderr == ""
    return json.loads(run.stdout)


def test_every_hostile_file_gives_pixels_or_a_failure_with_a_class() -> None:
    result = trial(seed=0, count=FILES)
    outcomes = result["outcomes"]
    assert isinstance(outcomes, list)
    assert len(outcomes) == FILES
    counts = Counter(outcome for _, outcome, _ in outcomes)
    assert set(counts) == {"pixels", "decode", "too_large"}
    assert counts["decode"] > FILES // 4
    assert counts["pixels"] > FILES // 10
    for name, outcome, message in outcomes:
        assert outcome == "pixels" or (message and " at 0x" not in message and "\n" not in message), name
    grown = result["grown"]
    assert isinstance(grown, float)
    assert grown < 1_500  # MiB; the largest image that the limits let pass is 128 million px


def test_failures_read_the_same_in_every_process() -> None:
    assert trial(seed=5, count=200)["outcomes"] == trial(seed=5, count=200)["outcomes"]


def test_the_same_seed_gives_the_same_files() -> None:
    first, again, other = (list(hostile_corpus(seed, 150)) for seed in (3, 3, 4))
    assert first == again
    assert first != other
    assert len({name for name, _ in first}) == 150


@pytest.mark.parametrize("name", sorted(honest_files()))
def test_the_honest_files_that_mutations_start_from_are_whole(name: str) -> None:
    limits = Limits()
    header = read_header(honest_files()[name], limits)
    assert decode(honest_files()[name], header, None, "rgb", limits).shape == (header.height, header.width, 3)
