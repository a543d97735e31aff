"""`text.pii`: what identifies or reaches a person or an account.

Numbers count only where check digits or a form of their own confirm them; names and postal addresses, which neither
does, are not looked for.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Final, NamedTuple

import pyarrow as pa

from sluice.measures import id_numbers
from sluice.measures.base import Batch, Columns, measure
from sluice.measures.base import text as text_view
from sluice.measures.contacts import count_emails, count_phones

_INT16_MAX: Final = 32_767


class _Kind(NamedTuple):
    """One sort of number: how it is written, and what confirms it once spaces, points and hyphens are out."""

    name: str
    form: re.Pattern[str]
    confirmed: Callable[[str], bool]


def _kind(name: str, form: str, confirmed: Callable[[str], bool]) -> _Kind:
    """A form that stands alone: not within a longer number, a word, a path or a URL."""
    return _Kind(name, re.compile(rf"(?<![\w/]|[.,:-])(?:{form})(?!\w|[.,/:-]\w)", re.ASCII), confirmed)


# As long as its country writes it: what follows may be a word in capitals.
_IBAN: Final = "|".join(
    rf"(?:{countries.replace(' ', '|')})\d\d(?: ?[A-Z0-9]){{{length - 4}}}"
    for length, countries in id_numbers.IBAN_COUNTRIES.items()
)
_SSN_CUE: Final = r"(?i:\bssn|social security(?: (?:no|number))?)\.?:? ?(?:is )?"

# In this order: what is found is taken out before the next is looked for, and longer numbers hold shorter ones.
_KINDS: Final = (
    _kind("iban", _IBAN, id_numbers.is_iban),
    _kind("cn_id", r"[1-8]\d{5}(?:19|20)\d{9}[\dXx]", id_numbers.is_cn_id),
    _kind("fr_nir", r"[1-478] ?\d\d ?\d\d ?(?:\d\d|2[AB]) ?\d{3} ?\d{3} ?\d\d", id_numbers.is_fr_nir),
    _kind(
        "card",
        r"\d{4}(?:[ -]\d{4}){3}(?:[ -]\d{3})?|\d{4}[ -]\d{6}[ -]\d{4,5}|\d{14,16}|\d{19}",
        id_numbers.is_card,
    ),
    _kind("de_tax_id", r"[1-9]\d(?:\d{9}|(?: \d{3}){3})", id_numbers.is_de_tax_id),
    _kind("es_dni", r"(?:\d{8}|\d\d(?:\.\d{3}){2})[ -]?[A-HJ-NP-TV-Z]", id_numbers.is_es_dni),
    _kind("es_nie", r"[XYZ][ -]?\d{7}[ -]?[A-HJ-NP-TV-Z]", id_numbers.is_es_nie),
    _kind("us_ssn", r"\d{3}-\d\d-\d{4}", id_numbers.is_us_ssn),
    _Kind("us_ssn", re.compile(rf"{_SSN_CUE}(\d{{9}})\b", re.ASCII), id_numbers.is_us_ssn),
)
_LONG: Final = re.compile(r"\d(?:[ .-]?[\dA-Z]){6}", re.ASCII)  # every number above holds such a run
_SEPARATORS: Final = re.compile(r"[ .-]")
_IPV4: Final = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?!\w|\.\d)", re.ASCII)
_IPV6: Final = re.compile(r"(?<![\w:.])(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{1,4}(?![\w:]|\.\d)", re.IGNORECASE | re.ASCII)
_VERSION: Final = re.compile(r"(?:\bv|version|release|firmware|build|section|chapter|kapitel)[ .:]*\Z", re.IGNORECASE)

_PII: Final = {"pii": pa.int16(), "pii_kinds": pa.string()}


@measure("text.pii", version=1, reads=text_view(), writes=_PII)
def pii(batch: Batch) -> Columns:
    """Addresses and numbers that identify or reach a person or an account.

    Each kind is confirmed by its check digits where it has any; names and postal addresses are not looked for.

    - `pii`: how many.
    - `pii_kinds`: which, in this order and joined by a space: email, phone, ip (v4 and v6, public ones), card (Luhn and
      the issuer's prefix), iban, us_ssn, de_tax_id, es_dni, es_nie, fr_nir, cn_id; empty where there is none.
    """
    rows = [personal(text) for text in batch.text]
    return {
        "pii": [min(sum(found.values()), _INT16_MAX) for found in rows],
        "pii_kinds": [" ".join(found) for found in rows],
    }


def personal(text: str) -> dict[str, int]:
    """How many there are of each kind that occurs.

    >>> personal("Write to ann@example.org, card 4111 1111 1111 1111")
    {'email': 1, 'card': 1}
    >>> personal("a red ball, 1920x1080, IMG_20210101, version 8.8.8.8")
    {}
    """
    counts = {"email": count_emails(text)} if "@" in text else {}
    addresses = _addresses(text)
    if _LONG.search(text):
        numbers, text = _numbers(text)
        counts |= {"phone": count_phones(text), "ip": addresses, **numbers}
    elif addresses:
        counts["ip"] = addresses
    return {kind: count for kind, count in counts.items() if count}


def _numbers(text: str) -> tuple[dict[str, int], str]:
    """The confirmed numbers by kind, and the text without them."""
    counts = dict.fromkeys(sorted({kind.name for kind in _KINDS}), 0)

    for kind in _KINDS:

        def without(match: re.Match[str], kind: _Kind = kind) -> str:
            if not kind.confirmed(_SEPARATORS.sub("", match[match.lastindex or 0])):
                return match[0]
            counts[kind.name] += 1
            return " "

        text = kind.form.sub(without, text)
    return counts, text


def _addresses(text: str) -> int:
    """IP addresses that are routed publicly: those of private networks and examples in manuals reach nobody."""
    count = 0
    if text.count(".") >= 3:
        count += sum(
            _is_public(match[0]) and not _VERSION.search(text[max(0, match.start() - 12) : match.start()])
            for match in _IPV4.finditer(text)
        )
    if text.count(":") >= 2:
        count += sum(_is_public(match[0]) for match in _IPV6.finditer(text))
    return count


def _is_public(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).is_global
    except ValueError:
        return False
