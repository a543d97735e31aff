"""What a worker has finished: whole pieces come back, whatever a death or a full disk did to the last."""

import os
import resource
import signal
import time

import pytest

from sluice.engine.spool import Spool

PIECES = [{"row": 1, "values": [None, 2.5, "word"]}, "x" * 5000, (1, 2, 3)]


@pytest.fixture
def descriptor(tmp_path):
    handle = os.open(tmp_path / "spool", os.O_RDWR | os.O_CREAT)
    yield handle
    os.close(handle)


def filled(descriptor):
    """The spool with all pieces in it, and where each ends."""
    spool, ends = Spool(descriptor), []
    spool.read(every=0.0)
    for piece in PIECES:
        spool.add(piece)
        ends.append(os.fstat(descriptor).st_size)
    return spool, ends


def test_what_was_added_comes_back_in_order(descriptor):
    filled(descriptor)
    assert Spool(descriptor).read() == PIECES


def test_a_piece_cut_off_anywhere_is_dropped_and_the_next_takes_its_place(descriptor):
    _, ends = filled(descriptor)
    data = os.pread(descriptor, ends[-1], 0)
    for size in range(0, ends[-1], 7):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, data[:size], 0)
        whole = PIECES[: sum(end <= size for end in ends)]
        spool = Spool(descriptor)
        assert spool.read(every=0.0) == whole
        spool.add("next")
        assert Spool(descriptor).read() == [*whole, "next"]


def test_a_damaged_piece_ends_what_is_read(descriptor):
    _, ends = filled(descriptor)
    os.pwrite(descriptor, b"?", ends[0] + 100)
    assert Spool(descriptor).read() == PIECES[:1]


def test_a_full_disk_costs_the_pieces_that_had_no_room_and_nothing_else(descriptor):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    spool = Spool(descriptor)
    spool.read(every=0.0)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, hard))
    try:
        for piece in PIECES:
            spool.add(piece)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert spool.read(every=0.0) == PIECES[:1]
    spool.add("next")
    assert Spool(descriptor).read() == [PIECES[0], "next"]


def test_a_cleared_spool_is_empty_and_takes_no_room(descriptor):
    spool, _ = filled(descriptor)
    spool.clear()
    assert (os.fstat(descriptor).st_size, spool.read()) == (0, [])


def test_pieces_wait_for_each_other_and_are_written_as_one(descriptor):
    spool = Spool(descriptor)
    spool.read(every=0.2)
    spool.add(1)
    spool.add(2)
    assert Spool(descriptor).read() == []
    time.sleep(0.2)
    spool.add(3)
    assert Spool(descriptor).read() == [1, 2, 3]
