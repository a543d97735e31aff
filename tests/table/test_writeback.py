"""A file that the disk was told to begin with is the same file."""

import os

import pytest

from sluice.pack import receipt
from sluice.pack.receipt import HashedFile
from sluice.table import writeback


@pytest.mark.parametrize("known", [True, False], ids=["as it is here", "where there is no such call"])
def test_a_file_that_the_disk_begins_early_is_the_same(tmp_path, monkeypatch, known):
    if not known:
        monkeypatch.setattr(writeback, "_sync_file_range", lambda: None)
    told: list[tuple[int, int]] = []

    def begin(descriptor: int, offset: int, size: int) -> None:
        told.append((offset, size))
        assert os.fstat(descriptor).st_size >= offset + size  # what is not written cannot be begun
        writeback.begin_writing(descriptor, offset, size)

    monkeypatch.setattr(receipt, "begin_writing", begin)
    monkeypatch.setattr(receipt, "_BEGUN", 1_000_000)
    pieces = [os.urandom(size) for size in (300_000, 7, 700_000, 2_500_000, 10, 999_999, 1)]
    with HashedFile(tmp_path / "shard") as file:
        for piece in pieces:
            file.write(piece)
    assert (tmp_path / "shard").read_bytes() == b"".join(pieces)
    assert told == [(0, 1_000_007), (1_000_007, 2_500_000), (3_500_007, 1_000_009)]  # none twice, none left between


def test_a_descriptor_that_cannot_be_written_so_is_no_trouble():
    reading, writing = os.pipe()
    writeback.begin_writing(writing, 0, 10)
    os.close(reading)
    os.close(writing)
