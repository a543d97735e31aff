"""How many of each stratum are drawn: in proportion to its size, and no stratum left out."""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heapify, heapreplace
from typing import Final, TypeAlias

Stratum: TypeAlias = tuple[str, ...]  # a value of each column that the strata are made of

REST: Final = "(rest)"


def gathered(counts: Mapping[Stratum, int], most: int) -> dict[Stratum, Stratum]:
    """The stratum that each one counts as, so that there are at most `most`: the smallest are taken together.

    A stratum too small to be drawn from would be left out, and nobody could say anything of it.

    >>> gathered({("train", "en"): 90, ("train", "de"): 3, ("val", "fr"): 2}, 2)
    {('train', 'en'): ('train', 'en'), ('train', 'de'): ('(rest)', '(rest)'), ('val', 'fr'): ('(rest)', '(rest)')}
    """
    largest = sorted(counts, key=lambda stratum: (-counts[stratum], stratum))
    own = set(largest if len(largest) <= most else largest[: max(most - 1, 0)])
    return {stratum: stratum if stratum in own else (REST,) * len(stratum) for stratum in counts}


def allot(counts: Mapping[Stratum, int], size: int, least: int) -> dict[Stratum, int]:
    """How many to draw of each stratum, `size` in all: at least `least` of each as far as that goes, else by size.

    The rest is dealt out by Sainte-Laguë's rule (divide by 1, 3, 5, ...), which is nearest to the proportions.

    >>> allot({("en",): 900, ("de",): 90, ("fr",): 1}, 20, least=2)
    {('en',): 17, ('de',): 2, ('fr',): 1}
    """
    size = min(size, sum(counts.values()))
    while least and sum(min(least, count) for count in counts.values()) > size:
        least -= 1
    drawn = {stratum: min(least, count) for stratum, count in counts.items()}
    waiting = [(-counts[one] / (2 * drawn[one] + 1), one) for one in counts if drawn[one] < counts[one]]
    heapify(waiting)
    for _ in range(size - sum(drawn.values())):
        _, first = waiting[0]
        drawn[first] += 1
        left = drawn[first] < counts[first]
        heapreplace(waiting, (-counts[first] / (2 * drawn[first] + 1) if left else 1.0, first))
    return drawn
