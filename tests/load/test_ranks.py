"""Real ranks: processes under torch.distributed, each with workers of torch's DataLoader, killed and started anew."""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the dependency group `models`: pip install --group models")

from sluice.load.global_batches import InSequences
from sluice.load.loader import Share
from sluice.load.receipt import odd_ones
from sluice.pack.manifest import read_manifest
from sluice.table.compute import pc
from support.ranks import Ids, Job, Saved, loader_of, run_rank

PATIENCE = 90.0  # seconds; a hang is a failed test


class Ranks:
    """The processes of a job."""

    def __init__(self, job: Job) -> None:
        job.folder.mkdir()
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["torch.distributed", "sluice.load.torch_dataset", "sluice.load.decode"])
        self.job = job
        # no daemons: they have children of their own
        self.processes = [context.Process(target=run_rank, args=(job, rank)) for rank in range(job.world)]
        for one in self.processes:
            one.start()

    def saved(self) -> list[Saved | None]:
        return [Saved.of(self.job.folder, rank) for rank in range(self.job.world)]

    def codes(self) -> list[int | None]:
        """How they ended; whoever has not by now is ended."""
        end = time.monotonic() + PATIENCE
        for one in self.processes:
            one.join(max(0.0, end - time.monotonic()))
        codes = [one.exitcode for one in self.processes]
        self.end()
        return codes

    def end(self) -> None:
        for one in self.processes:
            if one.is_alive():
                one.kill()
                one.join()


@pytest.fixture
def start() -> Iterator[Any]:
    started: list[Ranks] = []

    def start(job: Job) -> Ranks:
        started.append(Ranks(job))
        return started[-1]

    yield start
    for one in started:
        one.end()


def finished(ranks: Ranks) -> list[Saved]:
    assert ranks.codes() == [0] * ranks.job.world
    saved = [one for one in ranks.saved() if one is not None]
    assert len(saved) == ranks.job.world and all(one.done for one in saved)
    return saved


def expected(job: Job, position: tuple[int, int] = (0, 0)) -> list[tuple[int, int, Ids]]:
    """The global batches from there on, as one process alone gets them."""
    alone = loader_of(job)
    batches = [batch for epoch in range(job.epochs) for batch in alone.batches(epoch, 0, Share())]
    return [(one.epoch, one.step, one.ids) for one in batches if (one.epoch, one.step) >= position]


def test_four_ranks_have_the_global_batches_of_one_with_bad_samples_replaced_alike(
    long: Path, packs: tuple[Path, Path], tmp_path: Path, start: Any
) -> None:
    bad = tmp_path / "bad"
    shutil.copytree(long, bad)
    rows = [row for row in read_manifest(bad).to_pylist() if row["format"] == "webdataset"]
    for row in (rows[0], rows[1], rows[13], rows[40]):
        with (bad / row["shard"]).open("r+b") as file:
            file.seek(row["image_offset"])
            file.write(b"garbage" * 10)
    job = Job({str(bad): 3.0, str(packs[1]): 1.0}, 6, tmp_path / "job", world=4, workers=2, epochs=2)
    saved = finished(start(job))
    wanted = expected(job)
    assert all(one.batches == wanted for one in saved)
    assert [one.lives for one in saved] == [1] * 4 and len({str(one.state) for one in saved}) == 1
    alone = loader_of(job)
    alone_bad = {one for epoch in (0, 1) for batch in alone.batches(epoch, 0, Share()) for one in batch.bad}
    assert {one.id for one in alone_bad} == {rows[at]["id"] for at in (0, 1, 13, 40)}
    assert all(one.bad == alone_bad for one in saved)


def test_a_killed_worker_costs_a_restart_of_its_rank_and_no_sample(long: Path, tmp_path: Path, start: Any) -> None:
    job = Job(str(long), 5, tmp_path / "job", world=2, workers=2, epochs=2, kill_worker={0: 0, 1: 7})
    saved = finished(start(job))
    assert [one.lives for one in saved] == [2, 2]
    assert all(one.batches == expected(job) for one in saved)
    assert odd_ones([one.receipt for one in saved], ids_of(long), times=2) == {}


@pytest.mark.parametrize("batch", [5, InSequences(60, 4, True)], ids=repr)
def test_after_a_killed_rank_all_go_on_with_another_world_sample_for_sample(
    long: Path, tmp_path: Path, start: Any, batch: Any
) -> None:
    chance = random.Random(os.urandom(8))
    job = Job(str(long), batch, tmp_path / "before", world=4, workers=1, epochs=2, pause=0.01)
    wanted = expected(job)
    goal, victim = wanted[chance.randrange(3, len(wanted) - 8)][:2], chance.randrange(4)
    ranks = start(job)
    kill_at(ranks, victim, goal, chance.random() * 0.02)
    codes = ranks.codes()
    assert codes[victim] == -signal.SIGKILL and 0 not in codes and None not in codes
    left = [one for one in ranks.saved() if one is not None]
    assert len(left) == 4 and not any(one.done for one in left)
    assert all(one.batches == wanted[: len(one.batches)] for one in left)
    common = min(left, key=lambda one: one.position)  # a rank may have ended the step that another was killed in
    assert common.position >= goal

    job = replace(job, folder=tmp_path / "after", state=common.state, world=3, workers=2)
    saved = finished(start(job))
    assert all(one.batches == expected(job, common.position) for one in saved)
    receipts = [*(before(one.receipt, common.position) for one in left), *(one.receipt for one in saved)]
    assert odd_ones(receipts, ids_of(long), times=2) == {}


def kill_at(ranks: Ranks, victim: int, goal: tuple[int, int], later: float) -> None:
    """Kill a rank when it has come that far, somewhere in its step."""
    end = time.monotonic() + PATIENCE
    while (saved := Saved.of(ranks.job.folder, victim)) is None or saved.position < goal:
        assert time.monotonic() < end and ranks.processes[victim].is_alive(), "the rank did not come so far"
        time.sleep(0.002)
    time.sleep(later)
    ranks.processes[victim].kill()


def before(receipt: Any, position: tuple[int, int]) -> Any:
    """What a receipt has of steps before that: what was served after the last common state is served again."""
    epoch, step = position
    earlier = pc.less(receipt["epoch"], epoch)
    return receipt.filter(pc.or_(earlier, pc.and_(pc.equal(receipt["epoch"], epoch), pc.less(receipt["step"], step))))


def ids_of(pack: Path) -> list[str]:
    return [row["id"] for row in read_manifest(pack).to_pylist() if row["format"] == "webdataset"]
