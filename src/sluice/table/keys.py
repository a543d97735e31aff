"""Texts as 64-bit keys: what is equal has an equal key, and eight bytes each are held of a column of any size.

Unequal texts may share a key, so a key only picks out the few rows that are then compared as they are.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sluice.table.compute import pc

Keys: TypeAlias = npt.NDArray[np.uint64]

_FACTORS: Final = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F], np.uint64)
_WORD: Final = 8
_LETTERS: Final = 16  # of a text that its key is made of: of hexadecimal digits, 64 bits


def text_keys(column: pa.Array) -> Keys:
    """A key for each text of a column; for a null any.

    >>> keys = text_keys(pa.array(["0123456789abcdef0", "b", "0123456789abcdef0"]))
    >>> bool(keys[0] == keys[2]), bool(keys[0] == keys[1])
    (True, False)
    """
    if not len(column):
        return np.zeros(0, np.uint64)
    words = _same_length(column)
    if words is None:
        padded = pc.utf8_rpad(pc.utf8_slice_codeunits(pc.fill_null(column, ""), 0, _LETTERS), _LETTERS)
        encoded = pc.binary_slice(padded.cast(pa.binary()), 0, _LETTERS)
        words = _same_length(encoded)
        assert words is not None
    mixed = words * _FACTORS
    return mixed[:, 0] ^ (mixed[:, 1] >> np.uint64(29)) ^ (mixed[:, 1] << np.uint64(35))


def _same_length(column: pa.Array) -> npt.NDArray[np.uint64] | None:
    """The first sixteen bytes of each text as two words, where all are equally long and that long; else None."""
    width = np.dtype(np.int64 if pa.types.is_large_string(column.type) else np.int32)
    _, offsets, data = column.buffers()
    ends = np.frombuffer(offsets, width, len(column) + 1, column.offset * width.itemsize)
    length = int(ends[1] - ends[0])
    if length < _LETTERS or column.null_count or (np.diff(ends) != length).any():
        return None
    letters = np.frombuffer(data, np.uint8, length * len(column), int(ends[0])).reshape(len(column), length)
    return np.ascontiguousarray(letters[:, :_LETTERS]).view(np.uint64)


class Repeated:
    """Which keys come more than once, of columns given piece by piece; eight bytes a key are held."""

    def __init__(self) -> None:
        self._pieces: list[Keys] = []

    def add(self, keys: Keys) -> None:
        """Take in a piece."""
        self._pieces.append(keys)

    def keys(self) -> Keys:
        """The keys that came more than once, ascending; what was taken in is let go."""
        everything = np.concatenate([np.zeros(0, np.uint64), *self._pieces])
        self._pieces.clear()
        everything.sort()
        again = everything[1:][everything[1:] == everything[:-1]]
        return again[np.append(True, again[1:] != again[:-1])] if again.size else again


def among_keys(keys: Keys, sorted_keys: Keys) -> npt.NDArray[np.bool_]:
    """Which of `keys` are among others, which ascend.

    >>> among_keys(np.array([5, 7], np.uint64), np.array([7, 9], np.uint64)).tolist()
    [False, True]
    """
    if not sorted_keys.size:
        return np.zeros(keys.size, np.bool_)
    place = np.minimum(np.searchsorted(sorted_keys, keys), sorted_keys.size - 1)
    return sorted_keys[place] == keys
