"""The journal: what is read of a note that a kill cut off, or that is being written, is never nonsense."""

import itertools
import struct
import subprocess
import sys
import time

import pytest

from sluice.engine.journal import Journal

NOTES = [None, (0, 1), (1, 2), (5, 6), (0, 16), (16, 32), (40, 41)]


def note(journal, positions):
    if positions is None:
        journal.clear()
    else:
        journal.mark(*positions)


@pytest.mark.parametrize(("before", "after"), [*itertools.permutations(NOTES, 2)])
@pytest.mark.parametrize("fields", [1, 2])
def test_a_note_cut_off_between_two_fields_is_read_as_something_true(tmp_path, before, after, fields):
    journal = Journal(tmp_path / "journal")
    started = time.monotonic()
    note(journal, before)
    old = (tmp_path / "journal").read_bytes()
    note(journal, after)
    new = (tmp_path / "journal").read_bytes()
    size = struct.calcsize("q")
    torn = tmp_path / "torn"
    torn.write_bytes(new[: fields * size] + old[fields * size :])
    entry = Journal(torn).read()
    assert entry.since >= started, "never a time before the position was in hand"
    if before is None:
        assert entry.low < 0, "nothing was in hand, and the next not quite"
    else:
        assert (entry.low, entry.low < entry.high) == (before[0], True)


def test_what_is_noted_is_read(tmp_path):
    journal, reader = (Journal(tmp_path / "journal") for _ in range(2))
    assert reader.read().low < 0
    journal.mark(3)
    assert (reader.read().low, reader.read().high) == (3, 4)
    journal.mark(3, 9)
    assert (reader.read().low, reader.read().high) == (3, 9)
    journal.clear()
    assert reader.read().low < 0


WRITES = """
import sys
from pathlib import Path
from sluice.engine.journal import Journal

journal = Journal(Path(sys.argv[1]))
print(flush=True)
number = 7
while True:
    journal.mark(number)
    journal.mark(number, number + 16)
    journal.clear()
    number += 1
"""


def test_a_note_that_is_being_written_is_read_as_something_true(tmp_path):
    journal, started = Journal(tmp_path / "journal"), time.monotonic()
    with subprocess.Popen([sys.executable, "-c", WRITES, str(journal.path)], stdout=subprocess.PIPE) as writer:
        try:
            assert writer.stdout and writer.stdout.readline()
            newest = 0
            for _ in range(300_000):
                entry = journal.read()
                assert entry.since >= started
                assert entry.low == -1 or newest <= entry.low < entry.high
                newest = max(newest, entry.low)
        finally:
            writer.kill()
    assert newest > 1_000
