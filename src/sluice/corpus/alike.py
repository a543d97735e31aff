"""What is alike by a similarity from 0 to 1: pairs measured once, clusters decided for any survivors.

The things compared are *nodes*: distinct texts, distinct vectors. Rows that are equal share a node. A *crowd* is a
node, its hub, with many that are all alike to it: their pairs among each other are not listed, they count as alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.corpus.clusters import connected
from sluice.corpus.duplicates import Cluster
from sluice.corpus.hamming import Indices
from sluice.errors import RunError
from sluice.table.arrays import distinct_numbers, numbers
from sluice.table.commit import write_table
from sluice.table.read import read_table

Similarities = npt.NDArray[np.float32]

MAX_PAIRS: Final = 50_000_000  # some 100 bytes each while they are put in order
_SCHEMA: Final = pa.schema([("a", pa.int64()), ("b", pa.int64()), ("similarity", pa.float32()), ("crowd", pa.bool_())])
_NAME: Final = b"sluice.fingerprint"


@dataclass(frozen=True)
class Alike:
    """Pairs of nodes `a` and `b`, sorted by (a, b), and their `similarity`; in a `crowd`, `a` is its hub."""

    a: Indices
    b: Indices
    similarity: Similarities
    crowd: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return self.a.size


def alike(a: Indices, b: Indices, similarity: Similarities, crowd: npt.NDArray[np.bool_] | None = None) -> Alike:
    """The pairs in order, each once; what is told twice is of a crowd if it is so once.

    >>> alike(np.array([2, 0, 0]), np.array([1, 1, 1]), np.float32([0.9, 0.8, 0.8])).a.tolist()
    [0, 1]
    """
    crowd = np.zeros(a.size, np.bool_) if crowd is None else crowd
    swap = (a > b) & ~crowd
    a, b = np.where(swap, b, a), np.where(swap, a, b)
    order = np.lexsort((~crowd, b, a))
    a, b, similarity, crowd = a[order], b[order], similarity[order], crowd[order]
    new = np.ones(a.size, np.bool_)
    new[1:] = (np.diff(a) != 0) | (np.diff(b) != 0)
    return Alike(a[new], b[new], similarity[new], crowd[new])


def joined(parts: Sequence[tuple[Indices, Indices, Similarities]]) -> tuple[Indices, Indices, Similarities]:
    """Parts of pairs, one after the other."""
    a = np.concatenate([np.zeros(0, np.int64), *(part[0] for part in parts)])
    b = np.concatenate([np.zeros(0, np.int64), *(part[1] for part in parts)])
    return a, b, np.concatenate([np.zeros(0, np.float32), *(part[2] for part in parts)])


def save_alike(found: Alike, path: Path, name: str) -> None:
    """Commit the pairs as Parquet; `name` says what they were made from."""
    columns = [pa.array(column) for column in (found.a, found.b, found.similarity, found.crowd)]
    write_table(path, pa.table(columns, schema=_SCHEMA).replace_schema_metadata({_NAME: name.encode()}))


def load_alike(path: Path) -> Alike:
    """The pairs saved at `path`."""
    table = read_table(path)
    if not table.schema.equals(_SCHEMA):
        raise RunError(f"{path} is no table of pairs that are alike: delete it and run again to have it measured anew")
    return Alike(*(numbers(table.column(name)) for name in _SCHEMA.names))


def saved_as(path: Path, name: str) -> bool:
    """Whether the pairs at `path` were made from what `name` says."""
    return path.is_file() and (pq.read_schema(path).metadata or {}).get(_NAME) == name.encode()


def alike_clusters(
    found: Alike, node: Indices, rank: Indices, cluster: Cluster = "star"
) -> tuple[Indices, Similarities]:
    """For each row the row kept in its stead (itself where it is kept) and how alike they are, as far as that is known.

    The rows are the survivors, each with its node and its `rank` (all different, lower is better). `star`: the best row
    not yet taken keeps itself and takes in what is alike to it, by a pair or by a crowd they are both in; of a pair
    within a crowd the similarity is not known (NaN). `components`: chains are followed.

    >>> pairs = alike(np.array([0, 1]), np.array([1, 2]), np.float32([0.8, 0.9]))
    >>> alike_clusters(pairs, np.array([0, 1, 2, 2]), np.array([0, 1, 2, 3]))[0].tolist()
    [0, 0, 2, 2]
    """
    present, place = np.unique(node, return_inverse=True)
    best = np.zeros(present.size, np.int64)  # the best row of each node speaks for all that are equal
    descending = np.argsort(rank)[::-1]
    best[place[descending]] = descending
    priority = rank[best]
    a, b, similarity, hub, member = _among(found, present)
    if cluster == "star":
        kept, known = _stars(priority, a, b, similarity, hub, member)
    else:
        kept, known = _components(priority, a, b, similarity, hub, member)
    keeper = best[kept[place]]
    same = kept[place] == place
    return keeper, np.where(same, np.float32(1), known[place])


def _among(found: Alike, present: Indices) -> tuple[Indices, Indices, Similarities, Indices, Indices]:
    """Of the present nodes, as places in them: the pairs a, b with their similarity, and the crowds with their members.

    A hub need not be present for its crowd to be one.
    """
    a, b = _places(found.a, present), _places(found.b, present)
    both = (a >= 0) & (b >= 0)
    hubs = distinct_numbers(found.a[found.crowd])
    crowd, there = np.searchsorted(hubs, found.a[found.crowd]), b[found.crowd]
    own = _places(hubs, present)
    hub = np.concatenate([crowd[there >= 0], np.flatnonzero(own >= 0)])
    return a[both], b[both], found.similarity[both], hub, np.concatenate([there[there >= 0], own[own >= 0]])


def _places(nodes: Indices, present: Indices) -> Indices:
    """Where each node stands in `present`, -1 where it does not."""
    if not present.size:
        return np.full(nodes.size, -1)
    place = np.minimum(np.searchsorted(present, nodes), present.size - 1)
    return np.where(present[place] == nodes, place, -1)


def _stars(
    priority: Indices, a: Indices, b: Indices, similarity: Similarities, hub: Indices, member: Indices
) -> tuple[Indices, Similarities]:
    n = priority.size
    one, other = np.concatenate([a, b]), np.concatenate([b, a])
    likeness = np.concatenate([similarity, similarity])
    worse = priority[one] < priority[other]  # seen from its better end
    one, other, likeness = one[worse], other[worse], likeness[worse]
    order = np.argsort(one, kind="stable")
    one, other, likeness = one[order], other[order], likeness[order]
    into = np.argsort(member, kind="stable")
    crowds, of = hub[into], member[into]
    keeper, known = np.arange(n), np.ones(n, np.float32)
    turn = distinct_numbers(np.concatenate([one, other, of]))
    turn = turn[np.argsort(priority[turn])]
    starts, ends = np.searchsorted(one, turn), np.searchsorted(one, turn, side="right")
    firsts, lasts = np.searchsorted(of, turn), np.searchsorted(of, turn, side="right")
    taken: dict[int, tuple[int, float]] = {}
    claimed: dict[int, int] = {}
    rank: list[int] = priority[turn].tolist()
    rank_of = dict(zip(turn.tolist(), rank, strict=True))
    for node, start, end, first, last in zip(*(x.tolist() for x in (turn, starts, ends, firsts, lasts)), strict=True):
        mine: list[int] = crowds[first:last].tolist()
        choices = [(rank_of[claimed[one]], claimed[one], float("nan")) for one in mine if one in claimed]
        if node in taken:
            by, likeness_known = taken[node]
            choices.append((rank_of[by], by, likeness_known))
        if choices:
            # A pair says how alike they are, a crowd of the same keeper does not: the pair goes first.
            _, by, sure = min(choices, key=lambda choice: (choice[0], np.isnan(choice[2])))
            keeper[node], known[node] = by, sure
            continue
        for neighbour, sure in zip(other[start:end].tolist(), likeness[start:end].tolist(), strict=True):
            taken.setdefault(neighbour, (node, sure))
        for one_crowd in mine:
            claimed.setdefault(one_crowd, node)
    return keeper, known


def _components(
    priority: Indices, a: Indices, b: Indices, similarity: Similarities, hub: Indices, member: Indices
) -> tuple[Indices, Similarities]:
    n = priority.size
    order = np.argsort(hub, kind="stable")
    hub, member = hub[order], member[order]
    joined = hub[1:] == hub[:-1]  # a crowd is a chain of its members
    label = connected(np.concatenate([a, member[:-1][joined]]), np.concatenate([b, member[1:][joined]]), n)
    best = np.zeros(n, np.int64)
    descending = np.argsort(priority)[::-1]
    best[label[descending]] = descending
    keeper, known = best[label], np.full(n, np.nan, np.float32)
    for one, other in ((a, b), (b, a)):
        direct = keeper[one] == other
        known[one[direct]] = similarity[direct]
    return keeper, known
