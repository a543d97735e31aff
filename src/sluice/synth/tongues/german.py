"""German captions and questions: adjectives declined by case, gender and number."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

from sluice.synth.scene import Chart, Group, Relation, Scene, Sign
from sluice.synth.tongues.base import Question, Tongue, absent_colour, asked, capital, largest, listed, lone, related

Case = Literal["nominative", "accusative", "dative"]

NUMBERS: Final = ("kein", "ein", "zwei", "drei", "vier", "fünf", "sechs", "sieben")
COLOURS: Final = {  # the word that takes an ending, and the word that takes none
    "red": ("rot", "rot"),
    "blue": ("blau", "blau"),
    "green": ("grün", "grün"),
    "yellow": ("gelb", "gelb"),
    "orange": ("orangefarben", "orange"),
    "purple": ("violett", "violett"),
    "pink": ("rosafarben", "rosa"),
    "brown": ("braun", "braun"),
    "white": ("weiß", "weiß"),
    "black": ("schwarz", "schwarz"),
}
NOUNS: Final = {  # gender, singular, plural, dative plural
    "ball": ("m", "Ball", "Bälle", "Bällen"),
    "cube": ("m", "Würfel", "Würfel", "Würfeln"),
    "cone": ("m", "Kegel", "Kegel", "Kegeln"),
    "star": ("m", "Stern", "Sterne", "Sternen"),
    "heart": ("n", "Herz", "Herzen", "Herzen"),
    "ring": ("m", "Ring", "Ringe", "Ringen"),
    "mug": ("f", "Tasse", "Tassen", "Tassen"),
    "vase": ("f", "Vase", "Vasen", "Vasen"),
    "flower": ("f", "Blume", "Blumen", "Blumen"),
    "fish": ("m", "Fisch", "Fische", "Fischen"),
    "car": ("n", "Spielzeugauto", "Spielzeugautos", "Spielzeugautos"),
    "umbrella": ("m", "Regenschirm", "Regenschirme", "Regenschirmen"),
}
_ARTICLES: Final[dict[Case, dict[str, str]]] = {
    "nominative": {"m": "ein", "f": "eine", "n": "ein"},
    "accusative": {"m": "einen", "f": "eine", "n": "ein"},
    "dative": {"m": "einem", "f": "einer", "n": "einem"},
}
_DEFINITE: Final = {"m": "der", "f": "die", "n": "das"}
_ENDINGS: Final[dict[Case, dict[str, str]]] = {  # after `ein`; "p": after a number
    "nominative": {"m": "er", "f": "e", "n": "es", "p": "e"},
    "accusative": {"m": "en", "f": "e", "n": "es", "p": "e"},
    "dative": {"m": "en", "f": "en", "n": "en", "p": "en"},
}
_SIZES: Final = {"small": "klein", "large": "groß", "medium": ""}
_TEXTURES: Final = {"striped": "gestreift", "dotted": "gepunktet", "checked": "kariert"}
_PLACES: Final = {
    "meadow": "auf einer Wiese",
    "beach": "am Strand",
    "snow": "im Schnee",
    "street": "vor einer Backsteinmauer",
    "table": "auf einem Holztisch",
    "room": "auf einem Holzboden",
    "cloth": "auf einem Tuch",
    "sand": "auf gewelltem Sand",
    "marble": "auf einer Marmorplatte",
    "water": "in klarem Wasser",
    "planks": "auf Holzbrettern",
    "lawn": "auf einem Rasen",
}
_LIGHTS: Final = {"evening": "im warmen Abendlicht", "overcast": "an einem grauen Tag"}
_RELATIONS: Final[dict[Relation, str]] = {
    "left": "links von",
    "right": "rechts von",
    "above": "oberhalb von",
    "below": "unterhalb von",
}


def _things(group: Group, case: Case) -> str:
    gender, one, many, dative_many = NOUNS[group.shape]
    ending = _ENDINGS[case]["p" if group.count > 1 else gender]
    words = [_SIZES[group.size] + ending] if _SIZES[group.size] else []
    declined, plain = COLOURS[group.colour]
    words.append(declined + ending if group.texture == "plain" else f"{plain} {_TEXTURES[group.texture]}{ending}")
    if group.count == 1:
        return " ".join((_ARTICLES[case][gender], *words, one))
    return " ".join((NUMBERS[group.count], *words, dative_many if case == "dative" else many))


def _sign(sign: Sign, case: Case) -> str:
    ending = _ENDINGS[case]["n"]
    return f"{_ARTICLES[case]['n']} {COLOURS[sign.colour][0]}{ending} Schild mit der Aufschrift „{sign.word}“"


def _chart(chart: Chart, place: str) -> Iterator[str]:
    colour, value = largest(chart)
    count, most = NUMBERS[len(chart.values)], COLOURS[colour][0] + "e"
    plain = [COLOURS[c][1] for c in chart.colours]
    if chart.kind == "bars":
        parts = listed([f"{c} {v}" for c, v in zip(plain, chart.values, strict=True)], " und ")
        yield f"Ein Säulendiagramm mit {count} Säulen {place}; die {most} Säule ist mit dem Wert {value} die höchste."
        yield f"Ein gedrucktes Säulendiagramm {place} mit den Werten {parts}."
    else:
        yield f"Ein Kreisdiagramm mit {count} Sektoren {place}; der {most} Sektor ist der größte."
        yield f"Ein gedrucktes Kreisdiagramm {place} mit Sektoren in den Farben {listed(plain, ' und ')}."


def _sentences(scene: Scene) -> Iterator[str]:
    place = _PLACES[scene.setting]
    if scene.chart is not None:
        yield from _chart(scene.chart, place)
        return

    def things(case: Case) -> str:
        parts = [_things(group, case) for group in scene.groups]
        return listed([_sign(scene.sign, case), *parts] if scene.sign is not None else parts, " und ")

    several = len(scene.groups) + (scene.sign is not None) > 1 or scene.groups[0].count > 1 if scene.groups else False
    yield f"{capital(things('nominative'))} {place}."
    yield f"Das Foto zeigt {things('accusative')} {place}."
    yield f"{capital(place)} {'sind' if several else 'ist'} {things('nominative')} zu sehen."
    if scene.light in _LIGHTS:
        yield f"{capital(things('nominative'))} {place} {_LIGHTS[scene.light]}."
    if scene.sign is None and len(scene.groups) == 2:
        for one, relation, other in related(scene):
            where = f"{_RELATIONS[relation]} {_things(other, 'dative')}"
            yield f"{capital(_things(one, 'nominative'))} {where}, {place}."
            verb = "befindet" if one.count == 1 else "befinden"
            yield f"{capital(place)} {verb} sich {_things(one, 'nominative')} {where}."


def _questions(scene: Scene) -> Iterator[Question]:
    for group in scene.groups:
        gender, one, many, _ = NOUNS[group.shape]
        colour, wrong = COLOURS[group.colour][0], COLOURS[absent_colour(scene, group.shape)][0]
        article, ending = _ARTICLES["accusative"][gender], _ENDINGS["accusative"][gender]
        yield Question("count", f"Wie viele {colour}e {many} sind zu sehen?", str(group.count))
        yield Question("yes_no", f"Gibt es hier {article} {colour}{ending} {one}?", "ja")
        yield Question("yes_no", f"Gibt es hier {article} {wrong}{ending} {one}?", "nein")
    for group in lone(scene):
        gender, one, many, _ = NOUNS[group.shape]
        subject = f"hat {_DEFINITE[gender]} {one}" if group.count == 1 else f"haben die {many}"
        yield Question("colour", f"Welche Farbe {subject}?", COLOURS[group.colour][1])
    for one, relation, other in related(scene):
        verb = "Befindet" if one.count == 1 else "Befinden"
        for claim, holds in asked(relation):
            where = f"{_RELATIONS[claim]} {_things(other, 'dative')}"
            yield Question("relation", f"{verb} sich {_things(one, 'nominative')} {where}?", "ja" if holds else "nein")
    if scene.sign is not None:
        yield Question("reading", "Was steht auf dem Schild?", scene.sign.word)
    if scene.chart is not None:
        bars = scene.chart.kind == "bars"
        most, many = ("die höchste Säule", "Säulen") if bars else ("der größte Sektor", "Sektoren")
        yield Question("chart", f"Welche Farbe hat {most}?", COLOURS[largest(scene.chart)[0]][1])
        yield Question("chart", f"Wie viele {many} hat das Diagramm?", str(len(scene.chart.values)))


GERMAN: Final = Tongue("de", _sentences, _questions)
