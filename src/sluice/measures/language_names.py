"""The languages that `text.language` can tell, and the many ways in which sources write their names.

The table is `data/languages.tsv`: a row a language, with its BCP 47 code, the model's label for it, the scripts it
is written in, its macrolanguage (codes that share one are the same language to us), the group of languages it is
easily confused with, whether few texts on the web are in it, its other ISO 639 codes, and its names in English,
German, French, Spanish and itself (names after Unicode's CLDR).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True)
class Language:
    """A language that can be detected."""

    code: str  # BCP 47 primary subtag
    label: str  # the model's name for it
    scripts: frozenset[str]  # ISO 15924
    macrolanguage: str
    confusable: str  # empty where nothing is near
    rare: bool
    names: frozenset[str]  # lower case, other codes among them


@cache
def languages() -> dict[str, Language]:
    """Every language of the table, by code."""
    rows = files("sluice.measures").joinpath("data/languages.tsv").read_text("utf-8").splitlines()[1:]
    table: dict[str, Language] = {}
    for row in rows:
        code, label, scripts, macrolanguage, confusable, prior, codes, names = row.split("\t")
        known = frozenset(name for name in f"{codes},{names}".split(",") if name)
        table[code] = Language(
            code, label, frozenset(scripts.split(",")), macrolanguage, confusable, prior == "rare", known
        )
    return table


@cache
def primary_subtag(declared: str) -> str | None:
    """The code of a language that a source declares; None where it names none that can be detected.

    >>> [primary_subtag(name) for name in ("en-US", "eng", "English", "zh_Hans", "Deutsch", "und", "haw")]
    ['en', 'en', 'en', 'zh', 'de', None, None]
    """
    name = declared.strip().casefold()
    names = _codes_by_name()
    if name in names:
        return names[name]
    return names.get(name.replace("_", "-").split("-")[0].split("(")[0].split(".")[0].strip())


@cache
def _codes_by_name() -> dict[str, str]:
    by_name: dict[str, str] = {}
    for language in languages().values():
        for name in language.names:
            by_name.setdefault(name.casefold(), language.code)
    return by_name | {code: code for code in languages()}
