"""Worker processes of the loader: the same batches as from threads, whatever becomes of a worker."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from load.decoders import Harm, large, slow
from sluice.errors import RecipeError, RunError
from sluice.load.decode import Pixels
from sluice.load.loader import Batch, Loader
from sluice.load.slots import Slots, SlotWriter
from support.commands import children

SCRIPT = """
import sys
from sluice.load.loader import Loader

def decode(sample):
    return len(sample.images[0])

def main():
    loader = Loader(sys.argv[1], 4, decode=decode, processes=2)
    while True:
        for batch in loader:
            print(sum(batch.values), flush=True)

"""


def loader(pack: Path, **settings: Any) -> Loader:
    given: dict[str, Any] = {"seed": 3, "window": 8, "processes": 2, **settings}
    return Loader(pack, 4, **given)


def served(one: Loader) -> list[Batch]:
    batches = list(one)
    one.close()
    return batches


def workers_of_ours() -> set[int]:
    """The worker processes that live; others, and threads, may end while they are looked for."""
    found: set[int] = set()
    for child in children(os.getpid()):
        with contextlib.suppress(OSError):
            if b"sluice.engine.worker" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.add(child)
    return found


@pytest.mark.parametrize("format", ["webdataset", "parquet"])
@pytest.mark.parametrize("decode", [None, Pixels(20)])
def test_processes_serve_what_threads_serve(packs: tuple[Path, Path], format: str, decode: Any) -> None:
    threads = served(loader(packs[0], decode=decode, format=format, processes=0))
    processes = served(loader(packs[0], decode=decode, format=format))
    assert [batch.ids for batch in processes] == [batch.ids for batch in threads]
    for one, other in zip(processes, threads, strict=True):
        for ours, theirs in zip(one.values, other.values, strict=True):
            if decode is None:
                assert ours == theirs and ours.document == theirs.document
            else:
                assert ours.caption == theirs.caption and np.array_equal(ours.image, theirs.image)


def test_a_bad_sample_is_recorded_and_replaced_as_with_threads(packs: tuple[Path, Path]) -> None:
    victim = served(loader(packs[0]))[2].ids[1]
    found = []
    for processes in (0, 2):
        one = loader(packs[0], decode=Harm(str(victim), "fail"), processes=processes)
        found.append(([batch.ids for batch in served(one)], one.quarantine))
    assert found[0] == found[1] and found[0][1][0].id == victim


@pytest.mark.parametrize(
    ("how", "failure", "words"),
    [("segfault", "crash", "SIGSEGV"), ("killed", "crash", "SIGKILL"), ("hang", "timeout", "0.5 s")],
)
def test_a_decoder_that_kills_or_hangs_costs_its_sample_once(
    packs: tuple[Path, Path], tmp_path: Path, how: str, failure: str, words: str
) -> None:
    good = [batch.ids for batch in served(loader(packs[0]))]
    victim = str(good[2][1])
    one = loader(packs[0], decode=Harm(victim, how, tmp_path / "tries"), seconds=0.5)
    first = [batch.ids for batch in one]
    tries = (tmp_path / "tries").read_text()
    list(one)  # the next epoch knows it
    one.close()
    assert [(bad.id, bad.failure_class) for bad in one.quarantine] == [(victim, failure)] * 2
    assert words in one.quarantine[0].message
    replaced = one.quarantine[0].replaced_by
    assert first == [tuple(replaced if id == victim else id for id in batch) for batch in good]
    assert (tmp_path / "tries").read_text() == tries == "x" * (3 if how == "killed" else 2)


def test_a_worker_that_is_killed_once_costs_nothing(packs: tuple[Path, Path], tmp_path: Path) -> None:
    good = [batch.ids for batch in served(loader(packs[0]))]
    one = loader(packs[0], decode=Harm(str(good[1][0]), "killed once", tmp_path / "tries"))
    assert [batch.ids for batch in served(one)] == good
    assert one.quarantine == () and (tmp_path / "tries").read_text() == "xx"


def test_workers_killed_from_outside_are_replaced(packs: tuple[Path, Path]) -> None:
    before = workers_of_ours()
    one = loader(packs[0], decode=slow)
    ids = []
    for batch in one:
        ids.append(batch.ids)
        if len(ids) == 1:
            for child in workers_of_ours() - before:
                os.kill(child, signal.SIGKILL)
    assert ids == [batch.ids for batch in served(loader(packs[0]))]
    assert workers_of_ours() - before
    one.close()
    assert not workers_of_ours() - before


def test_a_bug_in_the_decoder_is_raised_and_the_next_epoch_still_loads(packs: tuple[Path, Path]) -> None:
    victim = str(served(loader(packs[0]))[2].ids[1])
    one = loader(packs[0], decode=Harm(victim, "bug"))
    with pytest.raises(RuntimeError, match="ZeroDivisionError: made to fail"):
        list(one)
    assert one.position == (0, 2)
    with pytest.raises(RuntimeError, match="made to fail"):
        list(one)
    one.close()


def test_an_epoch_left_early_goes_on_where_it_was(packs: tuple[Path, Path]) -> None:
    good = [batch.ids for batch in served(loader(packs[0]))]
    one = loader(packs[0], decode=slow)
    ids = [next(iter(one)).ids for _ in range(3)]
    assert ids + [batch.ids for batch in served(one)] == good


def test_a_decoder_that_cannot_be_pickled_is_refused(packs: tuple[Path, Path]) -> None:
    with pytest.raises(RecipeError, match=r"can be pickled, and .*lambda.* give a function or an object of a module"):
        next(iter(loader(packs[0], decode=lambda sample: sample)))


def test_a_wrong_number_of_processes_is_refused(packs: tuple[Path, Path]) -> None:
    with pytest.raises(RecipeError, match="0 processes or more, not -1"):
        loader(packs[0], processes=-1)


def test_a_closed_loader_serves_no_more_of_an_epoch_at_hand(packs: tuple[Path, Path]) -> None:
    one = loader(packs[0], ahead=1)
    batches = iter(one)
    next(batches)
    one._held[1].close()  # type: ignore[index]
    with pytest.raises(RunError, match="closed"):
        list(batches)


def test_a_loader_that_is_forgotten_leaves_no_process(packs: tuple[Path, Path]) -> None:
    before = workers_of_ours()
    one = loader(packs[0])
    next(iter(one))
    assert len(workers_of_ours() - before) == 2
    del one
    gc.collect()
    assert not workers_of_ours() - before


def test_arrays_of_a_batch_stay_as_they_are_while_others_are_loaded(packs: tuple[Path, Path]) -> None:
    one = loader(packs[0], decode=large)
    batches = list(one)  # all held at once
    later = list(one)
    one.close()
    for batch in batches + later:
        assert all((value == value[0]).all() and value.flags.writeable for value in batch.values)
    by_id = dict(zip([id for batch in later for id in batch.ids], [v for b in later for v in b.values], strict=True))
    for batch in batches:
        for id, value in zip(batch.ids, batch.values, strict=True):
            assert np.array_equal(value, by_id[id])


def test_a_slot_is_used_again_only_when_nothing_of_it_is_left() -> None:
    slots = Slots()
    writer = SlotWriter(slots.descriptor)
    first = slots.take(100)
    one, other = slots.read(first, writer.write(first, [np.arange(5), np.arange(1000)]))
    assert slots.take(100) != first
    del one
    assert slots.take(100) != first
    part = other[10:20]
    del other
    assert slots.take(100) != first and part.tolist() == list(range(10, 20))
    del part
    assert slots.take(100) == first
    big = np.zeros(2 * first.size, np.uint8)
    assert np.array_equal(slots.read(first, writer.write(first, big)), big)  # no room: another way, the same result
    slots.close()


def test_ctrl_c_ends_the_script_and_its_workers(packs: tuple[Path, Path], tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT + 'if __name__ == "__main__":\n    main()\n')
    process = start(script, packs[0])
    assert process.stdout is not None and process.stdout.readline().strip().isdigit()
    workers = descendants(process.pid)
    assert len(workers) == 2
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode and "KeyboardInterrupt" in errors
    gone(workers)


def test_a_killed_script_leaves_no_workers(packs: tuple[Path, Path], tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT + 'if __name__ == "__main__":\n    main()\n')
    process = start(script, packs[0])
    assert process.stdout is not None and process.stdout.readline()
    workers = descendants(process.pid)
    process.kill()
    process.communicate(timeout=20)
    gone(workers)


def test_a_script_without_a_guard_is_told_so(packs: tuple[Path, Path], tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT + "main()\n")
    _, errors = start(script, packs[0]).communicate(timeout=60)
    assert 'if __name__ == "__main__":' in errors.splitlines()[-1]


def start(script: Path, pack: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen(
        [sys.executable, str(script), str(pack)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )


def descendants(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def gone(workers: list[int]) -> None:
    """Wait until none of them runs: a zombie that nobody has reaped yet does not run."""
    deadline = time.monotonic() + 10
    while any(runs(worker) for worker in workers):
        assert time.monotonic() < deadline, "a worker outlived its loader"
        time.sleep(0.05)


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
