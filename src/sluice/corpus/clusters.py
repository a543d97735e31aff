"""From near pairs to clusters: stars (every member near its keeper) or components (chains included)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from sluice.corpus.hamming import Distances, Hashes, Indices, Pairs
from sluice.table.arrays import distinct_numbers

EXACT_DIAMETER: Final = 2_048  # members: up to it all pairs are compared, beyond it the diameter is a bound
_CHUNK: Final = 1 << 20  # pairs taken into Python at a time


def stars(order: Indices, pairs: Pairs, n: int) -> tuple[Indices, Distances]:
    """Each node's keeper (itself where it is kept) and its distance to it in bits, by greedy star clustering.

    `order` gives each of the `n` nodes its priority, all different, lower is better. The best node not yet in a
    cluster keeps itself and takes in its neighbours which are in none, so every member is a near pair with its keeper.

    >>> chain = Pairs(np.array([0, 1, 2]), np.array([1, 2, 3]), np.array([5, 6, 7], np.uint8))
    >>> stars(np.array([0, 1, 2, 3]), chain, 4)
    (array([0, 0, 2, 2]), array([0, 5, 0, 7], dtype=uint8))
    """
    swap = order[pairs.a] > order[pairs.b]
    better, worse = np.where(swap, pairs.b, pairs.a), np.where(swap, pairs.a, pairs.b)
    by_priority = np.argsort(order[better], kind="stable")
    better, worse, distance = better[by_priority], worse[by_priority], pairs.distance[by_priority]
    # When a node's first pair as the better one comes up, all its betters have had their turn: its fate is known.
    taken = bytearray(n)
    for start in range(0, better.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        for node, neighbour in zip(better[part].tolist(), worse[part].tolist(), strict=True):
            if not taken[node]:
                taken[neighbour] = 1
    keeps = np.frombuffer(taken, np.uint8)[better] == 0
    better, worse, distance = better[keeps][::-1], worse[keeps][::-1], distance[keeps][::-1]
    keeper, bits = np.arange(n), np.zeros(n, np.uint8)
    keeper[worse], bits[worse] = better, distance  # the last assignment stays: the best keeper, who came first
    return keeper, bits


def components(pairs: Pairs, n: int) -> Indices:
    """The connected component of each node, named by its smallest node.

    >>> components(Pairs(np.array([1, 2]), np.array([2, 4]), np.array([3, 3], np.uint8)), 5)
    array([0, 1, 1, 3, 1])
    """
    return connected(pairs.a, pairs.b, n)


def connected(a: Indices, b: Indices, n: int) -> Indices:
    """The connected component of each of `n` nodes over the links `a[i] - b[i]`, named by its smallest node."""
    label = np.arange(n)
    a, b = a[a != b], b[a != b]
    linked = distinct_numbers(np.concatenate([a, b]))
    while a.size:
        one, other = label[a], label[b]
        apart = one != other
        a, b, one, other = a[apart], b[apart], one[apart], other[apart]
        # Roots alone are linked, always to a smaller one: no cycle can arise.
        np.minimum.at(label, np.maximum(one, other), np.minimum(one, other))
        while not np.array_equal(label[linked], up := label[label[linked]]):
            label[linked] = up
    return label


@dataclass(frozen=True)
class Diameters:
    """The clusters of two or more, by keeper: `size` in members and `diameter` in bits.

    Where `exact` is false the cluster has more than `EXACT_DIAMETER` members and its diameter is a bound: twice the
    largest distance to the keeper.
    """

    keeper: Indices
    size: Indices
    diameter: Distances
    exact: npt.NDArray[np.bool_]


def diameters(hashes: Hashes, keeper: Indices) -> Diameters:
    """How far apart, in bits, the two most different members of each cluster are.

    >>> diameters(np.array([0b0, 0b1, 0b110, 0b1000], np.uint64), np.array([0, 0, 0, 3]))
    Diameters(keeper=array([0]), size=array([3]), diameter=array([3], dtype=uint8), exact=array([ True]))
    """
    followed = distinct_numbers(keeper[keeper != np.arange(keeper.size)])
    place = np.flatnonzero(np.isin(keeper, followed))
    place = place[np.argsort(keeper[place], kind="stable")]
    cluster = np.searchsorted(followed, keeper[place])
    size = np.bincount(cluster, minlength=followed.size)
    exact = size <= EXACT_DIAMETER
    radius = np.zeros(followed.size, np.uint8)
    np.maximum.at(radius, cluster, np.bitwise_count(hashes[place] ^ hashes[keeper[place]]))
    diameter = np.where(exact, 0, np.minimum(64, radius.astype(np.int16) * 2)).astype(np.uint8)
    place, cluster = place[exact[cluster]], cluster[exact[cluster]]
    first = np.arange(place.size)
    for shift in range(1, int(size[exact].max(initial=1))):
        first = first[: np.searchsorted(first, place.size - shift)]
        first = first[cluster[first] == cluster[first + shift]]
        bits = np.bitwise_count(hashes[place[first]] ^ hashes[place[first + shift]])
        np.maximum.at(diameter, cluster[first], bits)
    return Diameters(followed, size, diameter, exact)
