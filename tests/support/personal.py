"""Captions with personal numbers whose truth is known: made with python-stdnum, so that no check of ours made them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from stdnum import luhn
from stdnum.cn import ric
from stdnum.de import idnr
from stdnum.es import dni, nie
from stdnum.fr import nir
from stdnum.iso7064 import mod_11_10

_AROUND = (
    "A red mug on a table, {}.",
    "Poster of a lost dog. Contact: {}",
    "Ein Zettel auf dem Schreibtisch: {}",
    "Zwei Kinder spielen im Park ({}).",
    "Une affiche sur un mur, {}, et un vélo",
    "Un cartel en la pared: {}",
    "一张名片，上面写着 {} 。",
    "{} A woman holds a cup of coffee.",
)


@dataclass(frozen=True)
class Written:
    """A caption, and the kinds of what it holds."""

    text: str
    kinds: frozenset[str]


def written(seed: int, count: int) -> Iterator[Written]:
    """`count` captions with one personal number or address each, evenly over the kinds and the ways to write them."""
    rng = random.Random(seed)
    makers = [(kind, make) for kind, ways in MAKERS.items() for make in ways]
    for number in range(count):
        kind, make = makers[number % len(makers)]
        yield Written(rng.choice(_AROUND).format(make(rng)), frozenset({kind}))


def decoys(seed: int, count: int) -> Iterator[str]:
    """`count` captions with numbers that mean no person: products, bar codes, coordinates, sizes, order numbers."""
    rng = random.Random(seed)
    for number in range(count):
        yield rng.choice(_AROUND).format(DECOYS[number % len(DECOYS)](rng))


def _digits(rng: random.Random, count: int) -> str:
    return "".join(rng.choices("0123456789", k=count))


def _spaced(text: str, sizes: tuple[int, ...], gap: str) -> str:
    parts, at = [], 0
    for size in sizes:
        parts.append(text[at : at + size])
        at += size
    return gap.join(part for part in [*parts, text[at:]] if part)


def _card(rng: random.Random) -> str:
    prefix, length = rng.choice((("4", 16), ("53", 16), ("2345", 16), ("34", 15), ("37", 15), ("6011", 16), ("62", 16)))
    body = prefix + _digits(rng, length - len(prefix) - 1)
    return body + luhn.calc_check_digit(body)


def _card_grouped(rng: random.Random) -> str:
    card = _card(rng)
    return _spaced(card, (4, 6, 5) if len(card) == 15 else (4, 4, 4, 4), rng.choice((" ", "-")))


def _iban(rng: random.Random) -> str:
    country, length = rng.choice((("DE", 22), ("FR", 27), ("ES", 24), ("GB", 22), ("NL", 18), ("AT", 20), ("CH", 21)))
    letters = "INGB" if country == "NL" else "NWBK" if country == "GB" else ""
    body = letters + _digits(rng, length - 4 - len(letters))
    numeric = "".join(str(int(character, 36)) for character in body + country)
    return f"{country}{98 - int(numeric + '00') % 97:02d}{body}"


def _iban_grouped(rng: random.Random) -> str:
    return _spaced(_iban(rng), (4,) * 8, " ")


def _ssn(rng: random.Random) -> str:
    area = rng.choice([number for number in range(1, 900) if number != 666])
    return f"{area:03d}-{rng.randint(1, 99):02d}-{rng.randint(1, 9999):04d}"


def _tax_id(rng: random.Random) -> str:
    while True:
        number = str(rng.randint(1, 9)) + _digits(rng, 9)
        number += mod_11_10.calc_check_digit(number)
        if idnr.is_valid(number):
            return number


def _nir(rng: random.Random) -> str:
    place = rng.choice((f"{rng.randint(1, 95):02d}", "2A", "2B"))
    number = f"{rng.choice('12')}{rng.randint(0, 99):02d}{rng.randint(1, 12):02d}{place}{_digits(rng, 6)}"
    return number + nir.calc_check_digits(number)


def _cn_id(rng: random.Random) -> str:
    region = rng.choice(("110105", "310104", "440305", "510107", "330106"))
    born = f"{rng.randint(1930, 2015)}{rng.randint(1, 12):02d}{rng.randint(1, 28):02d}"
    number = f"{region}{born}{_digits(rng, 3)}"
    return number + ric.calc_check_digit(f"{number}0")  # it wants the place of the check digit, too


def _dni(rng: random.Random) -> str:
    number = _digits(rng, 8)
    return number + rng.choice(("", "-", " ")) + dni.calc_check_digit(number)


def _nie(rng: random.Random) -> str:
    number = rng.choice("XYZ") + _digits(rng, 7)
    return number + rng.choice(("", "-")) + nie.calc_check_digit(number)


def _email(rng: random.Random) -> str:
    name = rng.choice(("ann.smith", "j-mueller", "info+news", "li_wei", "marie2"))
    return f"{name}@{rng.choice(('example.org', 'mail.example.co.uk', 'example.de', 'firma.example.com'))}"


def _phone(rng: random.Random) -> str:
    area, line = f"{rng.randint(200, 989)}", f"{rng.randint(200, 999)}"
    return rng.choice(
        (
            f"({area}) {line}-{_digits(rng, 4)}",
            f"+49 30 {_digits(rng, 7)}",
            f"+33 6 {_spaced(_digits(rng, 8), (2, 2, 2, 2), ' ')}",
            f"+34 6{_digits(rng, 2)} {_digits(rng, 3)} {_digits(rng, 3)}",
            f"+86 13{_digits(rng, 1)} {_digits(rng, 4)} {_digits(rng, 4)}",
            f"tel. {line} {_digits(rng, 4)}",
        )
    )


def _ip(rng: random.Random) -> str:
    if rng.random() < 0.3:
        return f"2a00:1450:4001:{rng.randint(1, 65535):x}::{rng.randint(1, 65535):x}"
    first = rng.choice((8, 46, 81, 93, 104, 151, 212))
    return f"{first}.{rng.randint(0, 255)}.{rng.randint(0, 255)}.{rng.randint(1, 254)}"


Maker = Callable[[random.Random], str]
MAKERS: dict[str, tuple[Maker, ...]] = {
    "email": (_email,),
    "phone": (_phone,),
    "ip": (_ip,),
    "card": (_card, _card_grouped),
    "iban": (_iban, _iban_grouped),
    "us_ssn": (_ssn, lambda rng: f"SSN: {_ssn(rng).replace('-', '')}"),
    "de_tax_id": (_tax_id, lambda rng: _spaced(_tax_id(rng), (2, 3, 3, 3), " ")),
    "es_dni": (_dni,),
    "es_nie": (_nie,),
    "fr_nir": (_nir, lambda rng: _spaced(_nir(rng), (1, 2, 2, 2, 3, 3, 2), " ")),
    "cn_id": (_cn_id,),
}


def _ean(rng: random.Random) -> str:
    body = rng.choice(("40", "50", "978", "69", "84", "30")) + _digits(rng, 10)
    body = body[:12]
    return body + str(-sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(body)) % 10)


DECOYS: tuple[Maker, ...] = (
    _ean,
    lambda rng: f"order {_digits(rng, rng.randint(9, 14))}",
    lambda rng: f"item no. {_digits(rng, 11)}",
    lambda rng: f"{_digits(rng, 16)}.jpg",
    lambda rng: f"ID {_digits(rng, 16)}",
    lambda rng: f"photo {rng.randint(10_000_000, 99_999_999)}",
    lambda rng: f"part {_digits(rng, 8)}{rng.choice('ABCDEFGHJKLMNPRSTVWXYZ')}",
    lambda rng: (
        f"20{rng.randint(10, 29)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d} {rng.randint(10, 23)}:30:12"
    ),
    lambda rng: f"{rng.randint(640, 7680)}x{rng.randint(480, 4320)} px",
    lambda rng: f"{rng.uniform(-90, 90):.6f}, {rng.uniform(-180, 180):.6f}",
    lambda rng: f"version {rng.randint(1, 9)}.{rng.randint(0, 20)}.{rng.randint(0, 99)}.{rng.randint(0, 999) % 256}",
    lambda rng: f"192.168.{rng.randint(0, 255)}.{rng.randint(1, 254)}",
    lambda rng: f"ISBN 978-{rng.randint(0, 9)}-{_digits(rng, 4)}-{_digits(rng, 4)}-{rng.randint(0, 9)}",
    lambda rng: f"${rng.randint(100, 999)},{_digits(rng, 3)},{_digits(rng, 3)}",
    lambda rng: f"{rng.randint(1800, 2030)}/{rng.randint(1800, 2030)}, no. {_digits(rng, 4)}-{_digits(rng, 3)}",
    lambda rng: f"@user{_digits(rng, 4)} on a bench, #{_digits(rng, 6)}",
    lambda rng: "".join(rng.choices("0123456789abcdef", k=32)),
    lambda rng: f"https://example.com/photos/{_digits(rng, 12)}?w={_digits(rng, 4)}",
    lambda rng: f"{rng.choice(('DSC', 'IMG_', 'P'))}{_digits(rng, 8)}",
    lambda rng: f"GB{_digits(rng, 9)} VAT",
)
