"""`rights.licence`: what a source wrote about a sample's licence, as an SPDX id."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches
from functools import cache, lru_cache
from importlib.resources import files
from typing import Final

import pyarrow as pa

from sluice.measures.base import Batch, Columns, measure, sample
from sluice.measures.creative_commons import creative_commons

_REF: Final = "LicenseRef-"
_A_REF: Final = re.compile(r"LicenseRef-[A-Za-z0-9.-]+")
_LONGEST: Final = 2_000  # characters; a longer text is a licence, not the name of one

# Statements that are no licence of SPDX's list but that a rule may want to tell apart, in five languages.
_STATEMENTS: Final = (
    (
        f"{_REF}All-Rights-Reserved",
        r"all rights reserved|alle rechte vorbehalten|tous droits réservés|todos los derechos reservados"
        r"|reservados todos los derechos|版权所有|保留所有权利",
    ),
    (f"{_REF}No-Known-Copyright", r"no known (?:copyright )?restrictions|no known copyright"),
    (f"{_REF}US-Government-Work", r"(?:united states|u\.?s\.?|us federal) government works?"),
    ("CC-PDM-1.0", r"public domain mark|\bpdm\b"),
    (
        f"{_REF}Public-Domain",
        r"public[ -]domain|gemeinfrei|domaine public|dominio público|公有领域|公共领域"
        r"|\bpd-(?:us|old|self|art|user|usgov|author)\w*(?:-\w+)*",
    ),
)
_STATEMENT: Final = tuple((spdx, re.compile(words)) for spdx, words in _STATEMENTS)

# Pages that state a licence. A group, where there is one, is looked up as a name.
_PAGES: Final = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r"(?:opensource\.org/licen[cs]es?|spdx\.org/licenses|choosealicense\.com/licenses)/([\w.+-]+)", "{}"),
        (r"apache\.org/licenses/license-(\d\.\d)", "apache {}"),
        (r"gnu\.org/(?:licenses|copyleft)/(?:old-licenses/)?((?:a|l)?gpl|fdl)(?:-(\d(?:\.\d)?))?", "{} {}"),
        (r"mozilla\.org/(?:[a-z]{2}-[a-z]{2}/)?mpl/(\d\.\d)", "mpl {}"),
        (r"opendatacommons\.org/licenses/(odbl|pddl)", "{} 1.0"),
        (r"opendatacommons\.org/licenses/by", "odc by 1.0"),
        (r"unlicense\.org", "unlicense"),
        (r"nationalarchives\.gov\.uk/doc/open-government-licence/version/(\d)", "ogl uk {}"),
        (r"artlibre\.org/licence/lal", "free art"),
        (r"flickr\.com/commons/usage", "no known copyright"),
        (r"usa\.gov/(?:copyright|government-works)", "us government work"),
        (r"(unsplash|pexels|pixabay)\.com/(?:\w{2}/)?(?:service/)?(?:licen[cs]e|terms)", "{}"),
    )
)
_RIGHTS_STATEMENT: Final = re.compile(r"rightsstatements\.org/(?:vocab|page)/([a-z-]+)/(\d\.\d)")
_RIGHTS_CODES: Final = {
    code.lower(): code
    for code in (
        *("InC", "InC-OW-EU", "InC-EDU", "InC-NC", "InC-RUU", "NoC-CR", "NoC-NC", "NoC-OKLR", "NoC-US"),
        *("CNE", "UND", "NKC"),
    )
}
_URL: Final = re.compile(r"(?:https?://|www\.)\S+|\b[\w-]+\.(?:org|com|net|gov)(?:\.\w\w)?/\S+")

# A version that is not stated is not made up: these have several. The second kind exists once only.
_FAMILIES: Final = {
    **{"apache": "Apache", "apache software": "Apache", "asl": "Apache", "bsd": "BSD", "gpl": "GPL", "gnu gpl": "GPL"},
    **{"gnu general public": "GPL", "general public": "GPL", "lgpl": "LGPL", "gnu lgpl": "LGPL", "agpl": "AGPL"},
    **{"gnu agpl": "AGPL", "gnu lesser general public": "LGPL", "gnu affero general public": "AGPL", "gfdl": "GFDL"},
    **{"fdl": "GFDL", "gnu fdl": "GFDL", "gnu free documentation": "GFDL", "free documentation": "GFDL", "mpl": "MPL"},
    **{
        "mozilla public": "MPL",
        "open government": "OGL",
        "ogl": "OGL",
        "free art": "Free-Art",
        "art libre": "Free-Art",
    },
    **{"unsplash": "Unsplash", "pexels": "Pexels", "pixabay": "Pixabay", "pixabay content": "Pixabay"},
    **{"no known copyright": "No-Known-Copyright", "us government work": "US-Government-Work", "pd": "Public-Domain"},
}
_ALIASES: Final = {
    **{"expat": "MIT", "new bsd": "BSD-3-Clause", "modified bsd": "BSD-3-Clause", "revised bsd": "BSD-3-Clause"},
    **{"bsd new": "BSD-3-Clause", "3 clause bsd": "BSD-3-Clause", "2 clause bsd": "BSD-2-Clause"},
    **{"simplified bsd": "BSD-2-Clause", "freebsd": "BSD-2-Clause", "bsd simplified": "BSD-2-Clause"},
    **{"apache software 2": "Apache-2.0", "asl 2": "Apache-2.0", "odbl": "ODbL-1.0", "open database": "ODbL-1.0"},
    **{"pddl": "PDDL-1.0", "odc by": "ODC-By-1.0", "ogl uk 1": "OGL-UK-1.0", "ogl uk 2": "OGL-UK-2.0"},
    **{"ogl uk 3": "OGL-UK-3.0", "ogl 3": "OGL-UK-3.0", "open government 3": "OGL-UK-3.0", "free art 1.3": "LAL-1.3"},
    **{"art libre 1.3": "LAL-1.3", "pdm": "CC-PDM-1.0", "boost software": "BSL-1.0", "eclipse public 2": "EPL-2.0"},
}
# GNU licences need no word "licence" beside them to be recognised in a sentence.
_GNU: Final = re.compile(
    r"\b(agpl|lgpl|gpl|gfdl)(?:[ -]?(?:v(?:ersion)?\.?)?[ -]?(\d(?:\.\d)?))?"
    r"(\+| or (?:any )?later|-or-later| only|-only)?(?![\w+])"
)
# COCO's licence table and Flickr's: id -> Creative Commons elements. Both are of version 2.0.
_COCO: Final = dict(zip("123456", ("BY-NC-SA", "BY-NC", "BY-NC-ND", "BY", "BY-SA", "BY-ND"), strict=True))
_NUMBERED: Final = re.compile(
    r"\b(flickr|(?:ms[ -]?)?coco)[ _.:-]*(?:licen[cs]es?)?[ _-]*(?:id|nr|no|number)?[ .:#=_-]*(\d{1,2})\b(?!\.)"
)
_OTHER_NUMBERS: Final = {
    **{("coco", "7"): f"{_REF}No-Known-Copyright", ("coco", "8"): f"{_REF}US-Government-Work"},
    **{("flickr", "0"): f"{_REF}All-Rights-Reserved", ("flickr", "7"): f"{_REF}No-Known-Copyright"},
    **{("flickr", "8"): f"{_REF}US-Government-Work", ("flickr", "9"): "CC0-1.0", ("flickr", "10"): "CC-PDM-1.0"},
}
_NEGATION: Final = re.compile(
    r"\b(?:not|never|no longer|except|unless|without|isn['’]?t|nicht(?![ -]?kommerziell)|sauf|excepto|ohne)\b"
    r"|不是|并非"
)


@measure("rights.licence", version=1, reads=sample(), writes={"spdx": pa.string()})
def licence(batch: Batch) -> Columns:
    """The licence that a source states, as an SPDX id.

    - `spdx`: an id of the SPDX list (3.29), a `LicenseRef-` for what the list cannot name, or null.

    Reads ids, names, abbreviations, deeds' URLs, sentences, COCO's and Flickr's numbers where they are called so.
    What is not stated is not made up: "CC BY" without a version is `LicenseRef-CC-BY`, a port that SPDX does not
    list `LicenseRef-CC-BY-3.0-BR`, "public domain" `LicenseRef-Public-Domain`, "all rights reserved"
    `LicenseRef-All-Rights-Reserved`; only where one version exists (CC0, ODbL) is it supplied, and "GPL 3" is
    `GPL-3.0-only`, as SPDX reads it. Unknown, contradictory, negated or several licences are null.
    """
    return {"spdx": [spdx(text) if text else None for text in batch.field("licence")]}


@lru_cache(maxsize=4096)
def spdx(text: str) -> str | None:
    """The SPDX id that `text` states, or a `LicenseRef-`, or None.

    >>> spdx("https://creativecommons.org/licenses/by-nc-sa/4.0/deed.de"), spdx("Apache 2"), spdx("CC-BY")
    ('CC-BY-NC-SA-4.0', 'Apache-2.0', 'LicenseRef-CC-BY')
    >>> spdx("see website"), spdx("MIT or Apache-2.0")
    (None, None)
    """
    text = text.strip()
    if not text or len(text) > _LONGEST:
        return None
    if _A_REF.fullmatch(text):
        return text
    folded = unicodedata.normalize("NFKC", text).strip().strip(".").lower()
    if (known := _names().get(_key(folded))) and "©" not in text:
        return known
    return _only(_mentions(text))


def near_ids(text: str) -> str:
    """SPDX ids that look like `text`, as words for a message; empty where none does.

    >>> near_ids("CC-BY-40"), near_ids("the MIT licence")
    ('CC-BY-4.0', 'MIT')
    """
    known = spdx(text)
    if known and not known.startswith(_REF):
        return known
    return " or ".join(get_close_matches(text, _spdx_ids(), n=1, cutoff=0.8))


def _mentions(text: str) -> set[str]:
    """Every licence that a sentence names."""
    text = unicodedata.normalize("NFKC", text)
    tools, licences, rest = creative_commons(text)
    if any({"SA", "ND"} <= set(one.elements) for one in licences):
        return set()
    found = {*tools, *(_listed(one.name) for one in licences)}
    rest = rest.lower()
    if _NEGATION.search(_URL.sub(" ", rest)):
        return set()
    for page, name in _PAGES:
        for match in page.finditer(rest):
            key = _key(name.format(*(group or "" for group in match.groups())).removesuffix(".html"))
            found |= {_names()[key]} & {*_names().values()} if key in _names() else set()
    found |= {
        f"{_REF}RightsStatements-{_RIGHTS_CODES[code]}-{version}"
        for code, version in _RIGHTS_STATEMENT.findall(rest)
        if code in _RIGHTS_CODES
    }
    rest = _URL.sub(" ", rest)
    for where, number in _NUMBERED.findall(rest):
        found |= _numbered("flickr" if where == "flickr" else "coco", number)
    found |= {name for name, statement in _STATEMENT if statement.search(rest)}
    for kind, version, suffix in _GNU.findall(rest):
        later = "or later" if "later" in suffix or "+" in suffix else ""
        found |= {_names()[key] for key in (_key(f"{kind} {version} {later}"),) if key in _names()}
    return found | _before_the_word_licence(rest)


def _numbered(table: str, number: str) -> set[str]:
    if number in _COCO:
        return {f"CC-{_COCO[number]}-2.0"}
    return {_OTHER_NUMBERS[table, number]} if (table, number) in _OTHER_NUMBERS else set()


def _before_the_word_licence(text: str) -> set[str]:
    """Names that end in the word "licence", with the version that may follow: "the Apache License, Version 2.0"."""
    words = re.findall(r"[^\W_]+(?:[.+][^\W_]*)*|_", re.sub(r"licen[cs]es?|lizenz", " _ ", text))
    found: set[str] = set()
    for place in (place for place, word in enumerate(words) if word == "_"):
        spans = ((start, end) for end in range(place + 5, place, -1) for start in range(max(0, place - 8), place))
        keys = (_key(" ".join(word for word in words[start:end] if word != "_")) for start, end in spans)
        if key := next((key for key in keys if key in _names()), None):
            found.add(_names()[key])
    return found


def _only(found: set[str]) -> str | None:
    """The one licence that is meant: a vaguer mention of it ("CC BY" beside "CC BY 4.0") counts for nothing."""
    vague = {one for one in found if any(_is_vaguer(one, other) for other in found)}
    rest = found - vague
    return rest.pop() if len(rest) == 1 else None


def _is_vaguer(one: str, other: str) -> bool:
    if one == other or not one.startswith(_REF):
        return False
    if one == f"{_REF}Public-Domain":
        return other in ("CC0-1.0", "CC-PDM-1.0", "CC-PDDC", f"{_REF}US-Government-Work")
    stem = one.removeprefix(_REF)
    return re.fullmatch(rf"(?:{_REF})?{re.escape(stem)}-\d.*", other) is not None


def _listed(name: str) -> str:
    return name if name in _spdx_ids() else f"{_REF}{name}"


def _key(text: str) -> str:
    """`text` without what varies between spellings of one name.

    >>> _key("the apache licence, version 2.0") == _key("Apache-2.0") == _key("apache2")
    True
    """
    text = re.sub(r"[^\w.+]+|_", " ", text.lower())
    text = re.sub(r"\bv\.?(?=\d)|(?<=[a-z])v(?=\d)|\b(?:the|a|licen[cs]e[ds]?|under|version|released)\b", " ", text)
    text = re.sub(r"(?<=[a-z])(?=\d)", " ", text)
    return " ".join(re.sub(r"(?<=\d)\.0(?![.\d])", "", text).split()).strip(".")


@cache
def _spdx_ids() -> frozenset[str]:
    return frozenset(current for _, current, _ in _table())


@cache
def _names() -> dict[str, str]:
    """The id for every id, official name and common name, by `_key`; a name of several licences is left out."""
    by_name: dict[str, set[str]] = {}
    for _, current, name in _table():
        by_name.setdefault(_key(name), set()).add(current)
    names = {key: ids.pop() for key, ids in by_name.items() if len(ids) == 1 and " " in key}
    names = {key.removesuffix(" only"): spdx_id for key, spdx_id in names.items()} | names
    names |= {key: f"{_REF}{family}" for key, family in _FAMILIES.items()}
    return names | {_key(given): current for given, current, _ in _table()} | _ALIASES


@cache
def _table() -> tuple[tuple[str, str, str], ...]:
    """Every id of the SPDX list, the id to use instead where it is deprecated, and the official name."""
    rows: Iterable[str] = files("sluice.measures").joinpath("data/spdx.tsv").read_text("utf-8").splitlines()[1:]
    split = (row.split("\t") for row in rows)
    return tuple((given, instead or given, name) for given, instead, name in split)
