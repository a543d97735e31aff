"""Measures of a user's own that misbehave on the images whose bytes say so."""

import ctypes
import time

import pyarrow as pa

from sluice import data, header, measure


@measure("bad.nerves", version=1, reads=[data(), header()], writes={"nerves": pa.int32()})
def nerves(batch):
    for encoded in batch.bytes:
        if b"SEGFAULT" in encoded:
            ctypes.string_at(0)
        if b"HANG" in encoded:
            time.sleep(600)
        if b"RAISE" in encoded:
            raise ValueError("I do not like this one")
        if b"EAT" in encoded:
            bytearray(2**40)
    return {"nerves": [len(encoded) for encoded in batch.bytes]}
