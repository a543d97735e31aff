"""Mixtures: which share each group is to have, and the quota or the weight that gives it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]
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


def quotas(counts: Counts, shares: Shares, size: int | None = None) -> Counts:
    """How many samples of each group make the largest set (of at most `size`) that has these shares.

    Rounded down, so each share is met to within one sample of a group.

    >>> quotas(np.array([900, 100]), shares_of([1, 1])).tolist()
    [100, 100]
    """
    asked = shares > 0
    if not asked.any():
        return np.zeros(len(counts), np.int64)
    most = float((counts[asked] / shares[asked]).min())
    whole = most if size is None else min(most, float(size))
    return np.minimum(np.floor(whole * shares + 1e-9).astype(np.int64), counts)


def importance(counts: Counts, shares: Shares) -> Shares:
    """The weight of a sample of each group with which all samples together have these shares; they average 1.

    >>> importance(np.array([900, 100]), shares_of([1, 1])).round(3).tolist()
    [0.556, 5.0]
    """
    total = counts.sum()
    return np.divide(shares * total, counts, out=np.zeros(len(counts)), where=counts > 0)
