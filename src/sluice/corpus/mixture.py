"""Mixtures: which share each group is to have, and the quota or the weight that gives it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sluice.corpus.caps import ranks
from sluice.corpus.draws import Keys, mixed

Counts = npt.NDArray[np.int64]
Indices = npt.NDArray[np.int64]
Shares = npt.NDArray[np.float64]


def shares_of(weights: Sequence[float]) -> Shares:
    """Weights as shares that sum to 1.

    >>> shares_of([3, 1]).tolist()
    [0.75, 0.25]
    """
    given = np.asarray(weights, np.float64)
    return given / given.sum()


def tempered(counts: Counts, temperature: float) -> Shares:
    """Shares in proportion to count ** (1 / temperature): 1 leaves them as they are, more makes them more equal.

    >>> tempered(np.array([900, 100]), 2).round(3).tolist()
    [0.75, 0.25]
    """
    logs = np.log(np.maximum(counts, 1)) / temperature
    raised = np.where(counts > 0, np.exp(logs - logs.max(initial=0)), 0.0)
    return raised / raised.sum() if raised.any() else raised


def quotas(counts: Counts, shares: Shares, size: int | None = None, repeats: int = 1) -> Counts:
    """How many samples of each group make the largest set (of at most `size`) that has these shares.

    A sample may be in the set up to `repeats` times; without `size`, no more are repeated than it takes to use all.
    Rounded down, so each share is met to within one sample of a group.

    >>> quotas(np.array([900, 100]), shares_of([1, 1])).tolist()
    [100, 100]
    >>> quotas(np.array([900, 100]), shares_of([1, 1]), repeats=4).tolist()
    [400, 400]
    """
    asked = shares > 0
    if not asked.any():
        return np.zeros(len(counts), np.int64)
    sizes = counts[asked] / shares[asked]  # of the sets that use up each group once
    whole = min(float(sizes.min() * repeats), float(sizes.max()) if size is None else float(size))
    return np.minimum(np.floor(whole * shares + 1e-9).astype(np.int64), counts * repeats)


def taken(groups: Indices, key: Keys, times: Indices, quota: Counts) -> Indices:
    """How often each row is taken so that each group is taken `quota` times in all; `times`: how often before.

    Each of those times is drawn for itself, by ascending key; where the quota is more than there are, all are taken,
    some once more than others.

    >>> key, once = np.array([2, 1, 4, 3], np.uint64), np.ones(4, np.int64)
    >>> taken(np.array([0, 0, 1, 1]), key, once, np.array([1, 5])).tolist()
    [0, 1, 2, 3]
    """
    row = np.repeat(np.arange(len(groups)), times)
    turn = np.arange(len(row)) - np.repeat(np.cumsum(times) - times, times)  # which of its row's times
    of, luck = groups[row], np.where(turn > 0, mixed(key[row], turn.astype(np.uint64)), key[row])
    whole, rest = np.divmod(quota, np.maximum(np.bincount(of, minlength=len(quota)), 1))
    again = whole[of] + (ranks(of, luck) < rest[of])
    return np.bincount(row, again, minlength=len(groups)).astype(np.int64)


def importance(counts: Counts, shares: Shares) -> Shares:
    """The weight of a sample of each group with which all samples together have these shares; they average 1.

    >>> importance(np.array([900, 100]), shares_of([1, 1])).round(3).tolist()
    [0.556, 5.0]
    """
    total = counts.sum()
    return np.divide(shares * total, counts, out=np.zeros(len(counts)), where=counts > 0)
