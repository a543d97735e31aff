"""Clusters of what is alike, for any survivors, against the plain definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.corpus.alike import alike, alike_clusters, load_alike, save_alike
from sluice.errors import RunError
from sluice.table.commit import write_table


def plainly(linked: dict[tuple[int, int], float], node: list[int], rank: list[int], cluster: str) -> list[int]:
    """Who is kept in each row's stead; `linked` holds pairs of nodes, and equal nodes are alike."""

    def near(i: int, j: int) -> bool:
        return node[i] == node[j] or (min(node[i], node[j]), max(node[i], node[j])) in linked

    rows = sorted(range(len(node)), key=lambda row: rank[row])
    keeper = list(range(len(node)))
    if cluster == "star":
        kept: list[int] = []
        for row in rows:
            by = next((other for other in kept if near(row, other)), None)
            if by is None:
                kept.append(row)
            else:
                keeper[row] = by
        return keeper
    seen: set[int] = set()
    for row in rows:
        if row in seen:
            continue
        front = [row]
        while front:
            at = front.pop()
            if at not in seen:
                seen.add(at)
                keeper[at] = row
                front += [other for other in rows if near(at, other)]
    return keeper


@pytest.mark.parametrize("cluster", ["star", "components"])
@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 30), share=st.floats(0, 1), crowds=st.integers(0, 3))
def test_clusters_are_those_of_the_pairs_and_crowds_among_the_survivors(
    cluster: str, seed: int, n: int, share: float, crowds: int
) -> None:
    rng = np.random.default_rng(seed)
    a, b = np.triu_indices(n, 1)
    some = rng.random(a.size) < 0.1
    a, b = a[some], b[some]
    crowd = np.zeros(a.size, np.bool_)
    linked = {(int(i), int(j)): 0.9 for i, j in zip(a, b, strict=True)}
    for hub in range(min(crowds, n)):
        members = np.flatnonzero(rng.random(n) < 0.3)
        members = members[members != hub]
        a, b = np.concatenate([a, np.full(members.size, hub)]), np.concatenate([b, members])
        crowd = np.concatenate([crowd, np.ones(members.size, np.bool_)])
        everyone = sorted({hub, *members.tolist()} if members.size else ())
        linked |= {(i, j): 0.9 for i in everyone for j in everyone if i < j}
    found = alike(a, b, np.full(a.size, 0.9, np.float32), crowd)
    node = rng.integers(0, n, 2 * n)[rng.random(2 * n) < share]
    rank = rng.permutation(3 * n)[: node.size]
    keeper, similarity = alike_clusters(found, node, rank, cluster)  # pyright: ignore[reportArgumentType]
    assert keeper.tolist() == plainly(linked, node.tolist(), rank.tolist(), cluster)
    known = ~np.isnan(similarity)
    same = node == node[keeper]
    assert (similarity[same] == 1).all()
    assert (similarity[known & ~same] == np.float32(0.9)).all()


def test_saved_pairs_are_the_same_and_a_stranger_is_told(tmp_path) -> None:
    found = alike(np.array([3, 0]), np.array([1, 2]), np.float32([0.8, 0.9]), np.array([True, False]))
    save_alike(found, tmp_path / "pairs.parquet", "name")
    loaded = load_alike(tmp_path / "pairs.parquet")
    assert (loaded.a.tolist(), loaded.b.tolist(), loaded.crowd.tolist()) == ([0, 3], [2, 1], [False, True])
    import pyarrow as pa

    write_table(tmp_path / "other.parquet", pa.table({"x": [1]}))
    with pytest.raises(RunError, match="run again to have it measured anew"):
        load_alike(tmp_path / "other.parquet")
