"""Splits that never cut a group of duplicates, and that hold when the corpus grows."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sluice.corpus.clusters import connected
from sluice.corpus.duplicates import Mask, NearIndex, among, text_codes
from sluice.corpus.hamming import Hashes, Indices, collapse
from sluice.errors import RecipeError

Links = tuple[Indices, Indices]


def near_links(index: NearIndex, hashes: Hashes, valid: Mask) -> Links:
    """Links between rows whose hashes are near or equal: enough of them to connect all that are."""
    rows = np.flatnonzero(valid)
    present, node = collapse(hashes[rows])
    first = np.zeros(present.size, np.int64)
    first[node[::-1]] = rows[::-1]
    pairs = among(index, present)
    return np.concatenate([rows, first[pairs.a]]), np.concatenate([first[node], first[pairs.b]])


def equal_links(values: pa.Array | pa.ChunkedArray) -> Links:
    """Links between rows of equal value, such as the hash of their bytes; null is equal to nothing."""
    codes = text_codes(values)
    rows = np.flatnonzero(codes >= 0)
    first = np.zeros(int(codes.max(initial=-1)) + 1, np.int64)
    first[codes[rows[::-1]]] = rows[::-1]
    return rows, first[codes[rows]]


def split_groups(n: int, *links: Links) -> Indices:
    """The group of each of `n` samples, named by its smallest row: what is linked, directly or not, is one group.

    All samples that have a hash belong here, rejected ones too: two that are kept may be near the same one that
    is not, and then belong together.

    >>> split_groups(5, (np.array([0, 4]), np.array([4, 2])))
    array([0, 1, 0, 3, 0])
    """
    a, b = (np.concatenate([np.empty(0, np.int64), *side]) for side in zip(*links, strict=True)) if links else ([], [])
    return connected(np.asarray(a, np.int64), np.asarray(b, np.int64), n)


def group_ids(groups: Indices, ids: pa.Array | pa.ChunkedArray) -> pa.Array:
    """A name for each row's group that does not depend on the order of the corpus: the smallest sample id in it.

    >>> group_ids(np.array([0, 1, 0]), pa.array(["c", "b", "a"])).to_pylist()
    ['a', 'b', 'a']
    """
    if isinstance(ids, pa.ChunkedArray):
        ids = ids.combine_chunks()
    smallest = np.arange(groups.size)
    members = np.flatnonzero(np.bincount(groups, minlength=groups.size)[groups] > 1)  # most rows stand alone
    named = pa.table({"id": ids.take(pa.array(members)), "row": members})
    ascending = named.sort_by("id").column("row").to_numpy()
    first = np.zeros(groups.size, np.int64)
    first[groups[ascending[::-1]]] = ascending[::-1]
    smallest[members] = first[groups[members]]
    return ids.take(pa.array(smallest))


def assign(groups: pa.Array | pa.ChunkedArray, shares: Mapping[str, float], seed: int) -> pa.Array:
    """The split of each row: its group's seeded hash, a number from 0 to 1, falls into one split's share.

    Nothing else in the corpus has a say, so a group stays where it is when others come and go; and as the shares
    stand in a row, making the first larger takes groups from the second alone. The shares are met on average, within
    about sqrt(share * (1 - share) / groups), not to the sample.

    >>> assign(pa.array(["a", "b", "c", "a"]), {"train": 0.5, "val": 0.5}, seed=0).to_pylist()
    ['val', 'train', 'train', 'val']
    """
    codes = assign_codes(groups, shares, seed)
    return pa.array(list(shares), pa.string()).take(pa.array(codes))


def assign_codes(groups: pa.Array | pa.ChunkedArray, shares: Mapping[str, float], seed: int) -> npt.NDArray[np.int16]:
    """The same as `assign`, each split as its place among the `shares`."""
    names = list(shares)
    edges = np.cumsum([shares[name] for name in names])
    if not names or min(shares.values()) < 0 or not abs(edges[-1] - 1) <= 1e-6:
        raise RecipeError(f"split: the shares must be zero or more and sum to 1, not {dict(shares)}")
    if isinstance(groups, pa.ChunkedArray):
        groups = groups.combine_chunks()
    encoded = groups.dictionary_encode()
    if encoded.null_count:
        raise ValueError("a row without a group cannot be split")
    drawn = _uniform(encoded.dictionary.to_pylist(), seed)
    choice = np.minimum(np.searchsorted(edges / edges[-1], drawn, side="right"), len(names) - 1)
    return choice[encoded.indices.to_numpy()].astype(np.int16)


def _uniform(names: list[str], seed: int) -> npt.NDArray[np.float64]:
    """A number in [0, 1) for each name."""
    seeded = blake2b(str(seed).encode(), digest_size=8, person=b"sluice.split")
    digests = bytearray()
    for name in names:
        one = seeded.copy()
        one.update(b"\0" + name.encode())
        digests += one.digest()
    return (np.frombuffer(digests, "<u8") >> np.uint64(11)).astype(np.float64) * 2.0**-53
