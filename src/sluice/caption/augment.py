"""Variations of captions, as new captions that name their origin: expanded, of fit length, said in other words.

A variation that changed digits, names in quotation marks, or left and right is discarded, and so is one that is the
same again; both are recorded, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Literal

from sluice.caption.base import Spent
from sluice.caption.facts import changed
from sluice.caption.gaps import Gaps, MissingFieldError
from sluice.caption.sentences import OutOfBandError, in_band
from sluice.caption.translate import Translator
from sluice.errors import SampleFailure
from sluice.measures.text import text_hash

Method = Literal["expand", "length", "paraphrase", "back_translation"]

_BATCH = 256  # captions that a translator is given at a time


@dataclass(frozen=True)
class Original:
    """A caption that is to be varied."""

    id: str
    text: str
    language: str  # BCP 47
    fields: Mapping[str, object] = field(default_factory=dict[str, object])  # of its sample, for templates


@dataclass(frozen=True)
class Variation:
    """A new caption, or why there is none."""

    origin: str  # the id of the original
    method: Method
    maker: str  # the template, the band, or the identity of the models
    text: str | None
    discarded: str | None = None
    failure: SampleFailure | None = None  # the translator failed: this can be tried again
    spent: Spent = field(default_factory=Spent)  # of the translator


def expanded(originals: Iterable[Original], template: str) -> Iterator[Variation]:
    """Each caption within a template, where `{caption}` is the caption itself and other fields are the sample's.

    >>> bag = Original("1", "A red bag.", "en", {"material": "wool"})
    >>> next(expanded([bag], "{caption}[ It is made of {material}.]")).text
    'A red bag. It is made of wool.'
    """
    gaps = Gaps(template)
    for one in originals:
        try:
            text = " ".join(gaps.filled({**one.fields, "caption": one.text}).split())
        except MissingFieldError as error:
            yield Variation(one.id, "expand", template, None, f"the template needs the field {error}")
        else:
            yield _checked(one, "expand", template, text, facts=False)


def of_length(originals: Iterable[Original], shortest: int = 10, longest: int = 50) -> Iterator[Variation]:
    """Each caption cut to its first whole sentences, where they have so many words; one that fits is not varied.

    >>> [one.discarded for one in of_length([Original("1", "A dog.", "en")], 3, 20)]
    ['it has 2 words in whole sentences, fewer than 3']
    """
    maker = f"{shortest}-{longest} words"
    for one in originals:
        try:
            yield _checked(one, "length", maker, in_band(one.text, shortest, longest), facts=False)
        except OutOfBandError as error:
            yield Variation(one.id, "length", maker, None, str(error))


def paraphrased(originals: Iterable[Original], translator: Translator) -> Iterator[Variation]:
    """Each caption in other words of its own language, by a translator that can (a chat service)."""
    for batch in _batches(originals):
        for language, some in _by_language(batch).items():
            said = translator.translate([one.text for one in some], language, language)
            for one, text, spent in zip(some, said, translator.took, strict=True):
                yield _made(one, "paraphrase", translator.identity, text, spent)


def back_translated(
    originals: Iterable[Original], there: Translator, pivot: str, back: Translator | None = None
) -> Iterator[Variation]:
    """Each caption translated to `pivot` and back again. What failed on the way there is not sent back."""
    back = back or there
    maker = f"{there.identity} > {pivot} > {back.identity}"
    for batch in _batches(originals):
        for language, some in _by_language(batch).items():
            away = there.translate([one.text for one in some], language, pivot)
            paid = there.took
            home = iter(back.translate([text for text in away if isinstance(text, str)], pivot, language))
            paid_home = iter(back.took)
            for one, text, spent in zip(some, away, paid, strict=True):
                if isinstance(text, str):
                    yield _made(one, "back_translation", maker, next(home), spent + next(paid_home))
                else:
                    yield _made(one, "back_translation", maker, text, spent)


def _made(one: Original, method: Method, maker: str, text: str | SampleFailure, spent: Spent) -> Variation:
    if isinstance(text, SampleFailure):
        return Variation(one.id, method, maker, None, failure=text, spent=spent)
    return replace(_checked(one, method, maker, text, facts=True), spent=spent)


def _checked(one: Original, method: Method, maker: str, text: str, *, facts: bool) -> Variation:
    """The variation, unless it says nothing new or, where that is to be checked, something else."""
    if not text.strip():
        return Variation(one.id, method, maker, None, "it is empty")
    if text_hash(text) == text_hash(one.text):
        return Variation(one.id, method, maker, None, "it is the same again")
    if facts and (what := changed(one.text, text, one.language, one.language)):
        return Variation(one.id, method, maker, None, what)
    return Variation(one.id, method, maker, text.strip())


def _batches(originals: Iterable[Original]) -> Iterator[list[Original]]:
    waiting = iter(originals)
    while batch := list(islice(waiting, _BATCH)):
        yield batch


def _by_language(batch: Sequence[Original]) -> dict[str, list[Original]]:
    found: dict[str, list[Original]] = {}
    for one in batch:
        found.setdefault(one.language, []).append(one)
    return found
