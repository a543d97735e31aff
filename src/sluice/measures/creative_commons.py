"""Creative Commons licences as people write them: deeds' URLs, abbreviations, and names in five languages.

A licence is what the text says of it: the elements (BY, NC, SA, ND), the version if there is one, and the country
it was ported to if there is one. Nothing is filled in.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple


class CreativeCommons(NamedTuple):
    """A mention of a licence: `("BY", "SA")`, `"4.0"` or empty, `"DE"` or empty."""

    elements: tuple[str, ...]
    version: str
    port: str

    @property
    def name(self) -> str:
        """The id it would have if SPDX listed it.

        >>> CreativeCommons(("BY", "NC"), "3.0", "BR").name, CreativeCommons(("BY",), "", "").name
        ('CC-BY-NC-3.0-BR', 'CC-BY')
        """
        return "-".join(part for part in ("CC", *self.elements, self.version, self.port) if part)


_DEED: Final = re.compile(
    r"creativecommons\.org/(?:licen[cs]es/(?P<kind>[a-z+-]+)|publicdomain/(?P<public>zero|mark|certification))"
    r"(?:/(?P<version>\d\.\d)(?:/(?P<port>[a-z]{2,8})(?![\w.]))?)?[^\s,;)]*",
    re.IGNORECASE,
)
_PUBLIC: Final = {"zero": "CC0-1.0", "mark": "CC-PDM-1.0", "certification": "CC-PDDC"}
_NO_PORTS: Final = ("deed", "legalcode", "rdf")

_COUNTRIES: Final = {
    **{"germany": "DE", "deutschland": "DE", "allemagne": "DE", "alemania": "DE", "austria": "AT", "österreich": "AT"},
    **{"switzerland": "CH", "schweiz": "CH", "france": "FR", "spain": "ES", "españa": "ES", "espagne": "ES"},
    **{"united states": "US", "usa": "US", "estados unidos": "US", "united kingdom": "UK", "england & wales": "UK"},
    **{"england and wales": "UK", "scotland": "SCOTLAND", "ireland": "IE", "netherlands": "NL", "nederland": "NL"},
    **{"japan": "JP", "australia": "AU", "new zealand": "NZ", "canada": "CA", "italy": "IT", "italia": "IT"},
    **{"poland": "PL", "brazil": "BR", "brasil": "BR", "portugal": "PT", "mexico": "MX", "méxico": "MX", "chile": "CL"},
    **{"argentina": "AR", "colombia": "CO", "peru": "PE", "perú": "PE", "china mainland": "CN", "中国大陆": "CN"},
    **{"taiwan": "TW", "hong kong": "HK", "india": "IN", "south korea": "KR", "korea": "KR", "south africa": "ZA"},
    **{"sweden": "SE", "denmark": "DK", "norway": "NO", "finland": "FI", "greece": "GR", "czech republic": "CZ"},
    **{"romania": "RO", "hungary": "HU", "croatia": "HR", "serbia": "RS", "slovenia": "SI", "singapore": "SG"},
    **{"philippines": "PH", "thailand": "TH", "vietnam": "VN", "israel": "IL", "estonia": "EE", "luxembourg": "LU"},
    "igo": "IGO",
}
_PORTS: Final = frozenset(_COUNTRIES.values()) | {"BE", "BG", "CR", "EC", "EG", "GT", "MK", "MT", "MY", "PR", "VE"}
_RETIRED: Final = ("sampling", "sampling+", "devnations")  # kinds that only deeds name

# What names an element, between separators that were made spaces; the longest first.
_ELEMENTS: Final = {
    "BY": "attribution|namensnennung|atribución|reconocimiento|paternité|attribuzione|署名|by",
    "NC": (
        "non ?commercial(?: use)?|nicht ?kommerziell|keine kommerzielle nutzung|pas d utilisation commerciale"
        "|no ?comercial|非商业性使用|非商业性|非商业使用|nc"
    ),
    "SA": (
        "share ?alike|weitergabe unter gleichen bedingungen|partage dans les mêmes conditions"
        "|partage des conditions initiales à l identique|compartir ?igual|相同方式共享|sa"
    ),
    "ND": (
        "no ?deriv(?:ative)?s?(?: works)?|keine ?bearbeitungen?|pas de modifications?|sin ?obras? ?derivadas?"
        "|sin ?derivadas|禁止演绎|nd"
    ),
}
_ELEMENT: Final = "(?:" + "|".join(f"(?P<{name}>{words})" for name, words in _ELEMENTS.items()) + ")"
_ANY: Final = "(?:" + "|".join(_ELEMENTS.values()) + ")"
_COUNTRY: Final = "|".join(sorted(map(re.escape, _COUNTRIES), key=len, reverse=True))
_NAMED: Final = re.compile(
    r"(?:(?P<cc>(?<!\w)(?:creative commons(?: licen[cs]e)?(?: cc)?|cc|知识共享)(?: ?licen[cs]e)? ?)|(?<![a-z0-9]))"
    rf"(?P<elements>{_ANY}(?: ?{_ANY})*)(?![a-z])"
    r"(?P<licence> ?(?:public )?(?:licen[cs]es?|lizenz|licence|licencia|许可协议))?"
    r"(?: ?(?:v|version|ver\.?)? ?(?P<version>[1-5](?:\.\d)?)(?![\d]|\.\d))?"
    r"(?: ?(?:unported|international|generic|国际|通用)| licen[cs]e)*"
    rf"(?: (?P<port>(?-i:[A-Z]{{2,3}})(?!\w)|[a-z]{{2,3}}$|(?:{_COUNTRY})(?!\w)))?",
    re.IGNORECASE,
)
_EACH: Final = re.compile(_ELEMENT, re.IGNORECASE)
_ZERO: Final = re.compile(
    r"(?<!\w)(?:creative commons|cc)(?: cc)? ?(?:0|zero)(?:(?: ?v(?:ersion)?)? ?1(?:\.0)?)?(?!\w)", re.IGNORECASE
)
_SEPARATORS: Final = re.compile(r"[\s_\-\u2010-\u2015/,:;()\[\]\"'’|]+")


def creative_commons(text: str) -> tuple[list[str], list[CreativeCommons], str]:
    """Public-domain tools by SPDX id, licences, and `text` without the URLs of deeds.

    >>> creative_commons("Attribution-ShareAlike 4.0 International (CC BY-SA 4.0)")[1]
    [CreativeCommons(elements=('BY', 'SA'), version='4.0', port='')]
    """
    tools: list[str] = []
    licences: list[CreativeCommons] = []
    for deed in _DEED.finditer(text):
        if deed["public"]:
            tools.append(_PUBLIC[deed["public"].lower()])
        elif deed["kind"].lower().strip("-") == "publicdomain":
            tools.append("CC-PDDC")
        else:
            port = (deed["port"] or "").lower()
            parts = [part for part in deed["kind"].lower().split("-") if part]
            if all(part.upper() in _ELEMENTS or part in _RETIRED for part in parts):
                kind = tuple(part.replace("+", "-PLUS").upper() for part in parts)
                licences.append(_licence(kind, deed["version"] or "", "" if port in _NO_PORTS else port.upper()))
    rest = _DEED.sub(" ", text)
    plain = _SEPARATORS.sub(" ", rest).strip()
    if _ZERO.search(plain):
        tools.append("CC0-1.0")
    for named in _NAMED.finditer(plain):
        matches = list(_EACH.finditer(named["elements"]))
        elements = tuple(str(one.lastgroup) for one in matches)
        alone = not plain[: named.start()].strip(" .") and not plain[named.end() :].strip(" .")
        spelt_out = elements[0] == "BY" and matches[0][0].lower() != "by"  # which is a word of English
        if named["cc"] or alone or (spelt_out and (len(elements) > 1 or named["licence"] or named["version"])):
            port = named["port"] or ""
            port = _COUNTRIES.get(port.lower(), port.upper())
            version = named["version"] or ""
            version = version if "." in version or not version else f"{version}.0"
            ported = port in _PORTS and version < "4"  # version 4.0 was never ported
            licences.append(_licence(elements, version, port if ported else ""))
    return list(dict.fromkeys(tools)), list(dict.fromkeys(licences)), rest


def _licence(elements: tuple[str, ...], version: str, port: str) -> CreativeCommons:
    """With its elements in the order that SPDX has: BY, NC, then SA or ND."""
    order = [*_ELEMENTS]
    known = sorted(set(elements) & set(order), key=order.index)
    return CreativeCommons((*known, *(one for one in elements if one not in order)), version, port)
