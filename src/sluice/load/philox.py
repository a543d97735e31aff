"""Philox4x32-10 (Salmon and others, 2011): random bits as a pure function of a key and a counter.

Ours, and not a library's, so that an order written today is the order read in ten years: only exact integer
arithmetic is used, the same on every platform and with every NumPy.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

Words: TypeAlias = npt.NDArray[np.uint64]

_ROUNDS: Final = 10
_MULTIPLY: Final = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_STEP: Final = (0x9E3779B9, 0xBB67AE85)
_LOW: Final = np.uint64(0xFFFFFFFF)
_HALF: Final = np.uint64(32)
_WORD: Final = 2**32
_KEYS: Final = 2**64


def blocks(counters: tuple[Words, Words, Words, Words], key: int) -> tuple[Words, Words, Words, Words]:
    """The four 32-bit outputs for each counter of four 32-bit words; all are held in 64 bits.

    >>> zero = np.zeros(1, np.uint64)
    >>> [f"{int(word[0]):08x}" for word in blocks((zero, zero, zero, zero), 0)]
    ['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8']
    """
    first, second, third, fourth = counters
    low, high = key % _WORD, key // _WORD % _WORD
    for _ in range(_ROUNDS):
        one, two = first * _MULTIPLY[0], third * _MULTIPLY[1]
        first, second, third, fourth = (
            (two >> _HALF) ^ second ^ np.uint64(low),
            two & _LOW,
            (one >> _HALF) ^ fourth ^ np.uint64(high),
            one & _LOW,
        )
        low, high = (low + _STEP[0]) % _WORD, (high + _STEP[1]) % _WORD
    return first, second, third, fourth


def words(key: int, count: int) -> Words:
    """The first `count` 64-bit words under `key`.

    >>> words(7, 3).tolist() == words(7, 5)[:3].tolist()
    True
    """
    index = np.arange((count + 1) // 2, dtype=np.uint64)
    zero = np.zeros_like(index)
    first, second, third, fourth = blocks((index & _LOW, index >> _HALF, zero, zero), key)
    pairs = np.stack([first << _HALF | second, third << _HALF | fourth], axis=1)
    return pairs.reshape(-1)[:count]


def derive(key: int, *place: int) -> int:
    """The key of a place below `key`: of an epoch, of a source in it, of a window in that.

    >>> derive(1, 2, 3) == derive(derive(1, 2), 3) != derive(1, 3, 2)
    True
    """
    for number in place:
        if number < 0:
            raise ValueError(f"a place is counted from 0, not {number}")
        counter = tuple(np.array([part], np.uint64) for part in (number % _WORD, number // _WORD % _WORD, 1, 0))
        first, second, _, _ = blocks((counter[0], counter[1], counter[2], counter[3]), key)
        key = (int(first[0]) << 32 | int(second[0])) % _KEYS
    return key


def permutation(key: int, count: int) -> npt.NDArray[np.int64]:
    """The numbers below `count` in a random order: those of their words; equal ones in their own.

    >>> sorted(permutation(3, 5).tolist())
    [0, 1, 2, 3, 4]
    """
    return np.argsort(words(key, count), kind="stable").astype(np.int64)


def uniform(key: int, count: int) -> npt.NDArray[np.float64]:
    """Numbers from 0 to below 1, each a multiple of 2^-53: exact, so the same everywhere.

    >>> bool((uniform(1, 100) < 1).all())
    True
    """
    return (words(key, count) >> np.uint64(11)).astype(np.float64) * 2.0**-53
