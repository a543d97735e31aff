"""The loader under `torch.utils.data.DataLoader`: its workers share the steps, torch carries the batches across.

dataset = TorchDataset(Loader("runs/demo", 256, rank=rank, world=world, decode=Pixels(224)))
for batch in DataLoader(dataset, batch_size=None, num_workers=4):
    ...
    dataset.served(batch)     # only the trainer knows which batch it has had

torchdata's `StatefulDataLoader` works too. Its state goes on with as many workers as it had, the dataset's with any
number; after the last batch of an epoch only the dataset's knows that the next one comes.
"""

# torch is an extra: checked with or without it
# pyright: reportMissingImports=false, reportUntypedBaseClass=false

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from sluice.errors import MissingExtraError, RunError
from sluice.load.loader import Batch, Loader, Share

try:
    from torch.utils.data import IterableDataset, get_worker_info
except ImportError as error:
    raise MissingExtraError("a torch dataset", "train") from error


class TorchDataset(IterableDataset):
    """The rest of an epoch of `loader` as whole batches: give `DataLoader` `batch_size=None`."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Batch]:
        return WorkerBatches(self.loader)

    def served(self, batch: Batch) -> None:
        """Say that the trainer has had `batch`: the state moves on, the receipt has it."""
        self.loader.served(batch)

    def state_dict(self) -> dict[str, Any]:
        """That of the loader."""
        return self.loader.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """That of the loader."""
        self.loader.load_state_dict(state)


class WorkerBatches(Iterator[Batch]):
    """The batches of one worker, every so manieth step, or of the trainer's own process where there is none.

    Its state is how far the worker is, which the trainer's loader cannot know: `StatefulDataLoader` asks for it with
    each batch, and hands it back to the worker that takes the place of this one.
    """

    def __init__(self, loader: Loader) -> None:
        info = get_worker_info()
        worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
        self._loader = loader
        epoch, first = loader.position
        # Worker 0 is asked first, whatever the step: so the steps are dealt out from the one that comes next.
        self._begin(epoch, first, replace(loader.share, worker=(first + worker) % workers, workers=workers))

    def __next__(self) -> Batch:
        batch = next(self._batches)
        self._next = batch.step + 1
        return batch

    def state_dict(self) -> dict[str, Any]:
        """The epoch, the step from which the worker goes on, and which steps are its."""
        return {"epoch": self._epoch, "step": self._next, "worker": self._share.worker, "workers": self._share.workers}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on there; RunError where there were as many workers no more."""
        if state["workers"] != self._share.workers:
            raise RunError(
                f"this state is one of {state['workers']} workers, not of {self._share.workers}: give the DataLoader "
                "as many, or save the state_dict() of the dataset, which goes on with any number"
            )
        self._begin(state["epoch"], state["step"], replace(self._share, worker=state["worker"]))

    def _begin(self, epoch: int, first: int, share: Share) -> None:
        self._epoch, self._next, self._share = epoch, first, share
        self._batches = self._loader.batches(epoch, first, share)
