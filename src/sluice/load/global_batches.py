"""A window of samples cut into global batches: a pure function of their lengths, the settings and a key.

A global batch is what all ranks together take a step on. It is a list of sequences, and a sequence the places of its
samples in the window: one place, unless sequences are packed.

| settings | sequences | a global batch |
| --- | --- | --- |
| `ByTokens` | one sample each | samples alike in length, or in shape; longest times count within the token budget |
| `InSequences` | packed by best fit | so many sequences of a fixed number of tokens |

Where they are `stratified`, each batch holds its window's share of every source (see `stratified`).

The batches of a window do not depend on another window: so an epoch can be taken up at any of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from sluice.errors import RecipeError
from sluice.load.buckets import RATIO, batch_buckets, length_buckets
from sluice.load.packing import best_fit
from sluice.load.philox import derive, permutation
from sluice.load.stratified import packed_evenly

Places: TypeAlias = npt.NDArray[np.int64]
Numbers: TypeAlias = npt.NDArray[np.int64]

_ORDER: Final = 0x6261  # the place below a window's key from which its batches are shuffled


@dataclass(frozen=True)
class ByTokens:
    """Batches of at most `tokens`, the padding counted; the lengths in one differ by about `ratio` at most."""

    tokens: int
    ratio: float = RATIO
    stratified: bool = False  # then the lengths in one differ by as much as those of its sources do

    def __post_init__(self) -> None:
        _check(self.tokens >= 1, "tokens", self.tokens, "1 or more")
        _check(self.ratio > 1, "ratio", self.ratio, "above 1")


@dataclass(frozen=True)
class InSequences:
    """Samples packed into sequences of `tokens`; at most `sequences` a batch, and within one as many in each."""

    tokens: int
    sequences: int = 1
    stratified: bool = False

    def __post_init__(self) -> None:
        _check(self.tokens >= 1, "tokens", self.tokens, "1 or more")
        _check(self.sequences >= 1, "sequences", self.sequences, "1 or more")


BatchSettings: TypeAlias = ByTokens | InSequences


@dataclass(frozen=True)
class GlobalBatch:
    """What all ranks together take one step on."""

    sequences: tuple[Places, ...]

    def __len__(self) -> int:
        return len(self.sequences)

    @property
    def places(self) -> Places:
        """All its samples, in order."""
        return np.concatenate(self.sequences) if self.sequences else np.empty(0, np.int64)


@dataclass(frozen=True)
class WindowPlan:
    """The global batches of a window; and the samples longer than any may be, which are in none."""

    batches: tuple[GlobalBatch, ...]
    too_long: Places


def plan_window(
    lengths: Numbers,
    settings: BatchSettings,
    key: int,
    buckets: Numbers | None = None,
    sources: Numbers | None = None,
) -> WindowPlan:
    """Cut a window of samples of `lengths` tokens, in their shuffled order, into global batches.

    Every place is in one batch, or in `too_long`. `key` orders the batches. `buckets` are for `ByTokens`: the
    shape of each sample's image, say, in place of its length; no batch then has two of them. `sources` are for
    settings that are stratified: the source of each sample.

    >>> plan = plan_window(np.array([5, 7, 3, 11, 2]), InSequences(tokens=10, sequences=2), key=1)
    >>> sorted(sequence.tolist() for batch in plan.batches for sequence in batch.sequences), plan.too_long.tolist()
    ([[0, 4], [1, 2]], [3])
    """
    if not settings.stratified:
        sources = None
    elif sources is None:
        raise RecipeError("batching: what is stratified needs the source of each sample")
    key = derive(key, _ORDER)
    match settings:
        case ByTokens():
            return _bucketed(lengths, settings, key, buckets, sources)
        case InSequences():
            return _packed(lengths, settings, key, sources)


def _bucketed(
    lengths: Numbers, settings: ByTokens, key: int, buckets: Numbers | None, sources: Numbers | None
) -> WindowPlan:
    batched = batch_buckets(
        lengths,
        length_buckets(lengths, settings.ratio) if buckets is None else buckets,
        settings.tokens,
        lambda count: permutation(key, count),
        merge=buckets is None,
        sources=sources,
    )
    batches = batched.batches
    if sources is not None:  # they take turns: every second sample, for a rank of two, may be all of one source
        places = permutation(derive(key, 0), len(lengths))
        batches = [batch[np.argsort(places[batch])] for batch in batches]
    return WindowPlan(tuple(_alone(batch) for batch in batches), batched.too_long)


def _packed(lengths: Numbers, settings: InSequences, key: int, sources: Numbers | None) -> WindowPlan:
    if sources is None:
        packed = best_fit(lengths, settings.tokens)
        shuffled = [packed.sequences[at] for at in permutation(key, len(packed.sequences)).tolist()]
        return WindowPlan(tuple(_evenly(shuffled, settings.sequences)), packed.too_long)
    fitting = np.flatnonzero(lengths <= settings.tokens)
    found = packed_evenly(lengths[fitting], sources[fitting], settings.tokens, settings.sequences)
    batches = [GlobalBatch(tuple(fitting[sequence] for sequence in batch)) for batch in found]
    order = permutation(key, len(batches)).tolist()
    return WindowPlan(tuple(batches[at] for at in order), np.flatnonzero(lengths > settings.tokens))


def _alone(places: Places) -> GlobalBatch:
    """A batch whose sequences are one sample each."""
    return GlobalBatch(tuple(places.reshape(-1, 1)))


def _evenly(sequences: list[Places], most: int) -> list[GlobalBatch]:
    """As few batches of at most `most` sequences as there can be, their sizes one apart at most.

    A last batch of the rest would be a step on a few sequences in every window, with ranks that have none.
    """
    if not sequences:
        return []
    count = -(-len(sequences) // most)
    edges = [len(sequences) * at // count for at in range(count + 1)]
    return [GlobalBatch(tuple(sequences[edges[at] : edges[at + 1]])) for at in range(count)]


def _check(holds: bool, name: str, found: object, wanted: str) -> None:
    if not holds:
        raise RecipeError(f"batching: `{name}` is {wanted}, not {found}")
