"""Packing samples into sequences of a fixed number of tokens: best fit over a window, no sample cut, none lost."""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Places: TypeAlias = npt.NDArray[np.int64]
Numbers: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Packed:
    """Sequences, each the places of its samples in the window, ascending; and the places that fit in none."""

    sequences: tuple[Places, ...]  # by the place of the first sample
    too_long: Places  # longer than a sequence: whoever packs must say what becomes of them


def best_fit(lengths: Numbers, budget: int) -> Packed:
    """Pack samples of so many tokens into sequences of at most `budget`: longest first, each where it fits tightest.

    Best fit decreasing needs 11/9 of the least number of sequences at worst (Johnson, 1974), and in a window of
    thousands nearly always the least. It is a pure function of the lengths: equals go by their place.

    >>> packed = best_fit(np.array([5, 7, 3, 11, 2]), 10)
    >>> [sequence.tolist() for sequence in packed.sequences], packed.too_long.tolist()
    ([[0, 4], [1, 2]], [3])
    """
    if budget < 1:
        raise ValueError(f"a sequence has a token at least, not {budget}")
    if len(lengths) and int(lengths.min()) < 0:
        raise ValueError("a sample of fewer than 0 tokens")
    sequence_of = _assign(lengths, budget)
    placed = np.flatnonzero(sequence_of >= 0)
    by_sequence = placed[np.argsort(sequence_of[placed], kind="stable")]
    starts = np.flatnonzero(np.diff(sequence_of[by_sequence], prepend=-1)).tolist()
    sequences = [by_sequence[start:end] for start, end in pairwise([*starts, len(by_sequence)])]
    sequences.sort(key=lambda sequence: int(sequence[0]))
    return Packed(tuple(sequences), np.flatnonzero(sequence_of < 0))


def _assign(lengths: Numbers, budget: int) -> Numbers:
    """The sequence of each sample, numbered as they are begun; -1 for a sample that is too long."""
    sequence_of = np.full(len(lengths), -1, np.int64)
    order = np.argsort(-lengths, kind="stable")
    order = order[lengths[order] <= budget]
    rooms: list[int] = []  # what is left in any open sequence: each number once, ascending
    open_by_room: list[list[int]] = [[] for _ in range(budget + 1)]
    begun = 0
    found: list[int] = []
    for length in lengths[order].tolist():
        at = bisect_left(rooms, length)
        if at == len(rooms):
            room, sequence = budget, begun
            begun += 1
        else:
            room = rooms[at]
            sequence = open_by_room[room].pop()
            if not open_by_room[room]:
                del rooms[at]
        found.append(sequence)
        left = open_by_room[room - length]
        if not left:
            insort(rooms, room - length)
        left.append(sequence)
    sequence_of[order] = found
    return sequence_of


@dataclass(frozen=True)
class Arrangement:
    """One packed sequence of `width` tokens: what a model needs to keep its samples apart."""

    positions: Numbers  # (width): from 0 in each sample; 0 in the padding
    segments: Numbers  # (width): 1 for the first sample, 2 for the next; 0 is padding
    starts: Numbers  # (samples + 1): the first token of each sample, then the end of the last: `cu_seqlens`
    image_samples: Numbers  # (images): the sample of each, from 0
    image_starts: Numbers  # (images): its first token in the sequence
    image_lengths: Numbers  # (images): tokens

    @property
    def image_tokens(self) -> npt.NDArray[np.bool_]:
        """Whether a token of the sequence belongs to an image: where the vision encoder's output goes."""
        edges = np.zeros(len(self.positions) + 1, np.int64)
        np.add.at(edges, self.image_starts, 1)
        np.add.at(edges, self.image_starts + self.image_lengths, -1)
        return np.cumsum(edges[:-1]) > 0


def arrange(
    lengths: Numbers,
    width: int,
    image_lengths: Numbers,
    image_samples: Numbers | None = None,
    image_offsets: Numbers | None = None,
) -> Arrangement:
    """Lay samples of `lengths` tokens, images included, one after another in a sequence of `width` tokens.

    `image_lengths` are the tokens of each image, `image_samples` the sample that each belongs to (one image a sample
    where it is left out), `image_offsets` how many tokens of its sample come before it. Left out, the images of a
    sample come first, one after another. An image of 0 tokens is none.

    >>> laid = arrange(np.array([3, 4]), 9, image_lengths=np.array([2, 1]))
    >>> laid.positions.tolist(), laid.segments.tolist()
    ([0, 1, 2, 0, 1, 2, 3, 0, 0], [1, 1, 1, 2, 2, 2, 2, 0, 0])
    >>> laid.starts.tolist(), laid.image_starts.tolist(), laid.image_lengths.tolist()
    ([0, 3, 7], [0, 3], [2, 1])
    """
    starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    if starts[-1] > width:
        raise ValueError(f"samples of {starts[-1]} tokens do not fit in a sequence of {width}")
    samples = np.arange(len(lengths), dtype=np.int64) if image_samples is None else image_samples
    if len(samples) != len(image_lengths):
        raise ValueError(f"{len(image_lengths)} images, {len(samples)} samples that they belong to")
    offsets = _one_after_another(image_lengths, samples) if image_offsets is None else image_offsets
    shown = image_lengths > 0
    samples, offsets, image_lengths = samples[shown], offsets[shown], image_lengths[shown]
    if (offsets < 0).any() or (offsets + image_lengths > lengths[samples]).any():
        raise ValueError("an image reaches beyond its sample")
    padding = np.zeros(width - int(starts[-1]), np.int64)
    numbers = np.repeat(np.arange(len(lengths), dtype=np.int64), lengths)
    within = np.arange(len(numbers), dtype=np.int64) - starts[numbers]
    return Arrangement(
        positions=np.concatenate([within, padding]),
        segments=np.concatenate([numbers + 1, padding]),
        starts=starts,
        image_samples=samples,
        image_starts=starts[samples] + offsets,
        image_lengths=image_lengths,
    )


def _one_after_another(lengths: Numbers, samples: Numbers) -> Numbers:
    """How many tokens of images of the same sample come before each image."""
    if (np.diff(samples) < 0).any():
        raise ValueError("images come in the order of their samples")
    before = np.cumsum(lengths) - lengths
    return before - before[np.searchsorted(samples, samples)]


def attention_mask(segments: Numbers, causal: bool = True) -> npt.NDArray[np.bool_]:
    """Which token (row) may look at which (column): only at its own sample, and if `causal` only at what came before.

    Padding looks at nothing. For kernels that take lengths instead, such as flash attention's, use `starts`.

    >>> attention_mask(np.array([1, 2, 2, 0])).astype(int).tolist()
    [[1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    """
    allowed = (segments[:, None] == segments[None, :]) & (segments[:, None] > 0)
    return np.tril(allowed) if causal else allowed
