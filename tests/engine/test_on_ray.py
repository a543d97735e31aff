"""The Ray engine against workers that really die: what holds of the local engine holds of it."""

import platform
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from sluice.engine import Task
from sluice.errors import RunError

ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")
from sluice.engine.on_ray import Needs, RayEngine  # noqa: E402

HERE = str(Path(__file__).parent)


@pytest.fixture(scope="module")
def cluster():
    """Ray on this machine with two cores; as long as one engine is open, others find it there."""
    sys.path.insert(0, HERE)
    with RayEngine(workers=2) as engine:
        yield engine
    sys.path.remove(HERE)
    assert not ray.is_initialized()


def run(function, shared, payloads, workers=2, **options):
    with RayEngine(workers=workers, **options) as engine:
        tasks = [Task(number, payload) for number, payload in enumerate(payloads)]
        return {outcome.number: outcome for outcome in engine.run(f"tasks:{function}", shared, tasks)}


def test_every_task_comes_back_once(cluster):
    outcomes = run("square", 2, range(20))
    assert {number: outcome.result for number, outcome in outcomes.items()} == {n: 2 * n**2 for n in range(20)}


def test_a_worker_keeps_its_process_and_so_its_model_from_one_run_to_the_next(cluster):
    with RayEngine(workers=2) as engine:
        seen = [{o.result for o in engine.run("tasks:process", None, map(Task, range(8)))} for _ in range(2)]
    assert seen[0] & seen[1]
    assert len(seen[0] | seen[1]) <= 2


def test_engines_take_turns_on_the_cores_of_the_cluster(cluster):
    with RayEngine(workers=2) as one, RayEngine(workers=2) as other:
        for _ in range(2):  # each would wait for ever for the cores that the workers of the other hold
            for engine in (one, other):
                assert [outcome.result for outcome in engine.run("tasks:square", 1, [Task(0, 3)] * 3)] == [9] * 3


def test_tasks_are_made_as_workers_come_free_a_few_ahead(cluster):
    made = []

    def tasks():
        for number in range(40):
            made.append(number)
            yield Task(number, 1)

    with RayEngine(workers=2) as engine:
        for done, _ in enumerate(engine.run("tasks:square", 1, tasks()), start=1):
            assert len(made) <= done + 2 + 2 + 1  # in hand, ready, and one that has ended and is not told yet
    assert made == list(range(40))


def test_a_position_that_kills_its_process_costs_only_itself_and_is_named(cluster):
    outcomes = run("positions", {3: "segfault"}, [6, 2])
    assert outcomes[0].result == [0, 1, 2, "crash", 4, 5]
    assert outcomes[0].deaths == ("crash: the worker died with SIGSEGV",) * 2
    assert outcomes[1].result == [0, 1]


def test_a_position_that_hangs_is_a_timeout(cluster):
    assert run("positions", {2: "hang"}, [4], seconds=0.5)[0].result == [0, 1, "timeout", 3]


def test_a_batch_that_dies_is_bisected(cluster):
    assert run("whole_batch", 6, [10])[0].result == [0, 1, 2, 3, 4, 5, "poison", 7, 8, 9]


def test_a_worker_holds_no_more_memory_than_it_may(cluster):
    with pytest.raises(RuntimeError, match="MemoryError"):
        run("positions", {1: "memory"}, [3], memory=2**30)


def test_a_worker_that_is_lost_costs_its_task_one_try_and_is_told(cluster, tmp_path):
    outcomes = run("loses_its_host", str(tmp_path / "once"), range(5))
    assert sorted(outcome.result for outcome in outcomes.values()) == list(range(5))
    (lost,) = (death for outcome in outcomes.values() for death in outcome.deaths)
    assert lost.startswith(f"lost: the worker on node {platform.node()} went away: "), lost


def test_a_task_that_loses_every_worker_ends_the_run(cluster):
    with pytest.raises(RunError, match="unit 0 lost 8 workers, each with its machine or by Ray"):
        run("loses_its_host", "", [0])


@pytest.mark.parametrize(
    ("which", "error", "said"), [("ours", RunError, "mend this"), ("bug", RuntimeError, "ValueError: a bug")]
)
def test_an_error_of_a_step_ends_the_run_with_it(cluster, which, error, said):
    with pytest.raises(error, match=said):
        run("raises", which, [1])


def test_a_run_left_early_drops_what_is_in_hand(cluster):
    with RayEngine(workers=2) as engine:
        outcomes = engine.run("tasks:positions", {1: "hang"}, [Task(0, 1), Task(1, 3)])
        assert next(outcomes).result == [0]
        outcomes.close()
        assert [outcome.result for outcome in engine.run("tasks:square", 1, [Task(0, 2)])] == [4]


def test_nothing_goes_through_the_object_store(cluster):
    def used():
        store = "object_store_memory"
        return ray.cluster_resources()[store] - ray.available_resources()[store]

    with RayEngine(workers=2) as engine:
        tasks = [Task(number, number) for number in range(20)]
        assert {used() for _ in engine.run("tasks:square", 1, tasks)} == {0}
    kept = ray.put(bytes(2**20))  # what would be seen of a sample's bytes
    until = time.monotonic() + 10
    while used() < 2**20:
        assert time.monotonic() < until, "what lies in the store is not seen"
    del kept


def test_a_node_with_another_version_of_a_package_is_refused(cluster, monkeypatch):
    with RayEngine(workers=1, needs=Needs(packages=("numpy",))) as engine:
        engine._own["numpy"] = "1.0"
        with pytest.raises(RunError, match=r"node \S+ of the Ray cluster has numpy \d+.* and this machine 1.0"):
            list(engine.run("tasks:square", 1, [Task(0, 1)]))


def test_a_node_that_does_not_see_the_files_is_refused(cluster, tmp_path):
    with pytest.raises(RunError, match=f"does not see {tmp_path}/nowhere: the recipe's files and the run folder"):
        run("square", 1, [1], needs=Needs(sees=(str(tmp_path), f"{tmp_path}/nowhere")))


def test_a_gpu_that_no_node_has_is_said_before_anything_waits_for_it(cluster):
    with pytest.raises(RunError, match="no node of the Ray cluster has a GPU"):
        run("square", 1, [1], needs=Needs(gpus=1))


def test_closing_leaves_no_process_and_no_file(cluster, tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    with RayEngine(workers=2) as engine:
        processes = {outcome.result for outcome in engine.run("tasks:process", None, map(Task, range(8)))}
        journals = set(Path("/tmp").glob("sluice-journal-*"))
    until = time.monotonic() + 10
    while any(Path(f"/proc/{process}").exists() for process in processes):
        assert time.monotonic() < until, "a process outlived its worker"
        time.sleep(0.05)
    assert len(set(Path("/tmp").glob("sluice-journal-*"))) < len(journals)


def test_what_the_driver_started_ends_with_it(tmp_path):
    code = f"""
        import os, sys, time
        sys.path.insert(0, {HERE!r})
        from sluice.engine import Task
        from sluice.engine.on_ray import RayEngine
        with RayEngine(workers=1) as engine:
            list(engine.run("tasks:sleeps", {str(tmp_path)!r}, [Task(0)]))
    """
    driver = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)])
    until = time.monotonic() + 60
    while not list(tmp_path.iterdir()):
        assert time.monotonic() < until
        assert driver.poll() is None
        time.sleep(0.05)
    (worker,) = (int(path.name) for path in tmp_path.iterdir())
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    until = time.monotonic() + 30
    while Path(f"/proc/{worker}").exists():
        assert time.monotonic() < until, "a worker outlived its driver"
        time.sleep(0.05)
