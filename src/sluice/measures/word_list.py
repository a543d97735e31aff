"""`safety.words`: terms of a list that the user gives. Sluice ships no list of offensive words.

A list is a text file in UTF-8: a term a line, `#` begins a comment. A term is a word or a phrase, whatever its letter
case; `*` at its end stands for any ending. `[de]` on a line of its own begins terms that count only in texts of that
language, as declared, and in those that declare none; terms above the first such line count in all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import pyarrow as pa

from sluice.errors import RecipeError
from sluice.measures.base import Batch, Columns, measure
from sluice.measures.base import text as text_view
from sluice.measures.words import words
from sluice.models.digest import content_hash

_HEADING: Final = re.compile(r"\[([A-Za-z]{2,3})(?:-[\w-]+)?\]")
_ANY: Final = ""  # the section of terms that count in every language
_INT16_MAX: Final = 32_767


@measure(
    "safety.words",
    version=1,
    reads=text_view(),
    writes={"listed_terms": pa.int16(), "first_listed_term": pa.string()},
    files=("list",),
)
def listed_words(batch: Batch, *, list: str | None = None) -> Columns:
    """Terms of your own list in a text. Runs only where a recipe gives it a `list`.

    A word list knows no context: it finds medical and reclaimed uses, and misses what is misspelt or meant. The format
    is in docs/safety.md.

    - `listed_terms`: how many terms of the list stand in the text.
    - `first_listed_term`: the first of them, as the list has it; null where there is none.
    """
    if list is None:
        raise RecipeError("safety.words needs `list`: the path of a file, relative to the recipe")
    terms = load_terms(list, content_hash({"file": Path(list)}))
    found = [terms.found_in(words(text), language) for text, language in zip(batch.text, batch.language, strict=True)]
    return {
        "listed_terms": [min(len(one), _INT16_MAX) for one in found],
        "first_listed_term": [one[0] if one else None for one in found],
    }


@dataclass(frozen=True)
class Terms:
    """A list of terms, ready to be looked up: by language, then by the first word of each."""

    exact: Mapping[str, Mapping[str, tuple[tuple[tuple[str, ...], bool], ...]]]
    stems: Mapping[str, frozenset[str]]  # first words of terms that are one word and have any ending

    def found_in(self, found: Sequence[str], language: str | None) -> list[str]:
        """The terms in a text whose `words` are `found`, in its order."""
        declared = (language or "").lower().partition("-")[0]
        sections = [_ANY, declared] if declared else [*self.exact]
        hits: list[str] = []
        for place, word in enumerate(found):
            for section in sections:
                term = self._at(section, word, found, place)
                if term:
                    hits.append(term)
                    break
        return hits

    def _at(self, section: str, word: str, found: Sequence[str], place: int) -> str | None:
        for phrase, open_end in self.exact.get(section, {}).get(word, ()):
            seen = tuple(found[place : place + len(phrase)])
            if seen == phrase:
                return " ".join(phrase) + "*" * open_end
            if open_end and seen[:-1] == phrase[:-1] and seen[-1].startswith(phrase[-1]):
                return " ".join(phrase) + "*"
        for length in range(len(word), 1, -1):
            if word[:length] in self.stems.get(section, ()):
                return f"{word[:length]}*"
        return None


@lru_cache(maxsize=8)
def load_terms(path: str, held: str) -> Terms:
    """The terms of the list at `path`, read once as long as its content hash is `held`."""
    exact: dict[str, dict[str, list[tuple[tuple[str, ...], bool]]]] = {_ANY: {}}
    stems: dict[str, set[str]] = {_ANY: set()}
    section = _ANY
    for number, line in enumerate(_lines(path), 1):
        entry = line.strip()
        if not entry or entry.startswith("#"):
            continue
        if entry.startswith("["):
            heading = _HEADING.fullmatch(entry)
            if not heading:
                raise RecipeError(f"{path}: line {number}: expected a language such as [de], found {entry!r}")
            section = heading[1].lower()
            exact.setdefault(section, {})
            stems.setdefault(section, set())
            continue
        open_end = entry.endswith("*")
        phrase = tuple(words(entry.rstrip("*")))
        if not phrase:
            raise RecipeError(f"{path}: line {number}: {entry!r} holds no word")
        if open_end and len(phrase) == 1:
            stems[section].add(phrase[0])
        else:
            exact[section].setdefault(phrase[0], []).append((phrase, open_end))
    return Terms(
        {name: {first: tuple(same) for first, same in terms.items()} for name, terms in exact.items()},
        {name: frozenset(listed) for name, listed in stems.items()},
    )


def _lines(path: str) -> Sequence[str]:
    try:
        return Path(path).read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: expected UTF-8 text: {error}") from error
