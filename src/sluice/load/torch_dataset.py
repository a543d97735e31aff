"""The loader under `torch.utils.data.DataLoader`: its workers share the steps, torch carries the batches across.

dataset = TorchDataset(Loader("runs/demo", 256, rank=rank, world=world, decode=Pixels(224)))
for batch in DataLoader(dataset, batch_size=None, num_workers=4):
    ...
    dataset.served(batch)     # only the trainer knows which batch it has had
"""

# torch is an extra: checked with or without it
# pyright: reportMissingImports=false, reportUntypedBaseClass=false

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sluice.errors import MissingExtraError
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
        info = get_worker_info()
        worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
        epoch, first = self.loader.position
        # Worker 0 is asked first, whatever the step: so the steps are dealt out from the one that comes next.
        share = Share(self.loader.share.rank, self.loader.share.world, (first + worker) % workers, workers)
        yield from self.loader.batches(epoch, first, share)

    def served(self, batch: Batch) -> None:
        """Say that the trainer has had `batch`: the state moves on, the receipt has it."""
        self.loader.served(batch)

    def state_dict(self) -> dict[str, Any]:
        """That of the loader."""
        return self.loader.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """That of the loader."""
        self.loader.load_state_dict(state)
