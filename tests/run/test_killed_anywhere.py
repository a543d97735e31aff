"""SIGKILL at random instants, in the conductor or in a worker, in every stage: run again, and nothing is different."""

import os
import random
import shutil
import signal
import time

import pytest

from support.commands import events, last_events, wait_for
from support.folders import differing, tree_digest
from support.recipes import write_recipe

KILLS = 48  # two thirds of them in the conductor, the others in a worker; each seeded

BALANCE = {
    "caps": [{"column": "format", "cap": 30}],
    "mixture": {"column": "format", "temperature": 9, "repeats": 3},
}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, corpus, launcher):
    """A whole run: (its recipe with one worker and with two, its folder, its digest, its events)."""
    folder = tmp_path_factory.mktemp("killed")
    one = write_recipe(folder / "recipe.yaml", corpus, balance=BALANCE)
    two = write_recipe(folder / "two.yaml", corpus, balance=BALANCE, engine={"workers": 2})
    done = launcher.run("run", two, report=True)
    assert done.code == 0, done.err
    told = last_events(folder / "run")
    assert launcher.run("run", one).code == 0  # the lock names the recipe that ran last
    return (one, two), folder / "run", tree_digest(folder / "run"), told


@pytest.mark.slow
@pytest.mark.parametrize("share", range(4))
def test_a_run_killed_at_any_instant_and_run_again_gives_the_same_bytes(undisturbed, launcher, share):
    (one, two), run, digest, told = undisturbed
    hit = set()
    for number in range(share, KILLS, 4):
        rng = random.Random(number)
        shutil.rmtree(run, ignore_errors=True)
        command = launcher.start("run", rng.choice((one, two)), report=number % 6 == 0)
        wait_for(command, run, (number * 7919) % len(told))  # each event comes about as often as every other ...
        time.sleep(rng.random() ** 2 * 0.4)  # ... and the kill somewhere between it and the next
        workers = command.workers()
        if number % 3 == 0 and workers:
            victim = rng.choice(workers)
            os.kill(victim, signal.SIGKILL)
            done = command.wait()
            assert done.code == 0, f"kill {number}: a worker's death ended the run: {done.err[-1000:]}"
            hit.add("worker")
        else:
            command.kill()
            command.wait()
        hit.add(_where(run))
        again = launcher.run("run", one, inline=bool(number % 4))  # in one process: another engine, the same bytes
        assert again.code == 0, f"kill {number}: {again.err[-2000:]}"
        assert differing(digest, tree_digest(run)) == [], f"kill {number}"
        assert not list(run.rglob("*.partial")), f"kill {number}"
    assert {"01_filtered", "04_final"} <= hit


# (event to wait for, how many of them): the places that random instants might miss
DIRECTED = {
    "ingesting": ("stage_started", 1),
    "measuring, nothing committed": ("measuring", 1),
    "measuring, some units committed": ("unit_measured", 3),
    "deciding": ("unit_measured", 6),
    "packing, nothing committed": ("packing", 1),
    "packing, some shards committed": ("shard_written", 4),
    "listing what was packed": ("shard_written", 10),
    "drawing the report": ("stage_done", 3),
}


@pytest.mark.slow
@pytest.mark.parametrize("event", DIRECTED.values(), ids=DIRECTED)
def test_a_run_killed_while_it_is_at_this_gives_the_same_bytes(undisturbed, launcher, event):
    (one, two), run, digest, whole = undisturbed
    name, count = event
    assert sum(told["event"] == name for told in whole) >= count, "this instant never comes"
    shutil.rmtree(run, ignore_errors=True)
    command = launcher.start("run", two, report=True)
    while not command.ended():
        if sum(told["event"] == name for told in last_events(run)) >= count:
            command.kill()
        time.sleep(0.002)
    assert command.wait().code in (-signal.SIGKILL, 0)
    again = launcher.run("run", one, report=name == "stage_done")
    assert again.code == 0, again.err[-2000:]
    assert differing(digest, tree_digest(run)) == []
    assert name != "stage_done" or (run / "report.html").stat().st_size > 10_000


def test_a_run_killed_over_and_over_still_gets_done(undisturbed, launcher):
    (one, two), run, digest, _ = undisturbed
    shutil.rmtree(run, ignore_errors=True)
    for unit in range(3):  # each start gets one more unit done, then dies
        command = launcher.start("run", two)
        while not command.ended() and sum(told["event"] == "unit_measured" for told in events(run)) <= unit:
            time.sleep(0.002)
        command.kill()
        command.wait()
        assert len(list(run.glob("01_filtered/measures/image.header@*/unit-*.parquet"))) > unit
    assert launcher.run("run", one).code == 0
    assert differing(digest, tree_digest(run)) == []


def _where(run):
    """The stage in which the run was last heard of."""
    started = [told["stage"] for told in last_events(run) if told["event"] == "stage_started"]
    return started[-1] if started else "start"
