"""Tars on a disk are read ahead by the system: each once, in the order of their need, never more than there is room."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from sluice.load import disk_ahead
from sluice.load.cache import NoRoomError
from sluice.load.disk_ahead import DiskAhead
from sluice.load.folder import PackFolder
from sluice.load.loader import Loader
from sluice.load.store import StoppedError
from support.waiting import until

pytestmark = pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="this system takes no hints")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int]]:
    """What the system is told: file, offset, size; told it is."""
    real, seen = os.posix_fadvise, list[tuple[str, int, int]]()

    def advise(descriptor: int, offset: int, size: int, advice: int) -> None:
        assert advice == os.POSIX_FADV_WILLNEED
        seen.append((Path(os.readlink(f"/proc/self/fd/{descriptor}")).name, offset, size))
        real(descriptor, offset, size, advice)

    monkeypatch.setattr(os, "posix_fadvise", advise)
    return seen


def test_each_tar_is_read_ahead_once_in_the_order_of_its_first_need(
    packs: tuple[Path, Path], told: list[tuple[str, int, int]]
) -> None:
    loader = Loader(packs[0], 4, window=10, threads=0, ahead=1, format="webdataset")
    blocks = loader.folders[0].blocks
    for epoch in range(2):
        told.clear()
        served = 0
        for batch in loader:
            served += len(batch)
            until(lambda: len(told) == len(blocks), "all tars read ahead", 20)
        assert served == len(loader.folders[0])
        begins = 4, 0  # the step from 4 on was the last asked for when the first was served; then the next epoch
        samples = (loader._epoch(epoch + turn).locate(start, served) for turn, start in enumerate(begins))
        needed = dict.fromkeys(block for some in samples for block in some.blocks.tolist())
        assert [name for name, _, _ in told] == [Path(blocks[block].shard).name for block in needed]
        assert len(needed) == len(blocks) > 3


def test_nobody_waits_for_it_and_several_ranks_leave_it(
    packs: tuple[Path, Path], told: list[tuple[str, int, int]]
) -> None:
    batches = iter(Loader(packs[0], 4, threads=0, format="webdataset"))
    assert not told  # a first batch is not held up
    next(batches)
    until(lambda: told, "a tar read ahead", 20)
    told.clear()
    for loader in (
        Loader(packs[0], 4, threads=0, format="webdataset", rank=1, world=2),  # each would read all for a half
        Loader(packs[0], 4, threads=0, format="webdataset", downloads=0),
        Loader(packs[0], 4, threads=0, format="parquet"),  # whole row groups are read as it is
    ):
        assert sum(len(batch) for batch in loader)
    time.sleep(0.1)
    assert not told


def test_a_file_is_told_piece_by_piece_to_its_end(
    tmp_path: Path, told: list[tuple[str, int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_ahead, "_PIECE", 4096)
    (tmp_path / "a.tar").write_bytes(bytes(10_000))
    ahead = DiskAhead(tmp_path)
    for _ in range(2):
        ahead.fetch_ahead("a.tar", {}, lambda: False)
    assert told == [("a.tar", 0, 4096), ("a.tar", 4096, 4096), ("a.tar", 8192, 4096)]
    with pytest.raises(StoppedError):
        DiskAhead(tmp_path).fetch_ahead("a.tar", {}, lambda: True)
    with pytest.raises(FileNotFoundError):  # who reads it says so
        ahead.fetch_ahead("b.tar", {}, lambda: False)


def test_what_is_needed_sooner_stays_in_memory(tmp_path: Path, told: list[tuple[str, int, int]]) -> None:
    for name in "abc":
        (tmp_path / name).write_bytes(bytes(1_000))
    ahead = DiskAhead(tmp_path)
    ahead._most = 2_500
    needs = {ahead.cached_as(name): at for at, name in enumerate("abc")}
    ahead.fetch_ahead("a", needs, lambda: False)
    ahead.fetch_ahead("b", needs, lambda: False)
    with pytest.raises(NoRoomError):
        ahead.fetch_ahead("c", needs, lambda: False)
    del needs[ahead.cached_as("a")]  # read, and needed no more
    ahead.fetch_ahead("c", needs, lambda: False)
    assert [name for name, _, _ in told] == ["a", "b", "c"]


def test_only_tars_on_a_disk_are(packs: tuple[Path, Path]) -> None:
    assert DiskAhead.of(PackFolder(packs[0], format="webdataset"))
    assert DiskAhead.of(PackFolder(packs[0], format="parquet")) is None
