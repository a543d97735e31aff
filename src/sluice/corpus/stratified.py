"""A share estimated from a stratified sample: each stratum weighs what it holds, not what was drawn of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sluice.corpus.intervals import wilson


@dataclass(frozen=True)
class Counted:
    """A stratum: how many it holds, how many of them were looked at, and how many of those were hits."""

    size: int
    seen: int
    hits: int


@dataclass(frozen=True)
class Estimate:
    """A share of the whole with its interval; `share` is None where nothing was looked at."""

    share: float | None  # of the strata that were looked at
    low: float
    high: float
    covered: float  # share of the whole that lies in strata that were looked at


def estimate(strata: Sequence[Counted], confidence: float = 0.95) -> Estimate:
    """The share of hits in the whole, each stratum weighted by its size.

    The interval is Wilson's for as many trials as an unweighted sample of the same weight would have (Kish's
    effective size). Of a stratum that nobody looked at anything may be true: its part counts as no hit in the lower end
    and as all hits in the upper.

    >>> estimate([Counted(900, 18, 0), Counted(100, 2, 1)]).share
    0.05
    >>> one = estimate([Counted(500, 50, 0), Counted(500, 0, 0)])
    >>> one.covered, one.high > 0.5
    (0.5, True)
    """
    whole = sum(stratum.size for stratum in strata)
    seen = [stratum for stratum in strata if stratum.seen]
    known = sum(stratum.size for stratum in seen)
    if not known:
        return Estimate(None, 0.0, 1.0, 0.0)
    weights = [stratum.size / known for stratum in seen]
    pairs = list(zip(weights, seen, strict=True))
    share = min(1.0, sum(weight * one.hits / one.seen for weight, one in pairs))
    trials = 1 / sum(weight * weight / one.seen for weight, one in pairs)
    low, high = wilson(min(share * trials, trials), trials, confidence)
    covered = known / whole
    return Estimate(share, low * covered, high * covered + 1 - covered, covered)
