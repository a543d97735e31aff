"""`status`: the seconds are those that the stages took, and asking never keeps a run out."""

import json
import signal
import threading
import time

import pytest

import sluice
from sluice.errors import RunError
from sluice.run.holding import is_held, working_in
from sluice.table.layout import Layout
from support.commands import events, named, wait_for
from support.recipes import write_recipe

SLOW = """
import time
import pyarrow as pa
from sluice import data, measure

@measure("own.measure", version=1, reads=data(), writes={"own": pa.int32()})
def own(batch):
    time.sleep(0.4)
    return {"own": [1] * len(batch)}
"""


def seconds(run):
    return {stage.stage: stage.seconds for stage in sluice.Run.open(run).status().stages}


@pytest.fixture
def slow_recipe(tmp_path, corpus):
    """Six units that take 0.4 s each to measure."""
    (tmp_path / "mine.py").write_text(SLOW)
    measures = ["image.header", "own.measure"]
    return write_recipe(
        tmp_path / "recipe.yaml",
        corpus,
        plugins=["mine.py"],
        measures=measures,
        filter={"duplicates": {"near": None, "bytes": False}},
    )


def test_the_seconds_of_a_stage_count_what_was_measured(tmp_path, slow_recipe, launcher):
    started = time.monotonic()
    assert launcher.run("run", slow_recipe).code == 0
    took = time.monotonic() - started
    found = seconds(tmp_path / "run")
    assert found["01_filtered"] >= 6 * 0.4
    assert found["01_filtered"] + found["04_final"] <= took
    assert found["00_raw"] < 6 * 0.4, "units are measured while later ones are listed: that time is not listing's"


def test_the_seconds_of_a_stage_that_was_cut_off_count_both_parts(tmp_path, slow_recipe, launcher):
    run = tmp_path / "run"
    first = launcher.start("run", slow_recipe)
    while not first.ended() and len([*named(events(run), "unit_measured")]) < 3:
        time.sleep(0.01)
    live = seconds(run)["01_filtered"]
    first.kill(signal.SIGKILL)
    first.wait()
    cut = seconds(run)["01_filtered"]
    assert live >= 3 * 0.4
    assert cut >= 3 * 0.4
    assert launcher.run("run", slow_recipe).code == 0
    assert len([*named(events(run), "unit_measured")]) <= 7, "it went on where it was"
    assert seconds(run)["01_filtered"] >= 6 * 0.4


def test_the_seconds_of_a_stage_under_way_go_on_between_events(tmp_path, slow_recipe, launcher):
    first = launcher.start("run", slow_recipe)
    assert wait_for(first, tmp_path / "run", 5)
    before = seconds(tmp_path / "run")["01_filtered"]
    time.sleep(0.2)
    assert seconds(tmp_path / "run")["01_filtered"] >= before + 0.2
    first.kill()
    first.wait()


def test_a_run_that_starts_while_many_ask_is_never_refused(tmp_path):
    layout = Layout(tmp_path)
    with working_in(layout):
        assert is_held(layout)
        with pytest.raises(RunError, match="is working in this run"), working_in(layout):
            pass
    ended = threading.Event()

    def ask():
        while not ended.is_set():
            is_held(layout)

    askers = [threading.Thread(target=ask) for _ in range(3)]
    for asker in askers:
        asker.start()
    try:
        for _ in range(300):
            with working_in(layout):
                assert is_held(layout)
    finally:
        ended.set()
        for asker in askers:
            asker.join()
    assert not is_held(layout)


def test_the_seconds_are_in_the_json_too(tmp_path, slow_recipe, launcher):
    assert launcher.run("run", slow_recipe, "--only", "00_raw").code == 0
    done = launcher.run("status", tmp_path / "run", "--json")
    stages = {stage["stage"]: stage for stage in json.loads(done.out)["stages"]}
    assert stages["00_raw"]["seconds"] > 0
    assert stages["01_filtered"]["seconds"] is None
