"""How much of what a batch costs is padding: tokens that are computed and teach nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Numbers: TypeAlias = npt.NDArray[np.int64]


def padding_waste(batches: Iterable[Sequence[Numbers]], lengths: Numbers, width: int | None = None) -> float:
    """The share of all tokens in `batches` that is padding, 0 to 1.

    A batch is a list of sequences, a sequence the places of its samples in `lengths`. Each sequence is filled up to
    `width` tokens, as packed ones are, or else to the longest of its batch.

    >>> padding_waste([[np.array([0]), np.array([1])]], np.array([8, 4]))
    0.25
    """
    used = room = 0
    for batch in batches:
        filled = [int(lengths[sequence].sum()) for sequence in batch]
        used += sum(filled)
        room += len(filled) * (max(filled, default=0) if width is None else width)
    return 1 - used / room if room else 0.0
