"""One rank of a training under torch.distributed (gloo): it loads, tells the others, saves; its workers can be killed.

Every step the ranks put their parts of the global batch together; each saves its state and its receipt after it, as a
trainer saves a checkpoint. `SIGKILL` to a rank ends the others too, for they wait for it at the next step.
"""

# torch is an extra: checked with or without it
# pyright: reportMissingImports=false

from __future__ import annotations

import os
import pickle
import signal
import time
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.utils.data import DataLoader

from sluice.load.decode import Pixels
from sluice.load.fetching import Bad
from sluice.load.global_batches import BatchSettings
from sluice.load.image_tokens import Fixed
from sluice.load.loader import Batch, Loader
from sluice.load.torch_dataset import TorchDataset

Ids = tuple[str | None, ...]
_PATIENCE = timedelta(seconds=60)


@dataclass(frozen=True)
class Job:
    """What all ranks are told."""

    sources: Any
    batch: int | BatchSettings
    folder: Path  # where they save
    world: int
    workers: int
    state: dict[str, Any] | None = None
    epochs: int = 1
    kill_worker: dict[int, int] = field(default_factory=dict[int, int])  # of a rank, before it asks for this step
    pause: float = 0.0  # seconds a step takes


@dataclass(frozen=True)
class Saved:
    """What a rank had saved last."""

    state: dict[str, Any]
    receipt: Any  # a table
    batches: list[tuple[int, int, Ids]]  # the global batches that it saw
    bad: frozenset[Bad]  # of all ranks
    lives: int  # of its workers: 1, and 1 more for each time that one was killed
    done: bool

    @classmethod
    def of(cls, folder: Path, rank: int) -> Saved | None:
        """That of this rank, if there is one yet."""
        path = folder / f"{rank}.saved"
        return pickle.loads(path.read_bytes()) if path.exists() else None

    @property
    def position(self) -> tuple[int, int]:
        """The epoch and the step that come next."""
        return self.state["epoch"], self.state["step"]


def loader_of(job: Job, rank: int = 0, world: int = 1) -> Loader:
    """The loader of a rank."""
    tokens = None if isinstance(job.batch, int) else Fixed(4)
    return Loader(
        job.sources, job.batch, seed=9, window=24, image_tokens=tokens, decode=Pixels(8), rank=rank, world=world
    )


def run_rank(job: Job, rank: int) -> None:
    """Go on from the job's state to the end of its epochs."""
    torch.set_num_threads(1)
    store = f"file://{job.folder / 'meeting'}"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=job.world, timeout=_PATIENCE)
    _Rank(job, rank).go()
    dist.destroy_process_group()


class _Rank:
    def __init__(self, job: Job, rank: int) -> None:
        self.job, self.rank = job, rank
        self.batches: list[tuple[int, int, Ids]] = []
        self.bad: set[Bad] = set()
        self.dataset = self.restarted(job.state)
        self.lives = 1

    def restarted(self, state: dict[str, Any] | None) -> TorchDataset:
        dataset = TorchDataset(loader_of(self.job, self.rank, self.job.world))
        if state is not None:
            dataset.load_state_dict(state)
        return dataset

    def go(self) -> None:
        while self.dataset.loader.position[0] < self.job.epochs:
            try:
                self.epoch()
            except RuntimeError as error:
                if "DataLoader worker" not in str(error):
                    raise
                self.lives += 1  # the others wait at the next step
                saved = Saved.of(self.job.folder, self.rank)
                before = self.dataset.loader.receipt().num_rows
                self.dataset = self.restarted(saved.state if saved else self.job.state)
                assert before == (saved.receipt.num_rows if saved else 0), "a worker dies between two steps"
                self.earlier = saved.receipt if saved else None
        self.save(done=True)

    earlier: Any = None  # the receipt of the lives before

    def epoch(self) -> None:
        # by name: a process that a fork server made would ask that for its workers too, which then import all anew
        workers = DataLoader(
            self.dataset, batch_size=None, num_workers=self.job.workers, multiprocessing_context="fork"
        )
        batches = iter(workers)
        while True:
            if self.lives == 1 and self.job.kill_worker.get(self.rank) == self.dataset.loader.position[1]:
                _kill_a_worker(batches)
            batch = next(batches, None)
            ended: list[Any] = [None] * self.job.world
            dist.all_gather_object(ended, batch is None)
            assert len(set(ended)) == 1, f"some ranks have a step more than others: {ended}"
            if batch is None:
                return
            self.step(batch)

    def step(self, batch: Batch) -> None:
        told: list[Any] = [None] * self.job.world
        assert len(batch.values) == len(batch.ids) and all(pair.image.shape == (8, 8, 3) for pair in batch.values)
        dist.all_gather_object(told, (batch.epoch, batch.step, batch.ids, batch.sequences, batch.bad))
        assert {one[:2] for one in told} == {(batch.epoch, batch.step)}
        self.batches.append((batch.epoch, batch.step, tuple(id for one in told for id in one[2])))
        self.bad.update(bad for one in told for bad in one[4])
        time.sleep(self.job.pause)
        self.dataset.served(batch)
        self.save()

    def save(self, done: bool = False) -> None:
        receipt = self.dataset.loader.receipt()
        if self.earlier is not None:
            import pyarrow as pa

            receipt = pa.concat_tables([self.earlier, receipt])
        saved = Saved(self.dataset.state_dict(), receipt, self.batches, frozenset(self.bad), self.lives, done)
        path = self.job.folder / f"{self.rank}.saved"
        path.with_suffix(".new").write_bytes(pickle.dumps(saved))
        path.with_suffix(".new").replace(path)


def _kill_a_worker(batches: Any) -> None:
    """And wait until torch has told: so the rank is not in the middle of a step."""
    os.kill(batches._workers[0].pid, signal.SIGKILL)
    for _ in range(600):
        time.sleep(0.1)
    raise AssertionError("torch did not say that a worker was killed")
