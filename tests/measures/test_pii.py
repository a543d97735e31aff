"""`text.pii` on captions with planted numbers, its check digits against python-stdnum, its silence on other numbers."""

from __future__ import annotations

import ipaddress
import random
import string
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import stdnum.cn.ric
import stdnum.de.idnr
import stdnum.es.dni
import stdnum.es.nie
import stdnum.fr.nir
import stdnum.iban
import stdnum.luhn
import stdnum.us.ssn
from hypothesis import given
from hypothesis import strategies as st
from stdnum.exceptions import ValidationError

from sluice.measures import id_numbers
from sluice.measures.pii import personal, pii
from support.personal import MAKERS, decoys, written
from support.spoken import drawn


def test_every_kind_is_found_however_it_is_written_and_taken_for_no_other() -> None:
    for one in written(seed=0, count=1600):
        assert set(personal(one.text)) == one.kinds, one.text


def test_other_numbers_are_seldom_taken_for_personal_ones() -> None:
    texts = list(decoys(seed=1, count=10_000))
    wrong = Counter(kind for text in texts for kind in personal(text))
    # Numbers of the very form, whose check digits agree by chance: 1 in 23 letters, 1 in 10 of Luhn's digits.
    assert set(wrong) <= {"es_dni", "card", "de_tax_id"}
    assert wrong.total() <= 60


def test_clean_captions_hold_nothing_personal() -> None:
    assert [text for _, text in drawn(seed=2, count=500) if personal(text)] == []


def test_the_columns_say_how_many_and_which() -> None:
    texts = ["ann@example.org, bob@example.org, card 4111-1111-1111-1111", "a dog"]
    assert pii(SimpleNamespace(text=texts)) == {"pii": [3, 0], "pii_kinds": ["email card", ""]}


def test_a_number_is_counted_once_though_it_looks_like_two() -> None:
    assert personal("tel +1 202 555 0143") == {"phone": 1}
    assert personal("SSN 536-90-4399 ") == {"us_ssn": 1}
    assert personal("DE89 3704 0044 0532 0130 00") == {"iban": 1}


def held_against(ours: Callable[[str], bool], theirs: Callable[[str], bool], number: str) -> None:
    assert ours(number) == theirs(number), number


@given(st.text(string.digits, min_size=2, max_size=20))
def test_luhn(number: str) -> None:
    held_against(id_numbers.luhn, stdnum.luhn.is_valid, number)


@given(st.text(string.digits, min_size=9, max_size=9))
def test_us_ssn(number: str) -> None:
    held_against(id_numbers.is_us_ssn, stdnum.us.ssn.is_valid, number)


@given(st.integers(0, 10**8 - 1), st.sampled_from(string.ascii_uppercase))
def test_es_dni(number: int, letter: str) -> None:
    held_against(id_numbers.is_es_dni, stdnum.es.dni.is_valid, f"{number:08d}{letter}")


@given(st.sampled_from("XYZ"), st.integers(0, 10**7 - 1), st.sampled_from(string.ascii_uppercase))
def test_es_nie(first: str, number: int, letter: str) -> None:
    held_against(id_numbers.is_es_nie, stdnum.es.nie.is_valid, f"{first}{number:07d}{letter}")


def _is_cn_id(number: str) -> bool:
    """Without the table of counties: those change, and ours knows provinces only."""
    try:
        born = stdnum.cn.ric.get_birth_date(number)
    except ValidationError:
        return False
    return stdnum.cn.ric.calc_check_digit(number) == number[-1] and born.year >= 1900 and number[:2] in PROVINCES


PROVINCES = {
    f"{code}"
    for first, last in ((11, 15), (21, 23), (31, 37), (41, 46), (50, 54), (61, 65))
    for code in range(first, last + 1)
}
PROVINCES |= {"71", "81", "82"}
MADE = {
    "de_tax_id": (id_numbers.is_de_tax_id, stdnum.de.idnr.is_valid),
    "fr_nir": (id_numbers.is_fr_nir, stdnum.fr.nir.is_valid),
    "cn_id": (id_numbers.is_cn_id, _is_cn_id),
    "iban": (id_numbers.is_iban, lambda number: stdnum.iban.is_valid(number, check_country=False)),
}


@pytest.mark.parametrize("kind", MADE)
@given(seed=st.integers(0, 2**32), place=st.integers(0, 29), digit=st.sampled_from(string.digits))
def test_true_numbers_and_those_with_one_digit_changed(kind: str, seed: int, place: int, digit: str) -> None:
    ours, theirs = MADE[kind]
    number = MAKERS[kind][0](random.Random(seed))
    assert ours(number)
    place = max(place % len(number), 4 if kind == "iban" else 0)  # the letters of a country are the form's to check
    held_against(ours, theirs, number[:place] + digit + number[place + 1 :])


@given(st.ip_addresses(v=4))
def test_only_public_addresses_count(address: ipaddress.IPv4Address) -> None:
    assert personal(f"a router at {address} on a desk") == ({"ip": 1} if address.is_global else {})


@given(st.text(max_size=120))
def test_any_text_is_told(text: str) -> None:
    assert all(count > 0 for count in personal(text).values())
