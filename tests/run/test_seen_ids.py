"""Ids seen before, against a set; digests that end in zero bytes are like any other."""

from hypothesis import given
from hypothesis import strategies as st

from sluice.run.seen_ids import SeenIds

DIGESTS = st.one_of(
    st.integers(0, 40).map(lambda number: number.to_bytes(16, "little")),
    st.integers(0, 40).map(lambda number: number.to_bytes(16, "big")),
)


@given(st.lists(st.lists(DIGESTS, max_size=12), max_size=20), st.integers(1, 9))
def test_what_was_seen_is_what_a_set_says(pieces, fresh):
    seen, oracle = SeenIds(fresh), set()
    for piece in pieces:
        seen.settle()
        known = seen.among(piece)
        assert known == [digest in oracle for digest in piece]
        for digest, taken in zip(piece, known, strict=True):
            assert taken or seen.add(digest) == (digest not in oracle)
            oracle.add(digest)
