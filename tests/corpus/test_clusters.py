"""Stars and components against the plainest possible spelling of what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.corpus import clusters
from sluice.corpus.clusters import components, diameters, stars
from sluice.corpus.hamming import Hashes, Indices, Pairs, pairs_within

Edges = list[tuple[int, int, int]]


@st.composite
def graphs(draw: st.DrawFn) -> tuple[int, Edges]:
    n = draw(st.integers(1, 40))
    nodes = st.integers(0, n - 1)
    edges = draw(st.dictionaries(st.tuples(nodes, nodes).filter(lambda edge: edge[0] < edge[1]), st.integers(1, 12)))
    return n, sorted((a, b, distance) for (a, b), distance in edges.items())


def as_pairs(edges: Edges) -> Pairs:
    a, b, distance = zip(*edges, strict=True) if edges else ((), (), ())
    return Pairs(np.array(a, np.int64), np.array(b, np.int64), np.array(distance, np.uint8))


def plain_stars(order: list[int], edges: Edges, n: int) -> list[int]:
    """Greedy star clustering as the docstring words it."""
    neighbours: dict[int, set[int]] = {node: set() for node in range(n)}
    for a, b, _ in edges:
        neighbours[a].add(b)
        neighbours[b].add(a)
    keeper: dict[int, int] = {}
    for node in sorted(range(n), key=order.__getitem__):
        if node not in keeper:
            keeper[node] = node
            keeper.update({neighbour: node for neighbour in neighbours[node] if neighbour not in keeper})
    return [keeper[node] for node in range(n)]


@settings(max_examples=300, deadline=None)
@given(graphs(), st.randoms(use_true_random=False))
def test_stars_are_what_the_greedy_walk_gives(graph: tuple[int, Edges], random: st.DataObject) -> None:
    n, edges = graph
    order = list(range(0, 3 * n, 3))
    random.shuffle(order)  # type: ignore[attr-defined] - Hypothesis hands out a random.Random
    keeper, distance = stars(np.array(order), as_pairs(edges), n)
    assert keeper.tolist() == plain_stars(order, edges, n)
    between = {(a, b): d for a, b, d in edges}
    for node, kept in enumerate(keeper.tolist()):
        assert distance[node] == (0 if node == kept else between[min(node, kept), max(node, kept)])


@settings(max_examples=200, deadline=None)
@given(graphs())
def test_a_component_is_all_that_can_be_reached(graph: tuple[int, Edges]) -> None:
    n, edges = graph
    reached = np.eye(n, dtype=bool)
    for a, b, _ in edges:
        reached[a, b] = reached[b, a] = True
    for via in range(n):
        reached |= reached[:, via, None] & reached[None, via, :]
    assert components(as_pairs(edges), n).tolist() == reached.argmax(axis=1).tolist()


@pytest.mark.parametrize("order", ["ascending", "descending", "shuffled"])
def test_a_long_chain_is_one_component_and_many_stars(order: str) -> None:
    n = 50_000
    names = {
        "ascending": np.arange(n),
        "descending": np.arange(n)[::-1],
        "shuffled": np.random.default_rng(3).permutation(n),
    }
    path = names[order]
    a, b = np.minimum(path[1:], path[:-1]), np.maximum(path[1:], path[:-1])
    by_a = np.lexsort((b, a))
    pairs = Pairs(a[by_a], b[by_a], np.full(n - 1, 8, np.uint8))
    assert not components(pairs, n).any()
    keeper, distance = stars(np.arange(n), pairs, n)
    assert distance.max() == 8
    assert (keeper[keeper] == keeper).all()
    assert np.bincount(keeper).max() <= 3


def hashes_and_keepers(seed: int, n: int) -> tuple[Hashes, Indices]:
    rng = np.random.default_rng(seed)
    hashes = rng.integers(0, 2**64, n, dtype=np.uint64) & np.uint64(0x0103_0103_0103_0103)
    hashes = np.unique(hashes)
    keeper, _ = stars(rng.permutation(hashes.size), pairs_within(hashes, 4), hashes.size)
    return hashes, keeper


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 1_000), st.integers(1, 300))
def test_the_diameter_is_that_of_the_two_most_different_members(seed: int, n: int) -> None:
    hashes, keeper = hashes_and_keepers(seed, n)
    result = diameters(hashes, keeper)
    expected = {}
    for kept in np.unique(keeper).tolist():
        members = hashes[keeper == kept]
        if members.size > 1:
            expected[kept] = (members.size, int(np.bitwise_count(members[:, None] ^ members[None, :]).max()))
    columns = (result.keeper.tolist(), result.size.tolist(), result.diameter.tolist())
    assert {kept: (size, diameter) for kept, size, diameter in zip(*columns, strict=True)} == expected
    assert result.exact.all()
    assert result.diameter.max(initial=0) <= 8


def test_beyond_the_stated_size_the_diameter_is_a_bound_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    hashes, keeper = hashes_and_keepers(5, 200)
    exact = diameters(hashes, keeper)
    monkeypatch.setattr(clusters, "EXACT_DIAMETER", 3)
    bounded = diameters(hashes, keeper)
    assert np.array_equal(bounded.exact, exact.size <= 3)
    assert not bounded.exact.all()
    assert (bounded.diameter >= exact.diameter).all()
    assert np.array_equal(bounded.diameter[bounded.exact], exact.diameter[bounded.exact])
