"""Fingerprints: what an array is named by must not change, or runs that are finished would begin again."""

import numpy as np
import pytest

from sluice.table import ids
from sluice.table.ids import fingerprint


@pytest.mark.parametrize("shape", [(0,), (0, 4), (9,), (5, 4)])
@pytest.mark.parametrize("piece", [1, 8, 1 << 20])
def test_an_array_is_named_by_the_hexadecimal_digits_of_its_bytes(shape, piece, monkeypatch):
    monkeypatch.setattr(ids, "_PIECE", piece)
    hashes = np.random.default_rng(0).integers(0, 2**64, shape, dtype=np.uint64)
    for array in (hashes, hashes[::2], hashes[::-1]):
        assert fingerprint("set", array, "key") == fingerprint("set", array.tobytes().hex(), "key")


def test_the_name_of_an_array_is_what_it_was():
    assert fingerprint("set", np.arange(3, dtype=np.uint64)) == "7cd04dafc507f952"
