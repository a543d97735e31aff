"""Whole runs on a Ray cluster of two real nodes: the bytes are the local engine's, whichever node dies on the way."""

import shutil
import signal
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sluice.engine import Task
from support.commands import events, last_events, named
from support.corpus import build_corpus
from support.folders import differing, tree_digest
from support.raylets import Raylets
from support.recipes import QUICK_MEASURES, write_recipe
from support.waiting import until

pytest.importorskip("ray", reason="the extra `ray` is not installed")

UNIT = 8
COUNT = 96
POISON = b"KILL ME"
# Says of each image which node measured it, dies of some, and stops with a unit in hand while there is a file `hold`.
PLUGIN = f"""
import ctypes, os, time, zlib
from pathlib import Path
import pyarrow as pa
from sluice import data, measure

def raylet():
    return Path(f"/proc/{{os.getppid()}}/stat").read_text().rpartition(")")[2].split()[1]

@measure("own.slow", version=1, reads=data(), writes={{"own": pa.int32()}})
def own(batch):
    for image in batch.bytes:
        if image.endswith({POISON!r}):
            ctypes.string_at(0)
    here = Path(__file__).parent
    with (here / "looked").open("a") as log:
        log.writelines(f"{{raylet()}} {{zlib.crc32(image)}}\\n" for image in batch.bytes)
    while (here / "hold").exists():
        time.sleep(0.02)
    return {{"own": [len(image) for image in batch.bytes]}}
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A corpus with one image that kills whoever measures it."""
    folder = build_corpus(tmp_path_factory.mktemp("corpus") / "images", COUNT)
    victim = sorted(folder.rglob("*.jpg"))[11]
    victim.write_bytes(victim.read_bytes() + POISON)
    return folder


@pytest.fixture(scope="module")
def cluster():
    """A cluster of two nodes, a core each."""
    nodes = Raylets(num_gpus=1)
    yield nodes
    nodes.close()


@pytest.fixture
def raylets(cluster):
    """The cluster, with two nodes again where a test has killed one."""
    if len(cluster.pids) < 2:
        cluster.grow()
    return cluster


class Place:
    """A folder to run in: recipes differ in their engine alone, and all runs must come to the same."""

    def __init__(self, folder, images, launcher):
        self.folder, self._images, self._launcher = folder, images, launcher
        self.run = folder / "run"
        self._command = None
        (folder / "slow.py").write_text(PLUGIN)
        self.start({"workers": 2}, fresh=True)
        assert self._command.wait().code == 0
        self._digest = tree_digest(self.run, ["recipe.lock.yaml"])
        self._looked = self._looks()

    def start(self, engine, *, fresh, held=False):
        """Start `sluice run`; `fresh`: nothing is done yet. `held`: workers stop with a unit in hand, until `go_on`."""
        self.stop()
        if held:
            (self.folder / "hold").touch()
        if fresh:
            shutil.rmtree(self.run, ignore_errors=True)
            (self.folder / "looked").unlink(missing_ok=True)
        measures = [*QUICK_MEASURES, "own.slow"]
        changes = {"unit": UNIT, "plugins": ["slow.py"], "measures": measures, "engine": engine}
        recipe = write_recipe(self.folder / "recipe.yaml", self._images, **changes)
        self._command = self._launcher.start("run", recipe)
        return self._command

    def stop(self):
        """End the run, if it still goes on."""
        self.go_on()
        if self._command:
            self._command.kill()
            self._command.wait()

    def go_on(self):
        """Have the workers go on, if they were held."""
        (self.folder / "hold").unlink(missing_ok=True)

    def finish(self):
        """Wait for the run's end: it must be a good one, with the bytes of the local engine."""
        self.go_on()
        done = self._command.wait()
        assert done.code == 0, done.err[-3000:]
        assert differing(self._digest, tree_digest(self.run, ["recipe.lock.yaml"])) == []
        assert not list(self.run.rglob("*.partial"))

    def measured(self, units):
        """Wait until so many units are done."""
        until(lambda: sum(1 for _ in named(last_events(self.run), "unit_measured")) >= units, f"{units} units")

    def raylets(self):
        """Those whose workers have measured something."""
        path = self.folder / "looked"
        return {int(line.split()[0]) for line in path.read_text().splitlines()} if path.is_file() else set()

    def again(self):
        """How many images were measured more often than in an undisturbed run."""
        return (self._looks() - self._looked).total()

    def _looks(self):
        return Counter(line.split()[1] for line in (self.folder / "looked").read_text().splitlines())


@pytest.fixture(scope="module")
def place(tmp_path_factory, images, launcher):
    """Where a run of the local engine has been."""
    where = Place(tmp_path_factory.mktemp("runs"), images, launcher)
    yield where
    where.stop()


