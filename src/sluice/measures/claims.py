"""`text.claims`: what a caption says is there that other columns can be held against: counts, readings, fine detail.

These are claims, not faults. Whether they are true is for a rule to say that has the other side: the size of the
image, what a detector counted, what OCR read.
"""

from __future__ import annotations

import re
from typing import Final

import pyarrow as pa

from sluice.measures.base import Batch, Columns, measure
from sluice.measures.base import text as text_view
from sluice.measures.phrases import Phrases
from sluice.measures.words import words

_FINE: Final = Phrases("""
fine print|small print|tiny print|tiny text|small text|tiny letters|tiny lettering|small letters|small lettering
tiny writing|small writing|tiny inscription|tiny words|tiny numbers|microscopic|serial number|model number
license plate reads|licence plate reads|number plate reads|license plate number|licence plate number|barcode number
label reads|label says|tag reads|badge reads|name tag|engraved with the words|engraving reads|inscription reads
watch reads|watch shows|dial reads|display reads|screen reads|page reads|book title reads|spine reads
eyelash|eyelashes|skin pores|pores|individual hairs|individual strands|individual threads|individual fibers
individual blades|individual grains|individual feathers|individual scales|each hair|every hair|each strand|every strand
fine hairs|tiny hairs|peach fuzz|fingerprint|fingerprints|fine stitching|visible stitching|tiny stitches|weave of the
fine scratches|tiny scratches|hairline cracks|hairline crack|fine cracks|dust particles|specks of dust|tiny droplets
reflected in his eyes|reflected in her eyes|reflection in his eyes|reflection in her eyes|freckles|compound eyes
kleingedruckte|kleingedruckten|kleingedrucktes|winzige schrift|winziger schrift|kleine schrift|kleiner schrift
winzige buchstaben|winzigen buchstaben|kleine buchstaben|kleinen buchstaben|seriennummer|wimpern|hautporen|poren
einzelne haare|einzelnen haare|jedes haar|einzelne fäden|einzelne fasern|feine härchen|feine kratzer|haarrisse
fingerabdruck|fingerabdrücke|fingerabdrücken|sommersprossen|staubkörner|auf dem etikett steht|kennzeichen lautet
petits caractères|minuscules caractères|caractères minuscules|petites lettres|lettres minuscules|texte minuscule
numéro de série|cils|pores de la peau|chaque cheveu|chaque poil|poils individuels|fils individuels|fines rayures
fines fissures|empreinte digitale|empreintes digitales|taches de rousseur|grains de poussière|étiquette indique
plaque d'immatriculation indique
letra pequeña|letras pequeñas|letra diminuta|letras diminutas|texto diminuto|texto pequeño|número de serie|pestañas
poros|cada cabello|cada pelo|pelos individuales|hilos individuales|arañazos finos|grietas finas|huella dactilar
huellas dactilares|pecas|motas de polvo|la etiqueta dice|la matrícula dice
小字|细小的文字|微小的文字|微小文字|序列号|睫毛|毛孔|指纹|雀斑|每一根头发|每一根毛发|根根分明|细微的划痕|细小的裂纹|车牌号|标签上写着|针脚|细密的纹理
""")

# Number words. One is left out: "one", "ein", "un", "uno" and 一 are articles and pronouns as well.
_WORDS: Final = {
    "en": "two three four five six seven eight nine ten eleven twelve",
    "de": "zwei drei vier fünf sechs sieben acht neun zehn elf zwölf",
    "fr": "deux trois quatre cinq six sept huit neuf dix onze douze",
    "es": "dos tres cuatro cinco seis siete ocho nueve diez once doce",
}
_NUMBERS: Final = {
    language: {word: number for number, word in enumerate(listed.split(), 2)} for language, listed in _WORDS.items()
}
_AMBIGUOUS: Final = frozenset(("once", "elf", "dos", "neuf", "acht", "sept", "six"))  # another word in another language
_UNDECLARED: Final = {
    **{word: n for numbers in _NUMBERS.values() for word, n in numbers.items() if word not in _AMBIGUOUS},
    "six": 6,  # the same in English and French
}
_HAN_DIGITS: Final = {"两": 2, "二": 2, "三": 3, "四": 4, "五": 5, "六": 6, "七": 7, "八": 8, "九": 9, "十": 10}
# A digit counts where one of the words that go with counted things follows; 十二 and the like are two digits.
_HAN_COUNT: Final = re.compile(
    r"(?<![第星期周月年零〇一二两三四五六七八九十百千万分之])(十[一二三四五六七八九]?|[两二三四五六七八九])"
    r"[个只條条张張辆輛本位名朵棵件把座匹头頭颗顆块塊根片幅支枝盏盞杯瓶碗盘架艘间間扇双雙对對群堆]"
)
_DIGITS: Final = re.compile(r"(?<![\w.,:/$€£¥#+-])([2-9]|[1-9]\d)(?= [^\W\d_]{3,})")
# After a number these make a size, a time, an age or a name of it, and no count of things.
_UNIT_WORDS: Final = """
percent prozent years year old jahre jahr ans años months month monate minutes minuten minutos hours hour stunden
heures horas seconds second sekunden secondes segundos days day tage jours días weeks week inches inch feet foot
meters meter metres metre meters mètres metros miles mile kilometers kilometres kilometer pounds pound kilos grams
degrees degree dollars euros euro cents january february march april may june july august september october
november december januar februar märz april mai juni juli oktober dezember janvier février mars avril juin juillet août
septembre octobre novembre décembre enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre
diciembre uhr heure times mal fois veces million millions millionen thousand hundred tausend hundert mil mille cent
"""
_UNITS: Final = frozenset(_UNIT_WORDS.split())
_NAMED_BY_NUMBER: Final = """
number no nr nº num figure fig abb page seite página chapter kapitel chapitre part teil partie season staffel level
route gate gleis platform room zimmer day tag jour type typ version vol volume top size iphone windows formula
channel class klasse grade age aged o'clock at um à
"""
_NOT_AFTER: Final = frozenset(_NAMED_BY_NUMBER.split())

