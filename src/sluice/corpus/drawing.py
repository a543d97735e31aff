"""Drawing a seeded sample: by a hash of what each row is, so neither order nor place decides who is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sluice.table.compute import pc

_ID: Final = 32  # bytes of an id's text


def draw_keys(purpose: str, seed: int, *columns: Sequence[object]) -> npt.NDArray[np.uint64]:
    """A number for each row of `columns`; the rows with the least are the sample. Each `purpose` draws anew.

    >>> one, other = draw_keys("x", 0, ["a", "b"], [0, 1]), draw_keys("x", 0, ["b", "a"], [1, 0])
    >>> one.tolist() == other.tolist()[::-1]
    True
    """
    drawn = blake2b(f"{purpose}\0{seed}".encode(), digest_size=8)
    keys = np.empty(len(columns[0]), np.uint64)
    for row, values in enumerate(zip(*columns, strict=True)):
        one = drawn.copy()
        one.update("\0".join(map(str, values)).encode("utf-8", "surrogatepass"))
        keys[row] = int.from_bytes(one.digest(), "little")
    return keys


def draw_rows(purpose: str, seed: int, ids: pa.ChunkedArray, *places: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """What `draw_keys` gives, of many rows at once: `ids` are those of samples, `places` numbers in them.

    An id is a hash already: its bits need only be mixed (by the last step of SplitMix64) with the rest.

    >>> ids = pa.chunked_array([["d8dba3745b5d15ab73320909cf4d6343"] * 2])
    >>> len(set(draw_rows("x", 0, ids, np.array([0, 1])).tolist()))
    2
    """
    if not len(ids):
        return np.zeros(0, np.uint64)
    fixed = pc.cast(ids.combine_chunks(), pa.binary(_ID))
    words = np.frombuffer(fixed.buffers()[1], "<u8", offset=fixed.offset * _ID)[: len(ids) * _ID // 8]
    words = words.reshape(len(ids), -1).T
    start = blake2b(f"{purpose}\0{seed}".encode(), digest_size=8).digest()
    keys = np.full(len(ids), int.from_bytes(start, "little"), np.uint64)
    for word in (*words, *(place.astype(np.uint64) for place in places)):
        keys = _mixed(keys ^ word)
    return keys


def _mixed(bits: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Steele, Lea and Flood, *Fast Splittable Pseudorandom Number Generators* (2014), with Stafford's variant 13."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


def level(counts: Sequence[int], most: int) -> int:
    """How many of each group may be drawn so that all together are at most `most`: small groups are drawn whole.

    >>> level([1000, 30, 5], 100)
    65
    """
    left = most
    for place, count in enumerate(sorted(counts)):
        fair = left // (len(counts) - place)
        if count > fair:
            return fair
        left -= count
    return most
