"""Keys of texts: equal for equal ones, whatever their lengths, nulls and slices."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from sluice.table.keys import Repeated, among_keys, text_keys

HEX = st.text("0123456789abcdef", min_size=32, max_size=32)


@given(st.lists(st.one_of(HEX, st.text(max_size=40)), max_size=30), st.integers(0, 5))
def test_equal_texts_have_equal_keys_wherever_they_stand(texts, start):
    whole = text_keys(pa.array(texts, pa.string()).slice(start))
    alone = [text_keys(pa.array([text, "other"], pa.string()))[0] for text in texts[start:]]
    of_equal = dict(zip(texts[start:], whole.tolist(), strict=True))
    assert [of_equal[text] for text in texts[start:]] == whole.tolist()
    for text, key in zip(texts[start:], alone, strict=True):
        assert int(key) == of_equal[text], text


@given(st.lists(st.lists(HEX, min_size=1, max_size=8), max_size=5))
def test_ids_that_differ_early_have_keys_of_their_own(pieces):
    repeated = Repeated()
    for piece in pieces:
        repeated.add(text_keys(pa.array(piece)))
    every = [text for piece in pieces for text in piece]
    found = repeated.keys()
    twice = {text for text in every if every.count(text) > 1}
    said = among_keys(text_keys(pa.array(every, pa.string())), found)
    assert all(flag for text, flag in zip(every, said, strict=True) if text in twice)
    once = [text for text in every if sum(other[:16] == text[:16] for other in every) == 1]
    assert not among_keys(text_keys(pa.array(once, pa.string())), found).any()


def test_a_key_of_a_column_of_one_length_is_that_of_a_mixed_one():
    long = "0123456789abcdef" * 2
    mixed = text_keys(pa.array([long, "short", None]))
    assert mixed[0] == text_keys(pa.array([long]))[0]
    assert text_keys(pa.array([], pa.string())).dtype == np.uint64
