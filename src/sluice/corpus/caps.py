"""Hard caps: at most so many samples of a group, the ones with the smallest keys."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sluice.corpus.draws import Keys

Mask = npt.NDArray[np.bool_]
Groups = npt.NDArray[np.int64]


def ranks(groups: Groups, key: Keys) -> Groups:
    """The place of each row among those of its group by ascending key, from 0.

    >>> ranks(np.array([0, 1, 0]), np.array([9, 5, 2], np.uint64)).tolist()
    [1, 0, 0]
    """
    order = np.lexsort((key, groups))
    of = groups[order]
    starts = np.flatnonzero(np.r_[True, of[1:] != of[:-1]]) if len(of) else np.zeros(0, np.int64)
    place = np.empty(len(groups), np.int64)
    place[order] = np.arange(len(groups)) - np.repeat(starts, np.diff(np.r_[starts, len(of)]))
    return place


def capped(groups: Groups, key: Keys, cap: int) -> Mask:
    """Which rows stay when no group may have more than `cap`; a row without a group (-1) stays.

    A larger cap keeps all that a smaller one keeps.

    >>> capped(np.array([0, 0, 0, -1, -1]), np.array([3, 1, 2, 0, 0], np.uint64), 1).tolist()
    [False, True, False, True, True]
    """
    return (ranks(groups, key) < cap) | (groups < 0)
