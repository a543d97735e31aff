"""What a text is like, without a model: `text.basic` and `text.content_hash`."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from hashlib import blake2b
from string import ascii_letters, ascii_uppercase, digits
from typing import Final, NamedTuple

import pyarrow as pa

from sluice.errors import RecipeError
from sluice.measures.base import Batch, Columns, measure
from sluice.measures.base import text as text_view
from sluice.measures.boilerplate import is_boilerplate
from sluice.measures.contacts import count_emails, count_phones, count_urls
from sluice.measures.noise import has_html, has_mojibake, is_file_name
from sluice.measures.words import words

_LETTERS: Final = ascii_letters.encode()
_CAPITALS: Final = ascii_uppercase.encode()
_DIGITS: Final = digits.encode()
_SPACES: Final = b" \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f"
_ASCII: Final = re.compile("[\x00-\x7f]+")
_INT16_MAX: Final = 32_767

_BASIC: Final = {
    "characters": pa.int32(),
    "words": pa.int32(),
    "letter_share": pa.float32(),
    "digit_share": pa.float32(),
    "repeated_word_share": pa.float32(),
    "repeated_ngram_share": pa.float32(),
    "capital_share": pa.float32(),
    "urls": pa.int16(),
    "emails": pa.int16(),
    "phones": pa.int16(),
    "file_name_like": pa.bool_(),
    "boilerplate": pa.bool_(),
    "mojibake": pa.bool_(),
    "html": pa.bool_(),
}


class _Composition(NamedTuple):
    """How many characters of a text are of which sort."""

    visible: int
    letters: int
    digits: int
    capitals: int
    cased: int


@measure("text.basic", version=1, reads=text_view(), writes=_BASIC)
def basic(batch: Batch, *, ngram: int = 3) -> Columns:
    """Length, composition and crawl noise of a text, in any script.

    - `characters`: Unicode code points, white space included.
    - `words`: words as `sluice.measures.words` counts them: each Han or kana character is one, and in Thai, Lao,
      Khmer and Myanmar three letters are.
    - `letter_share`: letters of any script, with their combining marks, among the characters that are not white space.
    - `digit_share`: decimal digits among the same.
    - `repeated_word_share`: 1 - distinct / all words, ignoring case.
    - `repeated_ngram_share`: the same of runs of `ngram` words (3 by default).
    - `capital_share`: capitals among letters that have case; 0 in a script without.
    - `urls`: how many, with or without http://.
    - `emails`: how many addresses.
    - `phones`: how many numbers; years, dates, sizes and ids are none.
    - `file_name_like`: a file name, or one with at most two words beside it.
    - `boilerplate`: nothing is left after a lead-in ("image of"), or fewer than two content words beside a notice
      ("click to enlarge"); English, German, French, Spanish, Chinese and some Japanese.
    - `mojibake`: wrongly decoded characters (ftfy's heuristic) or U+FFFD.
    - `html`: tags or character references left in.

    All shares are 0 for an empty text.
    """
    if ngram < 1:
        raise RecipeError(f"text.basic: ngram is a number of words, at least 1, not {ngram}")
    rows = [_basic(text, ngram) for text in batch.text]
    return {name: [row[place] for row in rows] for place, name in enumerate(_BASIC)}


def _basic(text: str, ngram: int) -> tuple[float, ...]:
    found = words(text)
    parts = _composition(text)
    repeated = _repeated_share(found)
    return (
        len(text),
        len(found),
        _share(parts.letters, parts.visible),
        _share(parts.digits, parts.visible),
        repeated,
        _repeated_share(list(zip(*(found[start:] for start in range(ngram)), strict=False))) if repeated else 0.0,
        _share(parts.capitals, parts.cased),
        min(count_urls(text), _INT16_MAX),
        min(count_emails(text), _INT16_MAX),
        min(count_phones(text), _INT16_MAX) if parts.digits >= 6 else 0,
        is_file_name(text),
        is_boilerplate(found),
        has_mojibake(text),
        has_html(text),
    )


def _composition(text: str) -> _Composition:
    raw = text.encode("ascii", "ignore")  # counting in bytes is ten times as fast, and most letters are ASCII
    letters = len(raw) - len(raw.translate(None, _LETTERS))
    capitals = len(raw) - len(raw.translate(None, _CAPITALS))
    ascii_part = _Composition(
        visible=len(raw.translate(None, _SPACES)),
        letters=letters,
        digits=len(raw) - len(raw.translate(None, _DIGITS)),
        capitals=capitals,
        cased=letters,
    )
    if len(raw) == len(text):
        return ascii_part
    kinds = Counter(map(_kind_of.__getitem__, _ASCII.sub("", text)))

    def count(flag: str) -> int:
        return sum(number for kind, number in kinds.items() if flag in kind)

    return _Composition(
        visible=ascii_part.visible + count("v"),
        letters=letters + count("l"),
        digits=ascii_part.digits + count("d"),
        capitals=capitals + count("u"),
        cased=letters + count("c"),
    )


class _KindOf(dict[str, str]):
    """What each character met so far counts as: v(isible), l(etter or mark), d(igit), u(pper case), c(ased)."""

    def __missing__(self, character: str) -> str:
        letter = character.isalpha() or unicodedata.category(character).startswith("M")
        upper = character.isupper()
        flags = {
            "v": not character.isspace(),
            "l": letter,
            "d": character.isdecimal(),
            "u": upper,
            "c": upper or character.islower(),
        }
        self[character] = "".join(flag for flag, holds in flags.items() if holds)
        return self[character]


_kind_of: Final = _KindOf()


def _repeated_share(things: list[str] | list[tuple[str, ...]]) -> float:
    return 1 - len(set(things)) / len(things) if things else 0.0


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


@measure("text.content_hash", version=1, reads=text_view(), writes={"text_hash": pa.string()})
def content_hash(batch: Batch) -> Columns:
    """What makes two captions the same caption.

    - `text_hash`: 32 hexadecimal digits (BLAKE2b-128) of the text after NFKC, case folding and collapsing of white
      space; texts that differ in nothing else have the same.
    """
    return {"text_hash": [text_hash(text) for text in batch.text]}


def text_hash(text: str) -> str:
    """The hash of one text, as `text.content_hash` writes it.

    >>> text_hash("A  Red\\tCUBE ") == text_hash("a red cube")
    True
    """
    return blake2b(_canonical(text).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


_IOTA_SUBSCRIPT: Final = re.compile("[\u0345\u1f80-\u1fff]")


def _canonical(text: str) -> str:
    if text.isascii():
        return " ".join(text.lower().split())
    # Folding can undo NFKC and NFKC folding (U+1D400 -> A -> a): repeated until both leave the text as it is.
    if _IOTA_SUBSCRIPT.search(text):  # must find its place among the marks before it is folded to a letter (D146)
        text = unicodedata.normalize("NFD", text)
    while (folded := unicodedata.normalize("NFKC", text.casefold())) != text:
        text = folded
    return " ".join(text.split())
