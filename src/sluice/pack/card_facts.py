"""What a dataset card is written from: plain counts and names, filled in by the conductor from the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class StageFacts:
    """One stage: what entered it and what became of it."""

    name: str  # 01_filtered, ...
    entered: int
    kept: int
    rejected: int = 0
    held: int = 0
    failed: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict[str, int])  # rule -> samples it spoke on; they may overlap


@dataclass(frozen=True)
class SourceFacts:
    """One source and how much of it is left."""

    name: str
    type: str
    samples: int  # raw
    packed: int


@dataclass(frozen=True)
class RuleFacts:
    """One rule of the recipe and what it did."""

    name: str
    effect: Literal["reject", "hold"]
    sql: str
    null: str  # what NULL means to it: held, rejected, pass
    samples: int  # on which it spoke


@dataclass(frozen=True)
class MeasureFacts:
    """One measure that ran."""

    name: str
    version: int
    fingerprint: str
    model: str | None = None  # name, revision, content hash


@dataclass(frozen=True)
class LengthFacts:
    """Lengths of the packed captions, in characters."""

    count: int
    p5: float
    median: float
    p95: float


@dataclass(frozen=True)
class DuplicateFacts:
    """What was done about repeats; None or 0 where it was not looked for."""

    bytes: int | None = None  # samples rejected: equal image bytes
    near: int | None = None  # samples rejected: near-duplicate images
    hash: str | None = None  # the perceptual hash they were compared by
    distance: int | None = None  # largest Hamming distance in bits that counts as near
    clusters: int = 0
    largest: int = 0  # members of the largest cluster
    diameter: int = 0  # bits between the two members of one cluster that are farthest apart
    captions_left_out: int = 0  # repeated on one image, or standing on too many
    texts: int | None = None  # samples rejected: near-duplicate texts
    semantic: int | None = None  # samples rejected: vectors nearly equal to a kept one's
    references: Mapping[str, int] = field(default_factory=dict[str, int])  # reference set -> samples rejected


@dataclass(frozen=True)
class FormatFacts:
    """One format of the pack."""

    format: str
    shards: int
    bytes: int


@dataclass(frozen=True)
class CardFacts:
    """Everything a card says. Counts are of samples unless said otherwise."""

    name: str
    version: str  # of Sluice
    recipe: str  # fingerprint of the recipe as it ran
    seed: int
    splits: Mapping[str, int]  # packed samples, in the order of the recipe
    formats: tuple[FormatFacts, ...]
    images: int  # packed
    most_images: int  # in one sample
    roles: Mapping[str, int]  # role -> packed texts
    stages: tuple[StageFacts, ...]
    sources: tuple[SourceFacts, ...]
    licences: Mapping[str | None, int]  # SPDX id, None where it is unknown -> packed samples
    languages: Mapping[str | None, int]  # detected, BCP 47; None where it is unsure -> packed texts
    lengths: LengthFacts | None
    rules: tuple[RuleFacts, ...]
    measures: tuple[MeasureFacts, ...]
    duplicates: DuplicateFacts
    failures: Mapping[str, int]  # class -> samples, over all stages
    taken_down: int = 0
    balance: Mapping[str, Any] | None = None  # what the last stage's record says of it; None: all were taken
    redacted: int | None = None  # images with parts covered; None where nothing was to be
    contact: str | None = None  # where to ask for a takedown

    @property
    def samples(self) -> int:
        """Packed samples."""
        return sum(self.splits.values())
