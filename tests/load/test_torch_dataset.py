"""The loader under torch's own DataLoader, with real worker processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from sluice.load.loader import Loader, Share

pytest.importorskip("torch", reason="needs the dependency group `models`: pip install --group models")

from torch.utils.data import DataLoader

from sluice.load.torch_dataset import TorchDataset


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_share_the_steps_and_a_state_goes_on_with_other_workers(packs: tuple[Path, Path], workers: int) -> None:
    whole = [batch.ids for batch in Loader(packs[0], 4, seed=3, window=8).batches(0, 0, Share())]
    first = TorchDataset(Loader(packs[0], 4, seed=3, window=8))
    served = []
    for batch in DataLoader(first, batch_size=None, num_workers=workers):
        served.append(batch.ids)
        first.served(batch)
        if len(served) == 3:  # the workers are ahead by now; the state is not
            break
    second = TorchDataset(Loader(packs[0], 4, seed=3, window=8))
    second.load_state_dict(first.state_dict())
    served += [batch.ids for batch in DataLoader(second, batch_size=None, num_workers=3 - workers)]
    assert served == whole
