"""Texts that stop before they end: at a length limit of a model, of a crawl, of a database column."""

from __future__ import annotations

import re
from typing import Final

# Words that end no sentence. Only those that mean nothing else in their own language: "on", "to", "her", "auf" do end.
_NEVER_LAST_WORDS: Final = {
    "en": """
        a an the of and or with from at into onto between its their his is are was were which whose
    """,
    "de": """
        der die ein eine einer eines einem einen dem des und oder mit von vom zum zur im am sowie
    """,
    "fr": """
        le la les un une des du de et ou avec dans sur aux au en par son sa ses leur leurs qui dont
    """,
    "es": """
        el la los las un una unos unas del de y o con en por su sus que cuyo cuya al
    """,
}
_NEVER_LAST: Final = {language: frozenset(listed.split()) for language, listed in _NEVER_LAST_WORDS.items()}
# Where no language is declared: those that are no word that may end a sentence of another language either.
_SAFE_WORDS: Final = "the of and with eine einer eines einem und mit avec dans une las unas"
_ANYWHERE: Final = frozenset(_SAFE_WORDS.split())
_HAN_NEVER_LAST: Final = "和与及或"
_OPEN_END: Final = re.compile(r"(?:[,;:，、；：([{（【«„-]|\.\.\.|…)[\s\"'”»*]*\Z")
_ENDED: Final = re.compile(r"[.!?。！？][\"'”»)）」』\]*]*\Z")
# After four letters: "Dr.", "U.S." and "St." end no sentence.
_SENTENCE: Final = re.compile(r"(?<=[^\W\d_]{4})[.!?][\"'”»)]*\s+(?=[^\W\d_])|[。！？]")
_LONG: Final = 12  # words: a title of two sentences ("Berlin. A view of the wall") has no full stop, and is whole


def is_cut_off(text: str, found: list[str], language: str | None) -> bool:
    """Whether the text stops before it ends; `found` holds its `words`, `language` is the declared one.

    >>> [is_cut_off(text, text.split(), "en") for text in ("a dog on the", "a dog, a cat,", "a dog on the beach")]
    [True, True, False]
    """
    text = text.rstrip()
    if len(found) < 3 or (_ENDED.search(text[-8:]) and not text.endswith("...")):
        return False
    if _OPEN_END.search(text[-8:]):
        return True
    last = found[-1]
    if text[-1].islower() and last in _NEVER_LAST.get((language or "")[:2].lower(), _ANYWHERE):
        return True
    if text[-1] in _HAN_NEVER_LAST:
        return True
    return len(found) >= _LONG and text[-1].isalnum() and len(_SENTENCE.findall(text)) > 1
