"""Texts that share most of their n-grams: found by MinHash-LSH (Broder 1997; Indyk and Motwani 1998), then verified.

A signature of b bands of r minima each: two texts of Jaccard index j agree on a band with the probability j^r, and on
one at least with 1 - (1 - j^r)^b. What agrees on one is a candidate, and its n-grams are counted: no pair is reported
that was not verified, and of those that agree on a band none is left out.

A band's texts of one key are a bucket. In one of up to `CROWD` texts all are compared with all. In a larger one a text,
its hub, is compared with all others, and those that are alike to it are a crowd: what they are to each other is not
asked, they count as alike (by the triangle inequality their Jaccard index is 2t - 1 at least). The same with the next
text that is in none, and so on; then texts of two crowds are compared where one is near enough to the other's hub. So a
million texts that differ in a word cost as many comparisons as there are texts, not their square.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from sluice.corpus.alike import MAX_PAIRS, Alike, Similarities, alike, joined
from sluice.corpus.hamming import Indices
from sluice.corpus.ngrams import Grams, Texts, Words
from sluice.errors import RecipeError

CROWD: Final = 64  # texts of one key that are compared all with all
_RECALL: Final = 0.99  # at the threshold itself; above it more is found
_KEYS: Final = 64 << 20  # keys held at a time
_CANDIDATES: Final = 16 << 20  # held before those told twice go


@dataclass(frozen=True)
class Bands:
    """How signatures are cut: `bands` of `rows` minima each."""

    bands: int
    rows: int

    def recall(self, jaccard: float) -> float:
        """The share of pairs of this Jaccard index that become candidates.

        >>> round(Bands(21, 6).recall(0.8), 3), round(Bands(21, 6).recall(0.5), 3)
        (0.998, 0.282)
        """
        return 1 - (1 - jaccard**self.rows) ** self.bands


def bands_for(jaccard: float, permutations: int, bands: int | None = None) -> Bands:
    """The longest bands of which 99% of the pairs at `jaccard` agree on one; or those of `bands` bands.

    >>> bands_for(0.8, 128)
    Bands(bands=21, rows=6)
    """
    if bands is not None:
        return Bands(bands, permutations // bands)
    cut = [Bands(permutations // rows, rows) for rows in range(1, permutations + 1)]
    return max((one for one in cut if one.recall(jaccard) >= _RECALL), key=lambda one: one.rows, default=cut[0])


def near_texts(texts: Texts, grams: Grams, jaccard: float, bands: Bands) -> Alike:
    """The pairs of the distinct `texts` with at least this Jaccard index of their n-grams; empty texts are in none.

    >>> from sluice.corpus.ngrams import folded
    >>> texts = folded(["a red cube on a table", "a red cube on the table", "two dogs"])
    >>> near_texts(texts, Grams("character", 3), 0.6, Bands(32, 4)).b.tolist()
    [1]
    """
    found = _Found(texts, grams, jaccard)
    nodes = np.flatnonzero(np.diff(texts.offsets) > 0)
    held = max(1, _KEYS // max(1, len(texts)))
    for first in range(0, bands.bands, held):
        some = min(held, bands.bands - first)
        for keys in grams.band_keys(texts, some, bands.rows, first_band=first):
            for bucket in _buckets(keys, nodes, found):
                found.add_crowd(bucket)
    return found.pairs()


def _buckets(keys: Words, nodes: Indices, found: _Found) -> Iterator[Indices]:
    """The texts that share a key with more than `CROWD` others; pairs in smaller buckets are handed to `found`."""
    bits = max(1, int(len(keys) - 1).bit_length())
    low = np.uint64((1 << bits) - 1)
    # The number of a text takes the place of a key's lowest bits: one sort of plain numbers, and the key's others tell.
    ordered = (keys[nodes] & ~low) | nodes.astype(np.uint64)
    ordered.sort()
    same = ((ordered[1:] ^ ordered[:-1]) & ~low) == 0
    text = (ordered & low).astype(np.int64)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], same, [False]]).astype(np.int8)))
    starts, ends = edges[::2], edges[1::2] + 1  # the texts from one to before the other share a key
    small = ends - starts <= CROWD
    first, last = starts[small], ends[small]
    at = np.repeat(first, last - first) + _counted(last - first)
    end = np.repeat(last, last - first)
    for shift in range(1, CROWD):
        inside = at + shift < end
        at, end = at[inside], end[inside]
        if not at.size:
            break
        found.add_candidates(text[at], text[at + shift])
    for start, end_of in zip(starts[~small].tolist(), ends[~small].tolist(), strict=True):
        yield np.sort(text[start:end_of])


def _counted(lengths: Indices) -> Indices:
    return np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)


class _Found:
    """Candidates as they come up in band after band, each verified once; and crowds."""

    def __init__(self, texts: Texts, grams: Grams, jaccard: float) -> None:
        self._texts, self._grams, self._jaccard = texts, grams, jaccard
        self._candidates: list[Words] = []
        self._held = 0
        self._crowds: list[tuple[Indices, Indices, Similarities]] = []
        self._crowded = 0
        self._seen: set[bytes] = set()

    def add_candidates(self, one: Indices, other: Indices) -> None:
        """Pairs that agree on a band."""
        pairs = np.minimum(one, other).astype(np.uint64) << np.uint64(32) | np.maximum(one, other).astype(np.uint64)
        self._candidates.append(pairs)
        self._held += pairs.size
        if self._held > _CANDIDATES:
            self._candidates = [np.unique(np.concatenate(self._candidates))]
            self._held = 2 * self._candidates[0].size
            _check(self._candidates[0].size)

    def add_crowd(self, bucket: Indices) -> None:
        """Texts of one key, too many to compare all with all."""
        told = bucket.tobytes()
        if told in self._seen:  # another band has brought the same together
            return
        self._seen.add(told)
        hubs: list[int] = []
        rows: list[Similarities] = []  # of each hub, how alike all texts of the bucket are to it
        group = np.full(bucket.size, -1, np.int64)
        while (free := np.flatnonzero(group < 0)).size:
            hub = int(bucket[free[0]])
            likeness = self._likeness(np.full(bucket.size, hub), bucket)
            near = likeness >= self._least
            group[near & (group < 0)] = len(hubs)
            hubs.append(hub)
            rows.append(likeness)
            others = near & (bucket != hub)
            self._crowds.append((np.full(int(others.sum()), hub), bucket[others], likeness[others]))
            self._crowded += int(others.sum())
            _check(self._crowded)
        self._between(bucket, group, rows)

    def _between(self, bucket: Indices, group: Indices, rows: list[Similarities]) -> None:
        """Candidates between crowds: of two texts that are alike, each is 2t - 1 at least to the other's hub."""
        within = np.float32(2 * self._jaccard - 1 - 1e-6)
        for one in range(len(rows)):
            reached = np.flatnonzero((rows[one] >= within) & (group > one))  # of later crowds, near this one's hub
            for other in np.unique(group[reached]).tolist():
                theirs = bucket[reached[group[reached] == other]]
                mine = bucket[(group == one) & (rows[other] >= within)]
                for start in range(0, mine.size, max(1, _CANDIDATES // 16 // theirs.size)):
                    some = mine[start : start + max(1, _CANDIDATES // 16 // theirs.size)]
                    left, right = np.repeat(some, theirs.size), np.tile(theirs, some.size)
                    near = self._likeness(left, right) >= self._least
                    self.add_candidates(left[near], right[near])

    @property
    def _least(self) -> np.float32:
        return np.float32(self._jaccard)

    def _likeness(self, one: Indices, other: Indices) -> Similarities:
        return self._grams.jaccard(self._texts, one, other)

    def pairs(self) -> Alike:
        """All that was verified."""
        told = np.unique(np.concatenate([np.zeros(0, np.uint64), *self._candidates]))
        self._candidates.clear()
        one, other = (told >> np.uint64(32)).astype(np.int64), (told & np.uint64(2**32 - 1)).astype(np.int64)
        likeness = self._likeness(one, other)
        near = likeness >= self._least
        hubs, members, sure = joined(self._crowds)
        crowd = np.zeros(int(near.sum()) + hubs.size, np.bool_)
        crowd[int(near.sum()) :] = True
        return alike(
            np.concatenate([one[near], hubs]),
            np.concatenate([other[near], members]),
            np.concatenate([likeness[near], sure]),
            crowd,
        )


def _check(pairs: int) -> None:
    if pairs > MAX_PAIRS:
        raise RecipeError(
            f"more than {MAX_PAIRS:,} pairs of texts may be near-duplicates: raise `filter.duplicates.text.jaccard`, "
            "or take longer n-grams"
        )
