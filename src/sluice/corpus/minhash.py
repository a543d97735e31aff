"""Texts that share most of their n-grams: found by MinHash-LSH (Broder 1997; Indyk and Motwani 1998), then verified.

A signature of b bands of r minima each: two texts of Jaccard index j agree on a band with the probability j^r, and on
one at least with 1 - (1 - j^r)^b. What agrees on one is a candidate, and its n-grams are counted: no pair is reported
that was not verified, and of those that agree on a band none is left out.

A band's texts of one key are a bucket. In one of up to `CROWD` texts all are compared with all. In a larger one a text,
its hub, is compared with all others, and what is alike to it is its group; the same with the next text that is in none,
and so on. What two of a group are to each other is not asked: they are a crowd, and count as alike (by the triangle
inequality their Jaccard index is 2t - 1 at least). Texts of two groups are compared where each is near enough to the
other's hub. So a million texts that differ in a word cost as many comparisons as there are texts, not their square.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

import numpy as np

from sluice.corpus.alike import MAX_PAIRS, Alike, Similarities, alike, joined
from sluice.corpus.buckets import CROWD, Hubs, as_words, buckets_of, candidates, hubs_of
from sluice.corpus.hamming import Indices
from sluice.corpus.ngrams import Grams, Texts, Words
from sluice.corpus.signatures import Signatures, signatures
from sluice.errors import RecipeError
from sluice.table.arrays import distinct_numbers

_RECALL: Final = 0.99  # at the threshold itself; above it more is found
_KEYS: Final = 64 << 20  # keys held at a time
_CANDIDATES: Final = 16 << 20  # held before those told twice go
_TRIED: Final = 1 << 20  # pairs of two groups at a time


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
    for first in range(0, bands.bands if nodes.size else 0, held):
        signed = signatures(texts, grams, min(held, bands.bands - first), bands.rows, first_band=first)
        for keys in signed.keys:
            small, large = buckets_of(keys, nodes, CROWD)
            for some in candidates(small, signed, jaccard):
                found.add_candidates(some)
            for bucket in large:
                found.add_bucket(bucket, signed)
    return found.pairs()


class _Found:
    """Candidates as they come up in band after band, each verified once; and crowds."""

    def __init__(self, texts: Texts, grams: Grams, jaccard: float) -> None:
        self._texts, self._grams, self._jaccard = texts, grams, jaccard
        self._candidates: list[Words] = []
        self._held, self._room = 0, _CANDIDATES
        self._crowds: list[tuple[Indices, Indices, Similarities]] = []
        self._crowded = 0
        self._seen: set[bytes] = set()

    def add_candidates(self, pairs: Words) -> None:
        """Pairs that agree on a band, as `as_words` has them."""
        self._candidates.append(pairs)
        self._held += pairs.size
        if self._held > self._room:
            self._candidates = [distinct_numbers(np.concatenate(self._candidates))]
            self._held = self._candidates[0].size
            self._room = max(_CANDIDATES, 2 * self._held)
            _check(self._held)

    def add_bucket(self, bucket: Indices, signed: Signatures) -> None:
        """Texts of one key, too many to compare all with all."""
        told = blake2b(bucket.tobytes(), digest_size=16).digest()
        if told in self._seen:  # another band has brought the same together
            return
        self._seen.add(told)
        hubs = hubs_of(self._texts, self._grams, signed, bucket, self._jaccard)
        near = hubs.likeness >= np.float32(self._jaccard)
        size = np.bincount(hubs.group, minlength=bucket.size)
        crowd = near & (hubs.group[hubs.other] == hubs.hub) & (size[hubs.hub] > 2)
        self.add_candidates(as_words(bucket[hubs.hub[near & ~crowd]], bucket[hubs.other[near & ~crowd]]))
        self._crowds.append((bucket[hubs.hub[crowd]], bucket[hubs.other[crowd]], hubs.likeness[crowd]))
        self._crowded += int(np.count_nonzero(crowd))
        _check(self._crowded)
        self._between(bucket, hubs)

    def _between(self, bucket: Indices, hubs: Hubs) -> None:
        """Pairs of two groups: of texts that are alike, each is 2t - 1 at least like the other's hub."""
        own = hubs.group[hubs.other]
        apart = own != hubs.hub
        own, other, hub = own[apart], hubs.other[apart], hubs.hub[apart]
        # Texts of group `own` that are near `hub`, beside those of group `hub` that are near `own`.
        key, mirrored = own * bucket.size + hub, hub * bucket.size + own
        order = np.argsort(key, kind="stable")
        key, other = key[order], other[order]
        starts = np.flatnonzero(np.diff(key, prepend=-1))
        ends = np.append(starts, key.size)[1:]
        back = distinct_numbers(mirrored)
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            one, two = divmod(int(key[start]), bucket.size)
            place = int(np.searchsorted(back, key[start]))
            if one > two or place == back.size or back[place] != key[start]:
                continue
            theirs = slice(*np.searchsorted(key, [two * bucket.size + one, two * bucket.size + one + 1]))
            mine, others = bucket[other[start:end]], bucket[other[theirs]]
            step = max(1, _TRIED // others.size)
            for first in range(0, mine.size, step):
                some = mine[first : first + step]
                left, right = np.repeat(some, others.size), np.tile(others, some.size)
                near = self._likeness(left, right) >= np.float32(self._jaccard)
                self.add_candidates(as_words(left[near], right[near]))

    def _likeness(self, one: Indices, other: Indices) -> Similarities:
        return self._grams.jaccard(self._texts, one, other)

    def pairs(self) -> Alike:
        """All that was verified."""
        told = distinct_numbers(np.concatenate([np.zeros(0, np.uint64), *self._candidates]))
        self._candidates.clear()
        one, other = (told >> np.uint64(32)).astype(np.int64), (told & np.uint64(2**32 - 1)).astype(np.int64)
        likeness = self._likeness(one, other)
        near = likeness >= np.float32(self._jaccard)
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
