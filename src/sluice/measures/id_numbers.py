"""Numbers that identify a person or an account, told from other numbers by the check digits that they carry.

Every check here is held against python-stdnum in the tests. What has no check digit is no business of this file: a
number that nothing can confirm would be a guess.
"""

from __future__ import annotations

from datetime import date
from typing import Final

_DNI_LETTERS: Final = "TRWAGMYFPDXBNJZSQVHLCKE"
# ISO 7064 MOD 11-2 over 17 digits, GB 11643-1999
_RIC_WEIGHTS: Final = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_RIC_CHECKS: Final = "10X98765432"
_REGIONS: Final = (
    "11 12 13 14 15 21 22 23 31 32 33 34 35 36 37 41 42 43 44 45 46 50 51 52 53 54 61 62 63 64 65 71 81 82"
)
_RIC_REGIONS: Final = frozenset(_REGIONS.split())
# SWIFT's IBAN registry, release 99: the countries by length
IBAN_COUNTRIES: Final = {
    15: "NO",
    16: "BE",
    18: "DK FI FK FO GL NL SD",
    19: "MK SI",
    20: "AT BA EE KZ LT LU MN XK",
    21: "CH CR HR LI LV",
    22: "BG BH DE GB GE IE ME RS VA",
    23: "AE GI IL IQ OM SO TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST",
    26: "IS TR",
    27: "BI DJ FR GR IT MC MR SM",
    28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
    29: "BR EG PS QA UA",
    30: "JO KW MU YE",
    31: "MT SC",
    32: "LC",
    33: "RU",
}
_IBAN_LENGTHS: Final = {country: length for length, listed in IBAN_COUNTRIES.items() for country in listed.split()}


def is_card(digits: str) -> bool:
    """A payment card: a prefix and length that some network issues, and Luhn's check digit.

    >>> is_card("4111111111111111"), is_card("4111111111111112"), is_card("1111111111111117")
    (True, False, False)
    """
    return _is_issued(digits) and luhn(digits)


def _is_issued(digits: str) -> bool:
    length, two, three, four = len(digits), int(digits[:2]), int(digits[:3]), int(digits[:4])
    if digits[0] == "4":
        return length in (16, 19)  # Visa; its 13 digits of old are those of a bar code
    if two in (34, 37):
        return length == 15  # American Express
    if 51 <= two <= 55 or 2221 <= four <= 2720:
        return length == 16  # Mastercard
    if two in (36, 38, 39) or 300 <= three <= 305:
        return length in (14, 16)  # Diners Club
    # Discover, UnionPay, JCB
    return length in (16, 19) and (four == 6011 or two in (62, 65) or 644 <= three <= 649 or 3528 <= four <= 3589)


def luhn(digits: str) -> bool:
    """Luhn's check (ISO/IEC 7812-1).

    >>> luhn("79927398713"), luhn("79927398710")
    (True, False)
    """
    doubled = sum(sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (doubled + sum(map(int, digits[-1::-2]))) % 10 == 0


def is_iban(text: str) -> bool:
    """An IBAN, without spaces and in capitals: the length of its country and ISO 7064 MOD 97-10.

    >>> is_iban("DE89370400440532013000"), is_iban("DE88370400440532013000")
    (True, False)
    """
    if _IBAN_LENGTHS.get(text[:2]) != len(text):
        return False
    turned = text[4:] + text[:4]
    return int("".join(str(int(character, 36)) for character in turned)) % 97 == 1


def is_us_ssn(digits: str) -> bool:
    """A social security number of the United States: nine digits in ranges that were ever issued. No check digit.

    >>> is_us_ssn("536904399"), is_us_ssn("666904399"), is_us_ssn("078051120")
    (True, False, False)
    """
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    if area in ("000", "666") or area[0] == "9" or group == "00" or serial == "0000":
        return False
    return digits not in ("078051120", "219099999", "457555462")  # printed in advertisements


def is_de_tax_id(digits: str) -> bool:
    """A German tax id (IdNr): one digit twice or three times, ISO 7064 MOD 11,10.

    >>> is_de_tax_id("36574261809"), is_de_tax_id("36574261890")
    (True, False)
    """
    if digits[0] == "0":
        return False
    counts = [digits[:10].count(digit) for digit in set(digits[:10])]
    repeated = [count for count in counts if count > 1]
    if len(repeated) != 1 or repeated[0] not in (2, 3):
        return False
    check = 5
    for digit in digits:
        check = (((check or 10) * 2) % 11 + int(digit)) % 10
    return check == 1


def is_es_dni(text: str) -> bool:
    """A Spanish DNI: eight digits and their letter.

    >>> is_es_dni("54362315K"), is_es_dni("54362315Z")
    (True, False)
    """
    return _DNI_LETTERS[int(text[:8]) % 23] == text[8]


def is_es_nie(text: str) -> bool:
    """A Spanish NIE: X, Y or Z, seven digits and their letter.

    >>> is_es_nie("X2482300W"), is_es_nie("X2482300A")
    (True, False)
    """
    return is_es_dni(str("XYZ".index(text[0])) + text[1:])


def is_fr_nir(text: str) -> bool:
    """A French social security number (NIR): sex, year, month, place, and its key of two digits.

    >>> is_fr_nir("295109912611193"), is_fr_nir("295109912611194")
    (True, False)
    """
    place = text[5:7]
    number = text[:5] + {"2A": "19", "2B": "18"}.get(place, place) + text[7:13]
    if not number.isdecimal() or text[0] not in "123478":
        return False
    return 97 - int(number) % 97 == int(text[13:])


def is_cn_id(text: str) -> bool:
    """A Chinese resident identity number (GB 11643): region, date of birth, ISO 7064 MOD 11-2.

    >>> is_cn_id("11010519491231002X"), is_cn_id("110105194912310021")
    (True, False)
    """
    if text[:2] not in _RIC_REGIONS:
        return False
    try:
        born = date(int(text[6:10]), int(text[10:12]), int(text[12:14]))
    except ValueError:
        return False
    total = sum(int(digit) * weight for digit, weight in zip(text[:17], _RIC_WEIGHTS, strict=True))
    return born.year >= 1900 and _RIC_CHECKS[total % 11] == text[17].upper()
