"""No room, no right to write, Ctrl-C: a clear word, the right exit code, and it goes on to the same bytes."""

import signal
import subprocess
import time

import pytest

from support.commands import last_events
from support.disks import small_disk
from support.folders import differing, tree_digest
from support.recipes import write_recipe

OTHERS = ("recipe.lock.yaml",)  # it names its run folder


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, corpus, launcher):
    folder = tmp_path_factory.mktemp("undisturbed")
    done = launcher.run("run", write_recipe(folder / "recipe.yaml", corpus))
    assert done.code == 0, done.err
    return folder / "run"


def remount(folder, options):
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


@pytest.mark.parametrize("share", [0.02, 0.25, 0.5, 0.75, 0.95])
def test_a_full_disk_is_a_sentence_and_with_more_room_it_goes_on(tmp_path, corpus, launcher, undisturbed, share):
    needed = sum(-(-path.stat().st_size // 4096) * 4096 for path in undisturbed.rglob("*") if path.is_file())
    with small_disk(tmp_path / "disk", int(needed * share)):
        recipe = write_recipe(tmp_path / "recipe.yaml", corpus, run="disk/run")
        done = launcher.run("run", recipe)
        assert done.code == 2, done.err
        assert "no room left on the disk" in done.err
        assert "run again to go on" in done.err
        assert "Traceback" not in done.err
        remount(tmp_path / "disk", "size=1G")
        again = launcher.run("run", recipe)
        assert again.code == 0, again.err
        assert differing(tree_digest(undisturbed, OTHERS), tree_digest(tmp_path / "disk" / "run", OTHERS)) == []
        assert not list((tmp_path / "disk").rglob("*.partial"))


@pytest.mark.parametrize("begun", [False, True], ids=["from the start", "from the filter on"])
def test_a_read_only_folder_is_a_sentence(tmp_path, corpus, launcher, begun):
    with small_disk(tmp_path / "disk", "64M"):
        recipe = write_recipe(tmp_path / "recipe.yaml", corpus, run="disk/run")
        if begun:
            assert launcher.run("run", recipe, "--only", "00_raw").code == 0
        remount(tmp_path / "disk", "ro")
        done = launcher.run("run", recipe)
        assert done.code == 2, done.err
        assert "it is read-only or not yours; choose another `run:` folder" in done.err
        assert "Traceback" not in done.err
        if begun:  # what only reads still answers
            status = launcher.run("status", tmp_path / "disk" / "run")
            assert (status.code, "00_raw" in status.out) == (0, True), status.err
            why = launcher.run("why", tmp_path / "disk" / "run", "0000.jpg")
            assert why.code == 0, why.err
        remount(tmp_path / "disk", "rw")
        assert launcher.run("run", recipe).code == 0


def test_a_run_folder_that_is_a_file_is_a_sentence(tmp_path, corpus, launcher):
    (tmp_path / "run").write_text("mine")
    done = launcher.run("run", write_recipe(tmp_path / "recipe.yaml", corpus))
    assert done.code == 2, done.err
    assert "a file of that name is in the way" in done.err
    assert (tmp_path / "run").read_text() == "mine"


@pytest.mark.parametrize(
    ("event", "count"),
    [("stage_started", 1), ("measuring", 1), ("unit_measured", 2), ("packing", 1), ("shard_written", 2)],
)
def test_ctrl_c_stops_at_once_says_how_to_go_on_and_loses_nothing(
    tmp_path, corpus, launcher, undisturbed, event, count
):
    recipe = write_recipe(tmp_path / "recipe.yaml", corpus, engine={"workers": 2})
    run = tmp_path / "run"
    command = launcher.start("run", recipe)
    while not command.ended() and sum(told["event"] == event for told in last_events(run)) < count:
        time.sleep(0.002)
    command.kill_group(signal.SIGINT)  # as a terminal does: to the conductor and all its workers
    done = command.wait()
    assert done.code == 130, done.err
    assert f"`sluice run {recipe}` goes on where it was" in done.err
    assert "Traceback" not in done.err
    assert "stopped" in launcher.run("status", run).out
    again = launcher.run("run", recipe)
    assert again.code == 0, again.err
    assert differing(tree_digest(undisturbed, OTHERS), tree_digest(run, OTHERS)) == []
