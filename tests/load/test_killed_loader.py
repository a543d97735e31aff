"""A process that only iterates over a loader, killed 20 times at random: what it was served, put together, is exact."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from sluice.load.decode import Pixels
from sluice.load.global_batches import InSequences
from sluice.load.image_tokens import Fixed
from sluice.load.loader import Loader, Share

KILLS = 20
PATIENCE = 60.0  # seconds; a hang is a failed test


def loader_of(sources: Any, batch: Any) -> Loader:
    rule = None if isinstance(batch, int) else Fixed(4)
    return Loader(sources, batch, seed=4, window=16, image_tokens=rule, decode=Pixels(8))


def train(sources: Any, batch: Any, folder: Path, epochs: int) -> None:
    """Write down what is served, then save the state: a kill between the two serves one batch again, never more."""
    loader = loader_of(sources, batch)
    state, lines = folder / "state.json", folder / "served.jsonl"
    if state.exists():
        loader.load_state_dict(json.loads(state.read_text()))
    with lines.open("a") as served:
        served.write("start\n")
        while loader.position[0] < epochs:
            for one in loader:
                served.write(json.dumps([one.epoch, one.step, one.ids]) + "\n")
                served.flush()
                state.with_suffix(".new").write_text(json.dumps(loader.state_dict()))
                state.with_suffix(".new").replace(state)


@pytest.mark.parametrize(("batch", "epochs"), [(3, 60), (InSequences(70, 2), 60)], ids=repr)
def test_killed_twenty_times_it_serves_what_an_undisturbed_one_serves(
    packs: tuple[Path, Path], long: Path, tmp_path: Path, batch: Any, epochs: int
) -> None:
    sources: Any = {str(packs[0]): 3.0, str(packs[1]): 1.0} if isinstance(batch, int) else str(long)
    alone = loader_of(sources, batch)
    expected = [[epoch, one.step, list(one.ids)] for epoch in range(epochs) for one in alone.batches(epoch, 0, Share())]
    assert len(expected) > 25 * KILLS  # what 20 ms a life may serve
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["sluice.load.loader", "sluice.load.decode"])
    chance = random.Random(os.urandom(8))
    lines = tmp_path / "served.jsonl"
    for life in range(KILLS + 1):
        process = context.Process(target=train, args=(sources, batch, tmp_path, epochs))
        process.start()
        if life < KILLS:
            wait_for(lines, process, len(lines.read_bytes()) if lines.exists() else 0)
            time.sleep(chance.random() ** 2 * 0.02)
            process.kill()
        process.join(PATIENCE)
        assert process.exitcode == (-signal.SIGKILL if life < KILLS else 0)

    lives = [[json.loads(line) for line in life.splitlines()] for life in lines.read_text().split("start\n")[1:]]
    assert len(lives) == KILLS + 1
    served: list[Any] = []
    for life in lives:
        again = served[-1:] == life[:1]  # it was written down, its state was not
        served += life[again:]
    assert served == expected


def wait_for(lines: Path, process: Any, before: int) -> None:
    """Until it has served anything."""
    end = time.monotonic() + PATIENCE
    while not lines.exists() or lines.stat().st_size <= before + len("start\n"):
        assert time.monotonic() < end and process.is_alive(), "it came to its end too early"
        time.sleep(0.001)
