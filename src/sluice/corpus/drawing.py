"""Drawing a seeded sample: by a hash of what each row is, so neither order nor place decides who is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
import numpy.typing as npt


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