def ray_at(raylets):
    return {"type": "ray", "address": raylets.address}


def test_two_nodes_give_the_bytes_of_the_local_engine_and_a_poison_image_costs_itself(place, raylets):
    place.start(ray_at(raylets), fresh=True)
    place.finish()
    assert place.raylets() == set(raylets.pids), "both nodes work"
    assert place.again() == 0
    failures = pq.read_table(place.run / "01_filtered" / "failures.parquet").to_pylist()
    (poison,) = (row for row in failures if row["class"] == "crash")
    assert "the worker died with SIGSEGV" in poison["message"]
    (started,) = named(events(place.run), "run_started")
    assert started["engine"] == "ray"


def test_a_preempted_node_costs_a_unit_for_each_of_its_workers(place, raylets):
    before = set(raylets.pids)
    place.start(ray_at(raylets), fresh=True, held=True)
    until(lambda: place.raylets() == before, "each of the two workers has a unit in hand")
    raylets.kill_node()
    place.finish()
    assert place.again() == UNIT
    deaths = [death for event in named(events(place.run), "unit_measured") for death in event["deaths"]]
    (lost,) = (death for death in deaths if death.startswith("lost:"))
    assert lost.startswith("lost: the worker on node "), lost


@pytest.mark.slow
def test_a_raylet_is_killed_in_the_middle_of_a_stage_and_a_node_that_comes_is_put_to_work(place, raylets):
    before = set(raylets.pids)
    place.start(ray_at(raylets), fresh=True, held=True)
    until(lambda: place.raylets() == before, "each of the two workers has a unit in hand")
    raylets.kill_node(machine=False)
    raylets.grow()
    until(lambda: raylets.pids[-1] in place.raylets(), "the new node works")
    place.finish()
    assert place.again() <= UNIT, "0: its worker lives a little longer, and may end what it has in hand"


@pytest.mark.slow
def test_a_driver_that_is_killed_and_run_again_goes_on_to_the_same_bytes(place, raylets):
    command = place.start(ray_at(raylets), fresh=True)
    place.measured(3)
    command.kill()
    assert command.wait().code == -signal.SIGKILL
    place.start(ray_at(raylets), fresh=False)
    place.finish()
    assert place.again() <= 2 * UNIT, "what two workers had in hand"


@pytest.mark.slow
def test_a_head_that_is_killed_ends_the_run_with_a_sentence_and_running_again_goes_on(place, raylets):
    other = Raylets()
    try:
        command = place.start(ray_at(other), fresh=True, held=True)
        until(lambda: place.raylets() == set(other.pids), "each of the two workers has a unit in hand")
        other.kill_head()
        done = command.wait()
        assert done.code == 2, done.err[-3000:]
        assert "the head of the Ray cluster" in done.err
        assert "run again to go on" in done.err
    finally:
        other.close()
    place.go_on()
    place.start(ray_at(raylets), fresh=False)
    place.finish()
    assert place.again() <= 2 * UNIT


@pytest.mark.slow
def test_ctrl_c_stops_a_run_and_the_ray_that_it_has_started(place):
    command = place.start("ray", fresh=True, held=True)
    until(place.raylets, "a worker has a unit in hand")
    processes = command.workers()  # the head, the node and more
    command.kill_group(signal.SIGINT)
    done = command.wait()
    assert done.code == 130, done.err[-3000:]
    assert "goes on where it was" in done.err
    assert "Traceback" not in done.err
    until(lambda: not any(Path(f"/proc/{process}").exists() for process in processes), "all of Ray has ended")
    place.go_on()
    place.start({"workers": 1}, fresh=False)  # by the other engine: the same run
    place.finish()


def test_a_model_is_loaded_once_a_worker_which_has_a_gpu_of_its_own(raylets, monkeypatch):
    from sluice.engine.on_ray import Needs, RayEngine

    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "engine"))
    with RayEngine(raylets.address, needs=Needs(gpus=0.5)) as engine:
        outcomes = [*engine.run("tasks:gpu", None, map(Task, range(6)))]
    assert {outcome.result[0] for outcome in outcomes} == {"0"}, "the only one, on the head"
    assert len({outcome.result[1] for outcome in outcomes}) == 1, "there is a core for one worker there"


def test_work_that_shares_more_than_files_stays_on_one_node(raylets, monkeypatch):
    from sluice.engine.on_ray import Needs, RayEngine

    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "engine"))
    with RayEngine(raylets.address, needs=Needs(one_node=True)) as engine:
        outcomes = [*engine.run("tasks:process", None, map(Task, range(6)))]
    assert len({outcome.result for outcome in outcomes}) == 1
