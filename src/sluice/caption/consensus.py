"""What two or three captioners agree on, and what only one of them claims."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from sluice.caption.content_words import content_words
from sluice.caption.sentences import sentences
from sluice.errors import SluiceError


@dataclass(frozen=True)
class Consensus:
    """Of one image. Words are shown as the first captioner that says them writes them."""

    agreed: tuple[str, ...]  # said by at least two
    claims: Mapping[str, tuple[str, ...]]  # by captioner: what it alone says
    support: Mapping[str, float]  # by captioner: the share of what it says that others say too
    caption: str | None  # the sentences of one captioner, without those that hold a claim of its own
    best: str  # the captioner with the highest support; of equal ones that which says more, then the first


def consensus(captions: Mapping[str, str], language: str) -> Consensus:
    """What the captions of several captioners (by name) have in common: things, colours, numbers, actions.

    Words are matched by their stems, in English, German, French and Spanish; synonyms ("sofa", "couch") are not, so a
    claim of one captioner is to be looked at and need not be wrong.

    >>> found = consensus(
    ...     {"a": "Two brown dogs on a sofa", "b": "Two dogs lie on a red sofa", "c": "A dog on a couch"}, "en"
    ... )
    >>> found.agreed, found.claims["b"], found.best
    (('two', 'dogs', 'sofa'), ('lie', 'red'), 'a')
    >>> consensus({"a": "Two dogs. They are brown.", "b": "Two dogs lie there."}, "en").caption
    'Two dogs.'
    """
    if len(captions) < 2:
        raise SluiceError("a consensus needs the captions of two captioners at least")
    said = {name: content_words(text, language) for name, text in captions.items()}
    count = Counter(stem for found in said.values() for stem in found)
    written: dict[str, str] = {}
    for found in said.values():
        for stem, word in found.items():
            written.setdefault(stem, word)
    support = {
        name: sum(count[stem] > 1 for stem in found) / len(found) if found else 0.0 for name, found in said.items()
    }
    ranked = sorted(said, key=lambda name: (-support[name], -sum(count[stem] > 1 for stem in said[name])))
    return Consensus(
        tuple(written[stem] for stem in written if count[stem] > 1),
        {name: tuple(word for stem, word in found.items() if count[stem] == 1) for name, found in said.items()},
        support,
        next(filter(None, (_agreed(captions[name], count, language) for name in ranked)), None),
        ranked[0],
    )


def _agreed(text: str, count: Mapping[str, int], language: str) -> str:
    """The sentences of `text` that say something, and nothing that nobody else says."""
    kept = (
        sentence
        for sentence in sentences(text.strip())
        if (stems := content_words(sentence, language)) and all(count[stem] > 1 for stem in stems)
    )
    return "".join(kept).strip()
