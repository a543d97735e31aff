"""Seeded draws that depend on a sample's id alone: no order, no worker and no other sample has a say."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.uint64]

_PERSON: Final = b"sluice.draw"


def keys(names: Iterable[str], seed: int) -> Keys:
    """A 64-bit number for each name: its seeded hash. The smallest keys are a random choice of the names.

    >>> keys(["a", "b"], 0)[0] == keys(["b", "a"], 0)[1]
    np.True_
    """
    seeded = blake2b(str(seed).encode(), digest_size=8, person=_PERSON)
    digests = bytearray()
    for name in names:
        one = seeded.copy()
        one.update(b"\0" + name.encode())
        digests += one.digest()
    return np.frombuffer(bytes(digests), "<u8").astype(np.uint64)


def uniform(key: Keys) -> npt.NDArray[np.float64]:
    """The keys as numbers in [0, 1).

    >>> uniform(np.array([0, 2**63], np.uint64)).tolist()
    [0.0, 0.5]
    """
    return (key >> np.uint64(11)).astype(np.float64) * 2.0**-53


def mixed(a: Keys, b: Keys) -> Keys:
    """A new key for each pair of keys: one draw a pair, as good as independent (the finaliser of SplitMix64)."""
    x = a ^ (b * np.uint64(0x9E3779B97F4A7C15))
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
