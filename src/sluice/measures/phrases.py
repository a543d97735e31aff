"""Finding any of many phrases in a text: by its rarest word each, so that a text without one costs a microsecond."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from sluice.measures.words import is_ideograph, words

# Words of the phrases of ours that every other caption has, too: a phrase is not looked for by these.
_COMMON_WORDS: Final = """
a an the of in on at to from with is are it this that i you your me we image picture photo description as here for
no not and but bild das die der ein eine ich sie ist es von als hier dieses une un la le les de des vous je
ne pas en voici cette el lo los las una que con pero aquí imagen esta como foto 我 的 这 是 一 个 图 片 张 以 下 对 您
"""
_COMMON: Final = frozenset(_COMMON_WORDS.split())


class Phrases:
    """A set of phrases. A phrase is found where its words stand side by side, whatever stands between them.

    >>> Phrases("as an ai | 我无法").found_in(words("As an AI, I see a dog"))
    True
    >>> Phrases("as an ai | 我无法").found_in(words("a sign as an aide"))
    False
    """

    def __init__(self, listed: str) -> None:
        self._by_rarest: dict[str, list[tuple[tuple[str, ...], int]]] = {}
        for phrase in listed.replace("\n", "|").split("|"):
            for spelling in dict.fromkeys((phrase, phrase.replace("'", "’"))):
                split = tuple(words(spelling))
                if split:
                    place = max(range(len(split)), key=lambda number: _rarity(split[number]))
                    self._by_rarest.setdefault(split[place], []).append((split, place))

    def found_in(self, found: Sequence[str]) -> bool:
        """Whether one of the phrases stands in a text whose `words` are `found`."""
        return next(self.matches(found), None) is not None

    def matches(self, found: Sequence[str]) -> Iterator[tuple[int, int]]:
        """First word and end of each phrase that stands in the text."""
        if self._by_rarest.keys().isdisjoint(found):
            return
        for number, word in enumerate(found):
            for phrase, place in self._by_rarest.get(word, ()):
                start = number - place
                if start >= 0 and tuple(found[start : start + len(phrase)]) == phrase:
                    yield start, start + len(phrase)


def _rarity(word: str) -> tuple[bool, int]:
    """What to look for a phrase by: the longest word that is not in every other caption."""
    return (word not in _COMMON, 2 if is_ideograph(word) else len(word))
