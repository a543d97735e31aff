"""Bodies within bounds: what is unpacked never passes its limit by more than a piece, whatever was packed."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.web.answer import FetchFailure
from sluice.web.body import _PIECE, Body, unpacker


@given(st.binary(max_size=3000), st.integers(1, 600), st.sampled_from(["gzip", "deflate", "identity", None]))
def test_what_was_packed_comes_back_however_it_is_cut(data, step, encoding):
    pack = {"gzip": gzip.compress, "deflate": zlib.compress}.get(encoding or "", bytes)
    sent, unpack = pack(data), unpacker(encoding, 10_000)
    got = b"".join(piece for at in range(0, len(sent), step) for piece in unpack(sent[at : at + step]))
    assert got == data and not unpack.unfinished


@given(st.integers(0, 2**22), st.integers(1, 2**20))
def test_no_more_than_a_piece_is_unpacked_past_the_limit(size, limit):
    unpack = unpacker("gzip", limit)
    total = sum(map(len, unpack(gzip.compress(bytes(size), 1))))
    assert total <= limit + _PIECE and (total == size or total > limit)


@pytest.mark.parametrize("encoding", ["br", "gzip, gzip", "zstd", "x" * 999])
def test_an_encoding_nobody_asked_for_is_refused(encoding):
    with pytest.raises(FetchFailure, match="not asked for"):
        unpacker(encoding, 1)


@pytest.mark.parametrize("size", [0, 100, 256 * 2**10, 256 * 2**10 + 1, 3 * 2**20])
def test_a_long_body_waits_on_the_disk_and_reads_the_same(size, tmp_path):
    body = Body(tmp_path)
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    for at in range(0, size, 100_000):
        body.add(data[at : at + 100_000])
    assert b"".join(body.pieces()) == data and body.size == size
    assert list(tmp_path.iterdir()) == [], "its file has no name"
    body.close()
