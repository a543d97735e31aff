"""Drawing many rows at once."""

import numpy as np
import pyarrow as pa

from sluice.corpus.drawing import draw_rows
from sluice.table.ids import sample_id

IDS = [sample_id("photos", str(number)) for number in range(20_000)]


def test_neither_order_nor_pieces_decide_who_is_drawn():
    places = np.arange(len(IDS)) % 3
    keys = draw_rows("x", 7, pa.chunked_array([IDS[:50], IDS[50:]]), places)
    order = np.random.default_rng(0).permutation(len(IDS))
    shuffled = pa.chunked_array([["0" * 32, *np.array(IDS)[order]]]).slice(1)
    assert np.array_equal(draw_rows("x", 7, shuffled, places[order]), keys[order])


def test_keys_are_spread_evenly_and_another_seed_or_purpose_draws_anew():
    ids, places = pa.chunked_array([IDS]), np.zeros(len(IDS), np.int64)
    drawn = [
        draw_rows("x", 0, ids, places),
        draw_rows("x", 1, ids, places),
        draw_rows("y", 0, ids, places),
        draw_rows("x", 0, ids, places + 1),
    ]
    least = [keys < 2**62 for keys in drawn]  # a quarter
    for one in least:
        assert abs(one.mean() - 0.25) < 0.02
    for other in least[1:]:
        assert abs((least[0] & other).mean() - 0.0625) < 0.01
