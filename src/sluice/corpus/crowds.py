"""Crowds of vectors that are nearly one: blank images, one logo. Their pairs would be as many as the square of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from sluice.corpus.alike import joined
from sluice.corpus.hamming import Indices
from sluice.corpus.kmeans import Single
from sluice.corpus.unit_vectors import Vectors, blocks_of, exact_cosines, unit

WHOLE: Final = 8_192  # vectors: with fewer no crowd is too many
_ASKED: Final = 4_096  # vectors that are asked whether there are crowds
_SHOWS: Final = 5  # so many of them together are one
_SLACK: Final = 2e-5  # what single precision may err by, and more


@dataclass(frozen=True)
class Crowds:
    """Vectors so near to a hub that any two of them have the cosine that is asked for."""

    group: Indices  # by vector: its hub, or -1
    hub: Indices  # of each member, but for the hub itself
    member: Indices
    cosine: Single


def crowds_of(vectors: Vectors, rows: Indices, cosine: float) -> Crowds:
    """The crowds of which a part of the vectors shows some: their pairs would be as many as the square of them.

    Two within half an angle of a third are within the whole angle of each other.
    """
    group = np.full(len(vectors), -1, np.int64)
    none = np.zeros(0, np.int64)
    if len(rows) <= WHOLE:
        return Crowds(group, none, none, np.zeros(0, np.float32))
    half = float(np.sqrt((1 + cosine) / 2)) + _SLACK
    some = np.sort(np.random.default_rng(2).permutation(len(rows))[:_ASKED])
    sample = unit(vectors.take(rows[some]))
    near = sample @ sample.T >= half
    hubs: list[int] = []
    while int((count := near.sum(axis=1)).max()) >= _SHOWS:
        hub = int(count.argmax())
        hubs.append(hub)
        gone = near[hub].copy()
        gone[hub] = True
        near[gone], near[:, gone] = False, False
    parts: list[tuple[Indices, Indices, Single]] = []
    for place in blocks_of(np.arange(len(rows))) if hubs else ():
        values = vectors.take(rows[place])
        likeness = unit(values) @ sample[hubs].T
        first = np.argmax(likeness >= half, axis=1)
        inside = np.flatnonzero(likeness[np.arange(len(place)), first] >= half)
        hub, member = rows[some[hubs]][first[inside]], rows[place[inside]]
        sure = exact_cosines(values[inside], vectors.take(hub))
        group[member] = hub
        others = hub != member
        parts.append((hub[others], member[others], sure[others]))
    return Crowds(group, *joined(parts))
