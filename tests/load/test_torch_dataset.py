"""The loader under torch's own DataLoader, with real worker processes."""

# pyright: reportMissingImports=false

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from sluice.errors import RunError
from sluice.load.decode import Pixels
from sluice.load.loader import Batch, Loader, Share

pytest.importorskip("torch", reason="needs the dependency group `models`: pip install --group models")

from torch.utils.data import DataLoader

from sluice.load.torch_dataset import TorchDataset, WorkerBatches


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


def test_workers_that_do_not_share_memory_open_the_loader_anew_where_it_is(packs: tuple[Path, Path]) -> None:
    """The way of Python 3.14 to start them, and of macOS."""
    loader = Loader({str(packs[0]): 2.0, str(packs[1]): 1.0}, 4, seed=3, window=8, decode=Pixels(8), rank=1, world=2)
    next(iter(loader))
    copy = pickle.loads(pickle.dumps(loader))
    assert copy.position == loader.position == (0, 1) and copy.state_dict() == loader.state_dict()
    assert loader.receipt().num_rows == 2 and copy.receipt().num_rows == 0
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "sluice.load.torch_dataset"])
    loaded = DataLoader(TorchDataset(loader), batch_size=None, num_workers=2, multiprocessing_context=context)
    assert [batch.ids for batch in loaded] == [batch.ids for batch in loader.batches(0, 1, Share(1, 2))]


def stateful(dataset: TorchDataset, workers: int) -> Any:
    torchdata = pytest.importorskip("torchdata.stateful_dataloader", reason="needs torchdata: pip install torchdata")
    return torchdata.StatefulDataLoader(dataset, batch_size=None, num_workers=workers)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("stop", [0, 1, 4, 6, 9])
def test_a_stateful_data_loader_goes_on_from_its_own_state(packs: tuple[Path, Path], workers: int, stop: int) -> None:
    alone = Loader(packs[0], 4, seed=3, window=8)
    whole = [(epoch, batch.step, batch.ids) for epoch in (0, 1) for batch in alone.batches(epoch, 0, Share())]
    before, after = (TorchDataset(Loader(packs[0], 4, seed=3, window=8)) for _ in range(2))
    loaded, resumed = stateful(before, workers), stateful(after, workers)
    served = list(islice(serving(before, loaded), stop))
    own, state = before.state_dict(), pickle.loads(pickle.dumps(loaded.state_dict()))
    if stop in (0, 6):  # at the end of an epoch only the dataset knows that it was served
        after.load_state_dict(own)
    resumed.load_state_dict(state)
    served += list(islice(serving(after, resumed), len(whole) - stop))
    assert [(batch.epoch, batch.step, batch.ids) for batch in served] == whole
    assert after.state_dict() == {**own, "epoch": 2, "step": 0}


def serving(dataset: TorchDataset, loaded: Any) -> Iterator[Batch]:
    """Epoch after epoch, as a trainer does."""
    while True:
        for batch in loaded:
            dataset.served(batch)
            yield batch


def test_a_state_of_other_workers_is_refused_and_says_what_goes_on_with_any_number(packs: tuple[Path, Path]) -> None:
    batches = WorkerBatches(Loader(packs[0], 4))
    with pytest.raises(RunError, match=r"one of 2 workers, not of 1: .* the state_dict\(\) of the dataset"):
        batches.load_state_dict({**batches.state_dict(), "workers": 2})
