"""The local engine against workers that really die."""

import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import pytest

from sluice.engine import LocalEngine, Task
from sluice.errors import RunError


@pytest.fixture(autouse=True)
def tasks_importable(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


def run(function, shared, payloads, **options):
    with LocalEngine(2, **options) as engine:
        tasks = [Task(number, payload) for number, payload in enumerate(payloads)]
        return {outcome.number: outcome for outcome in engine.run(f"tasks:{function}", shared, tasks)}


def test_every_task_comes_back_once():
    outcomes = run("square", 2, range(20))
    assert {number: outcome.result for number, outcome in outcomes.items()} == {n: 2 * n**2 for n in range(20)}


def test_workers_are_reused_by_the_next_run():
    with LocalEngine(2) as engine:
        first = [outcome.result for outcome in engine.run("tasks:square", 1, [Task(0, 3)])]
        second = [outcome.result for outcome in engine.run("tasks:square", 10, [Task(0, 3)])]
    assert (first, second) == ([9], [90])


def test_workers_that_are_renewed_have_nothing_of_the_run_before():
    with LocalEngine(2) as engine:
        tasks = [Task(number) for number in range(2)]
        first = {outcome.result for outcome in engine.run("tasks:process", None, tasks)}
        kept = {outcome.result for outcome in engine.run("tasks:process", None, tasks)}
        engine.renew("tasks:process")
        renewed = {outcome.result for outcome in engine.run("tasks:process", None, tasks)}
    assert kept & first and not renewed & (first | kept)


def test_workers_that_are_released_are_gone_and_others_come_when_there_is_something_to_do():
    with LocalEngine(2) as engine:
        tasks = [Task(number) for number in range(4)]
        before = {outcome.result for outcome in engine.run("tasks:process", None, tasks)}
        engine.release()
        engine.release()
        assert not any(Path(f"/proc/{process}").exists() for process in before)
        after = {outcome.result for outcome in engine.run("tasks:process", None, tasks)}
    assert before and after and not before & after


def test_tasks_are_made_as_workers_come_free_a_few_ahead():
    made = []

    def tasks():
        for number in range(40):
            made.append(number)
            yield Task(number, 1)

    with LocalEngine(2) as engine:
        for done, _ in enumerate(engine.run("tasks:square", 1, tasks()), start=1):
            assert len(made) <= done + 2 + 2 + 1  # in hand, ready, and one that has ended and is not told yet
    assert made == list(range(40))


def test_a_task_that_cannot_be_made_ends_the_run_with_its_error():
    def tasks():
        yield Task(0, 1)
        raise RunError("the source is gone")

    with LocalEngine(2) as engine:
        with pytest.raises(RunError, match="the source is gone"):
            list(engine.run("tasks:square", 1, tasks()))
        assert [outcome.result for outcome in engine.run("tasks:square", 1, [Task(0, 3)])] == [9]


def test_workers_give_back_the_memory_that_arrow_has_freed(monkeypatch):
    monkeypatch.delenv("ARROW_DEFAULT_MEMORY_POOL", raising=False)
    assert run("allocator", None, [0])[0].result == "system"


@pytest.mark.parametrize(
    ("way", "failure_class", "cause"),
    [("segfault", "crash", "SIGSEGV"), ("abort", "crash", "SIGABRT"), ("exit", "crash", "exit code 3")],
)
def test_a_position_that_kills_its_worker_costs_only_itself(way, failure_class, cause):
    outcomes = run("positions", {3: way}, [6, 2])
    assert outcomes[0].result == [0, 1, 2, failure_class, 4, 5]
    assert outcomes[0].deaths == (f"crash: the worker died with {cause}",) * 2
    assert outcomes[1].result == [0, 1]


def test_several_poisons_in_one_task_are_all_found():
    outcomes = run("positions", {0: "segfault", 4: "abort", 5: "segfault"}, [6])
    assert outcomes[0].result == ["crash", 1, 2, 3, "crash", "crash"]


def test_a_position_that_hangs_is_a_timeout():
    outcomes = run("positions", {2: "hang"}, [4], seconds=0.5)
    assert outcomes[0].result == [0, 1, "timeout", 3]


def test_a_batch_that_dies_is_bisected():
    outcomes = run("whole_batch", 6, [10])
    assert outcomes[0].result == [0, 1, 2, 3, 4, 5, "poison", 7, 8, 9]


def test_a_death_while_a_batch_was_in_hand_counts_for_the_row_that_then_dies_alone():
    assert run("whole_batch", 6, [10])[0].deaths == ("crash: the worker died with SIGSEGV",) * 2


def test_what_a_task_has_finished_is_not_done_again_after_a_death(tmp_path):
    outcomes = run("keeps", (str(tmp_path), {2, 5}), [8])
    assert outcomes[0].result == [0, 1, "poison", 3, 4, "poison", 6, 7]
    worked = (tmp_path / "worked").read_text()
    assert worked == "0 1 2 0 1 2 3 4 5 5 6 7 ", "again: what a first death found not yet written, and what died"


def test_a_task_finds_nothing_that_another_has_finished(tmp_path):
    with LocalEngine(1) as engine:
        results = [outcome.result for outcome in engine.run("tasks:keeps", (str(tmp_path), {2}), [Task(0, 4)] * 3)]
    assert results == [[0, 1, "poison", 3]] * 3


def test_a_run_that_is_left_early_leaves_nothing_to_the_next(tmp_path):
    with LocalEngine(1) as engine:
        tasks = [Task(0, 1), Task(1, 10**9)]
        outcomes = engine.run("tasks:keeps", (str(tmp_path), set()), tasks)
        assert next(outcomes).result == [0]
        outcomes.close()
        assert [o.result for o in engine.run("tasks:keeps", (str(tmp_path), set()), [Task(0, 2)])] == [[0, 1]]


def test_an_engine_that_is_closed_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    run("keeps", (str(tmp_path), {1}), [3, 3])
    assert not list((tmp_path / "temporary").iterdir())


def test_a_kill_from_outside_blames_nobody(tmp_path):
    outcomes = run("killed_once", str(tmp_path / "killed"), [7])
    assert outcomes[0].result == []
    assert len(outcomes[0].deaths) == 1


def test_memory_is_held(tmp_path):
    with pytest.raises(RuntimeError, match="MemoryError"):
        run("positions", {0: "memory"}, [1], memory=2**29)


def test_a_task_that_dies_with_nothing_in_hand_ends_the_run_with_a_sentence():
    with pytest.raises(RunError, match="out of memory"):
        run("dies_blindly", None, [0])


def test_an_error_to_mend_arrives_as_itself():
    with pytest.raises(RunError, match="mend this"):
        run("raises", "ours", [0])


def test_a_bug_arrives_with_its_trace():
    with pytest.raises(RuntimeError, match="ValueError: a bug"):
        run("raises", "bug", [0])


def test_workers_die_with_their_supervisor(tmp_path):
    script = textwrap.dedent(
        f"""
        import sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from sluice.engine import LocalEngine, Task
        if True:  # no __main__ guard: workers do not import the script
            with LocalEngine(2) as engine:
                list(engine.run("tasks:sleeps", {str(tmp_path)!r}, [Task(0), Task(1)]))
        """
    )
    parent = subprocess.Popen([sys.executable, "-c", script])
    while len(list(tmp_path.iterdir())) < 2:
        assert parent.poll() is None
        time.sleep(0.05)
    workers = [int(path.name) for path in tmp_path.iterdir()]
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 20
    while any(_alive(worker) for worker in workers):
        assert time.monotonic() < deadline, "a worker outlived its supervisor"
        time.sleep(0.05)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the worker ends after the job in hand")
def test_a_worker_that_starts_after_its_supervisor_died_does_nothing(tmp_path):
    slow = tmp_path / "slow"
    slow.mkdir()
    (slow / "sitecustomize.py").write_text(
        f"import pathlib, time; pathlib.Path({str(tmp_path)!r}, 'started').touch(); time.sleep(1)"
    )
    driver = textwrap.dedent(
        f"""
        import sys
        sys.path[:0] = [{str(slow)!r}, {str(Path(__file__).parent)!r}]
        from sluice.engine import LocalEngine, Task
        list(LocalEngine(1).run("tasks:sleeps", {str(tmp_path)!r}, [Task(0)]))
        """
    )
    parent = subprocess.Popen([sys.executable, "-c", driver])
    while not (tmp_path / "started").exists():
        assert parent.poll() is None
        time.sleep(0.02)
    parent.kill()  # its task is in the socket, the worker has not yet asked to die with it
    parent.wait()
    time.sleep(3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["slow", "started"]


def _alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


def test_a_run_left_early_drops_what_is_in_hand(tmp_path):
    with LocalEngine(2) as engine:
        outcomes = engine.run("tasks:positions", {1: "hang"}, [Task(0, 1), Task(1, 3)])
        assert next(outcomes).result == [0]
        outcomes.close()
        assert [outcome.result for outcome in engine.run("tasks:square", 1, [Task(0, 2)])] == [4]
