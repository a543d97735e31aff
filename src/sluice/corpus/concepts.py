"""Balancing by concepts, as MetaCLIP does: entries matched in captions, the frequent ones drawn less often.

An entry that stands in more than `cap` samples draws each of them with the probability cap / count; a sample stays if
any of its entries draws it. So the tail stays whole, and the head shrinks to about `cap`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sluice.corpus.draws import Keys, mixed, uniform
from sluice.models.extras import optional

# Scripts written without spaces: there a word has no edge that could be looked for.
_UNSPACED: Final = ((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3040, 0x30FF), (0x3400, 0x9FFF))


@dataclass(frozen=True)
class Matches:
    """Which entries stand in which rows: a pair each, sorted, without repeats."""

    row: npt.NDArray[np.int64]
    entry: npt.NDArray[np.int64]


class Concepts:
    """The entries, ready to be looked for: in any letter case, as whole words."""

    def __init__(self, entries: Iterable[str]) -> None:
        self.entries: Final = tuple(dict.fromkeys(folded for entry in entries if (folded := fold(entry))))
        self._automaton: Any = optional("ahocorasick", "balance.concepts", "concepts").Automaton()
        for number, entry in enumerate(self.entries):
            self._automaton.add_word(entry, number)
        self._automaton.make_automaton()

    def find(self, text: str) -> set[int]:
        """The numbers of the entries that stand in `text`.

        >>> concepts = Concepts(["cat", "Red Car"])
        >>> sorted(concepts.find("A cat on a RED  car, no caterpillar"))
        [0, 1]
        """
        said = fold(text)
        found: set[int] = set()
        if self.entries:
            for end, number in self._automaton.iter(said):
                start = end + 1 - len(self.entries[number])
                if number not in found and _edge(said, start) and _edge(said, end + 1):
                    found.add(number)
        return found

    def match(self, rows: Iterable[tuple[int, str | None]]) -> Matches:
        """All pairs of a row and an entry that stands in one of its texts."""
        each = (number for pair in self._pairs(rows) for number in pair)
        pairs: npt.NDArray[np.int64] = np.unique(np.fromiter(each, np.int64).reshape(-1, 2), axis=0)
        return Matches(pairs[:, 0], pairs[:, 1])

    def _pairs(self, rows: Iterable[tuple[int, str | None]]) -> Iterator[tuple[int, int]]:
        for row, text in rows:
            if text:
                yield from ((row, entry) for entry in self.find(text))


@dataclass(frozen=True)
class ConceptDraw:
    """What was drawn, and for each row its rarest entry (-1: none) and in how many rows that stands."""

    drawn: npt.NDArray[np.bool_]
    rarest: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]  # by entry


def draw(matches: Matches, entries: Sequence[Keys] | Keys, key: Keys, cap: int) -> ConceptDraw:
    """Draw rows by the entries that match them; `key` is each row's, `entries` each entry's.

    >>> everywhere = Matches(np.arange(4), np.zeros(4, np.int64))
    >>> draw(everywhere, np.array([7], np.uint64), np.arange(4, dtype=np.uint64), 4).drawn.tolist()
    [True, True, True, True]
    """
    of = np.asarray(entries, np.uint64)
    counts = np.bincount(matches.entry, minlength=len(of)).astype(np.int64)
    luck = uniform(mixed(key[matches.row], of[matches.entry]))
    taken = luck * counts[matches.entry] < cap
    drawn = np.zeros(len(key), np.bool_)
    drawn[matches.row[taken]] = True
    order = np.lexsort((matches.entry, counts[matches.entry]))[::-1]  # the rarest is written last
    rarest = np.full(len(key), -1, np.int64)
    rarest[matches.row[order]] = matches.entry[order]
    return ConceptDraw(drawn, rarest, counts)


def fold(text: str) -> str:
    """`text` as it is compared: compatible forms made one, letter case folded, white space single.

    >>> fold("  Stra\u00dfe \\n NR.\uff11")
    'strasse nr.1'
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _edge(text: str, place: int) -> bool:
    """Whether no word goes on across `place`."""
    if place in (0, len(text)):
        return True
    return not (_of_word(text[place - 1]) and _of_word(text[place]))


def _of_word(character: str) -> bool:
    code = ord(character)
    return (character.isalnum() or unicodedata.combining(character) > 0) and not any(
        first <= code <= last for first, last in _UNSPACED
    )
