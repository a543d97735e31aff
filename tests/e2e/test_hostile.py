"""Two thousand hostile files with captions, from the command line: none lost, none that ends or stalls the run."""

import signal
import threading
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from media.mutator import hostile_corpus
from sluice.errors import FAILURE_CLASSES
from support.commands import children
from support.recipes import write_recipe

FILES = 2_000
MOST_MEMORY = 1_500  # MiB, conductor and two workers together


class Memory:
    """The most memory (PSS, in MiB) that a process and its children held, looked at all the while."""

    def __init__(self, pid):
        self.most = 0.0
        self._pid = pid
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _look(self):
        while not self._stop.wait(0.2):
            self.most = max(self.most, sum(pss(pid) for pid in [self._pid, *children(self._pid)]))


def pss(pid):
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


@pytest.mark.slow
def test_each_of_two_thousand_hostile_files_is_accounted_for(tmp_path, launcher):
    folder = tmp_path / "images"
    folder.mkdir()
    for name, data in hostile_corpus(0, FILES):
        (folder / name).write_bytes(data)
        (folder / name).with_suffix(".txt").write_text(f"what {name} was meant to show")
    limits = {"seconds": 5}
    recipe = write_recipe(
        tmp_path / "recipe.yaml",
        folder,
        unit=256,
        measures=None,
        limits=limits,
        filter={"reject": {}, "duplicates": {"near": None}},  # small and alike as they are: what decodes is packed
        engine={"workers": 2},
        pack=[{"format": "webdataset"}],
    )
    command = launcher.start("run", recipe)
    with Memory(command.pid) as memory:
        deadline = time.monotonic() + 170
        while not command.ended():
            if time.monotonic() > deadline:
                command.kill_group(signal.SIGKILL)
                pytest.fail("the run stalls")
            time.sleep(0.1)
    done = command.wait()
    assert done.code == 0, done.err
    assert "Traceback" not in done.err
    run = tmp_path / "run"
    verdicts = pq.read_table(run / "01_filtered" / "verdicts.parquet").to_pylist()
    assert len({row["id"] for row in verdicts}) == FILES
    counts = {name: sum(row["verdict"] == name for row in verdicts) for name in ("kept", "rejected", "held", "failed")}
    assert sum(counts.values()) == FILES
    assert counts["failed"] > FILES // 4
    assert counts["kept"] > FILES // 10
    for row in verdicts:
        if row["verdict"] == "failed":
            assert set(row["rules"]) & set(FAILURE_CLASSES)
            assert all('"message"' in reason["values"] for reason in row["reasons"] if reason["effect"] == "failed")
    assert memory.most < MOST_MEMORY, f"{memory.most:.0f} MiB"
    assert launcher.run("verify", run).code == 0
    print(f"{counts}, at most {memory.most:.0f} MiB")