_QUOTED: Final = re.compile(
    r"“([^“”]{1,80})”|„([^“”„]{1,80})[“”]|«\s?([^«»]{1,80}?)\s?»|»([^«»]{1,80})«|「([^「」]{1,80})」|『([^『』]{1,80})』"
    r"|(?<![\w\d])\"([^\"]{1,80})\"(?!\w)|(?<!\w)'([^']{2,80})'(?!\w)"
)
_QUOTES: Final = re.compile("[“„«»「『\"']")
_INT16_MAX: Final = 32_767

_CLAIMS: Final = {
    "fine_detail": pa.bool_(),
    "claimed_counts": pa.string(),
    "largest_claimed_count": pa.int16(),
    "claimed_text": pa.string(),
}


@measure("text.claims", version=1, reads=text_view(), writes=_CLAIMS)
def claims(batch: Batch) -> Columns:
    """What a caption claims that a rule can hold against the image's size, a detector or OCR.

    In English, German, French, Spanish and Chinese; in other languages only digits and quotation marks are known.
    Number words go by the declared language ("once" is eleven in Spanish), or mean what they mean in all of them.

    - `fine_detail`: names what only many pixels show: eyelashes, pores, fine print, what a label or a plate reads.
    - `claimed_counts`: the numbers of things that it counts, 2 to 99, in order: "3 2"; years, sizes, times, ages and
      names (Route 7) are none; empty where it counts nothing.
    - `largest_claimed_count`: the largest of them; 0 where it counts nothing.
    - `claimed_text`: what stands in quotation marks, joined by " | ": what it claims to read; else empty.
    """
    rows = [_claims(text, language) for text, language in zip(batch.text, batch.language, strict=True)]
    return {name: [row[place] for row in rows] for place, name in enumerate(_CLAIMS)}


def _claims(text: str, language: str | None) -> tuple[bool | int | str, ...]:
    found = words(text)
    counts = claimed_counts(text, found, language)
    return (
        _FINE.found_in(found),
        " ".join(map(str, counts)),
        min(max(counts, default=0), _INT16_MAX),
        " | ".join(quoted(text)),
    )


def claimed_counts(text: str, found: list[str], language: str | None) -> list[int]:
    """The numbers of things that a text counts, in its order; `found` holds its `words`.

    >>> claimed_counts("Three dogs and 2 cats at 10 o'clock", words("Three dogs and 2 cats at 10 o'clock"), "en")
    [3, 2]
    >>> claimed_counts("三只狗", words("三只狗"), "zh")
    [3]
    """
    numbers = _NUMBERS.get((language or "")[:2].lower(), _UNDECLARED)
    counted: list[int] = []
    digits = _DIGITS.findall(text)
    if digits or not numbers.keys().isdisjoint(found):
        for place, word in enumerate(found[:-1]):
            number = int(word) if word in digits else numbers.get(word, 0)
            if number and _is_count(found[place - 1] if place else "", found[place + 1]):
                counted.append(number)
    if not text.isascii():
        counted += [_han_number(match[1]) for match in _HAN_COUNT.finditer(text)]
    return counted


def _is_count(before: str, after: str) -> bool:
    """Whether a number between these two words counts things."""
    return len(after) > 1 and after not in _UNITS and before not in _NOT_AFTER and not before.isdecimal()


def _han_number(digits: str) -> int:
    """The number that one or two Han digits write.

    >>> _han_number("十二"), _han_number("两")
    (12, 2)
    """
    return 10 + _HAN_DIGITS.get(digits[1:], 1) if len(digits) == 2 else _HAN_DIGITS[digits]


def quoted(text: str) -> list[str]:
    """What stands in quotation marks; apostrophes are none.

    >>> quoted("A red sign reading “OPEN” on the dog's house"), quoted("auf dem Schild steht „HALT“")
    (['OPEN'], ['HALT'])
    """
    if not _QUOTES.search(text):
        return []
    return [next(filter(None, match.groups())).strip() for match in _QUOTED.finditer(text)]
