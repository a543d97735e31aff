"""What balancing did to each kind of sample: how many there were, how many were drawn, what an epoch sees of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Sums = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

_SHOWN: Final = 20  # groups of a kind that are named: the largest


@dataclass(frozen=True)
class Kind:
    """One way to group the samples: the pairs of a sample's row and its group; a sample may be in several."""

    name: str  # a column, or concepts, clusters, tiers
    row: Indices
    group: Indices  # below 0: none
    names: Sequence[str]  # of the groups


def tally(kinds: Iterable[Kind], times: Indices, weight: npt.NDArray[np.float32]) -> list[dict[str, Any]]:
    """By kind its largest groups: samples before, samples drawn, and what an epoch sees: repeats times weight.

    >>> kind = Kind("tiers", np.arange(3), np.array([0, 1, 1]), ("best", "broad"))
    >>> tally([kind], np.array([2, 1, 0]), np.ones(3, np.float32))[0]["groups"]
    [['broad', 2, 1, 1.0], ['best', 1, 1, 2.0]]
    """
    return [_facts(kind, times, weight) for kind in kinds]


def _facts(kind: Kind, times: Indices, weight: npt.NDArray[np.float32]) -> dict[str, Any]:
    some = kind.group >= 0
    row, group = kind.row[some], kind.group[some]
    counted = (np.ones_like(times), times > 0, times * weight.astype(np.float64))
    sums = (np.bincount(group, of[row], minlength=len(kind.names)) for of in counted)
    before, drawn, epoch = (np.asarray(each, np.float64) for each in sums)
    by_size = np.lexsort((np.arange(len(before)), -before))
    by_size = by_size[before[by_size] > 0]
    shown, others = by_size[:_SHOWN], by_size[_SHOWN:]
    groups = [[kind.names[place], *_row(before, drawn, epoch, place)] for place in shown.tolist()]
    rest = [len(others), *_row(before, drawn, epoch, others)]
    return {"of": kind.name, "groups": groups, **({"others": rest} if len(others) else {})}


def _row(before: Sums, drawn: Sums, epoch: Sums, of: Any) -> tuple[int, int, float]:
    return int(before[of].sum()), int(drawn[of].sum()), round(float(epoch[of].sum()), 2)
