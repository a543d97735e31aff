"""Spanish captions and questions: adjectives agree in gender and number; colours follow the noun."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sluice.synth.scene import Chart, Group, Relation, Scene, Sign
from sluice.synth.tongues.base import Question, Tongue, absent_colour, asked, capital, largest, listed, lone, related

NUMBERS: Final = ("ningún", "un", "dos", "tres", "cuatro", "cinco", "seis", "siete")
COLOURS: Final = {  # masculine, feminine, masculine plural, feminine plural
    "red": ("rojo", "roja", "rojos", "rojas"),
    "blue": ("azul", "azul", "azules", "azules"),
    "green": ("verde", "verde", "verdes", "verdes"),
    "yellow": ("amarillo", "amarilla", "amarillos", "amarillas"),
    "orange": ("naranja", "naranja", "naranjas", "naranjas"),
    "purple": ("morado", "morada", "morados", "moradas"),
    "pink": ("rosa", "rosa", "rosas", "rosas"),
    "brown": ("marrón", "marrón", "marrones", "marrones"),
    "white": ("blanco", "blanca", "blancos", "blancas"),
    "black": ("negro", "negra", "negros", "negras"),
}
NOUNS: Final = {  # gender, singular, plural
    "ball": ("f", "pelota", "pelotas"),
    "cube": ("m", "cubo", "cubos"),
    "cone": ("m", "cono", "conos"),
    "star": ("f", "estrella", "estrellas"),
    "heart": ("m", "corazón", "corazones"),
    "ring": ("m", "anillo", "anillos"),
    "mug": ("f", "taza", "tazas"),
    "vase": ("m", "jarrón", "jarrones"),
    "flower": ("f", "flor", "flores"),
    "fish": ("m", "pez", "peces"),
    "car": ("m", "coche de juguete", "coches de juguete"),
    "umbrella": ("m", "paraguas", "paraguas"),
}
_SIZES: Final = {
    "small": ("pequeño", "pequeña", "pequeños", "pequeñas"),
    "large": ("gran", "gran", "grandes", "grandes"),  # `grande` is cut short before a singular noun
    "medium": ("", "", "", ""),
}
_TEXTURES: Final = {"plain": "", "striped": "a rayas", "dotted": "de lunares", "checked": "a cuadros"}
_PLACES: Final = {
    "meadow": "en un prado",
    "beach": "en una playa",
    "snow": "en la nieve",
    "street": "delante de una pared de ladrillo",
    "table": "sobre una mesa de madera",
    "room": "sobre un suelo de madera",
    "cloth": "sobre una tela",
    "sand": "sobre arena ondulada",
    "marble": "sobre una losa de mármol",
    "water": "en agua clara",
    "planks": "sobre unas tablas de madera",
    "lawn": "sobre el césped",
}
_LIGHTS: Final = {"evening": "con la cálida luz de la tarde", "overcast": "en un día gris"}
_RELATIONS: Final[dict[Relation, str]] = {
    "left": "a la izquierda de",
    "right": "a la derecha de",
    "above": "encima de",
    "below": "debajo de",
}


def _form(gender: str, count: int) -> int:
    return (gender == "f") + 2 * (count > 1)


def _things(group: Group) -> str:
    gender, one, many = NOUNS[group.shape]
    form = _form(gender, group.count)
    noun, *kind = (one if group.count == 1 else many).split(" ", 1)  # `coche rojo de juguete`
    words = (
        ("una" if gender == "f" else "un") if group.count == 1 else NUMBERS[group.count],
        _SIZES[group.size][form],
        noun,
        COLOURS[group.colour][form],
        *kind,
        _TEXTURES[group.texture],
    )
    return " ".join(word for word in words if word)


def _sign(sign: Sign) -> str:
    return f"un cartel {COLOURS[sign.colour][0]} con el texto «{sign.word}»"


def _chart(chart: Chart, place: str) -> Iterator[str]:
    colour, value = largest(chart)
    count = NUMBERS[len(chart.values)]
    if chart.kind == "bars":
        parts = listed([f"{COLOURS[c][0]} {v}" for c, v in zip(chart.colours, chart.values, strict=True)], " y ")
        most = COLOURS[colour][1]
        yield f"Un gráfico con {count} barras {place}; la barra {most} es la más alta, con el valor {value}."
        yield f"Un gráfico de barras impreso, {place}, con los valores {parts}."
    else:
        colours = listed([COLOURS[c][0] for c in chart.colours], " y ")
        yield f"Un gráfico circular con {count} sectores {place}; el sector {COLOURS[colour][0]} es el más grande."
        yield f"Un gráfico circular impreso, {place}, con sectores de color {colours}."


def _sentences(scene: Scene) -> Iterator[str]:
    place = _PLACES[scene.setting]
    if scene.chart is not None:
        yield from _chart(scene.chart, place)
        return
    parts = [_things(group) for group in scene.groups]
    if scene.sign is not None:
        parts = [_sign(scene.sign), *parts]
    things = listed(parts, " y ")
    yield f"{capital(things)} {place}."
    yield f"{capital(place)} hay {things}."
    yield f"La foto muestra {things} {place}."
    if scene.light in _LIGHTS:
        yield f"{capital(things)} {place}, {_LIGHTS[scene.light]}."
    if scene.sign is None and len(scene.groups) == 2:
        for one, relation, other in related(scene):
            where = f"{_RELATIONS[relation]} {_things(other)}"
            yield f"{capital(_things(one))} {where}, {place}."
            yield f"{capital(place)} {'está' if one.count == 1 else 'están'} {_things(one)} {where}."


def _questions(scene: Scene) -> Iterator[Question]:
    for group in scene.groups:
        one = _coloured(group.shape, group.colour, 1)
        wrong = _coloured(group.shape, absent_colour(scene, group.shape), 1)
        how_many = "Cuántas" if NOUNS[group.shape][0] == "f" else "Cuántos"
        yield Question("count", f"¿{how_many} {_coloured(group.shape, group.colour, 2)} hay?", str(group.count))
        yield Question("yes_no", f"¿Hay {one}?", "sí")
        yield Question("yes_no", f"¿Hay {wrong}?", "no")
    for group in lone(scene):
        gender, one, many = NOUNS[group.shape]
        feminine = gender == "f"
        subject = (
            f"es {'la' if feminine else 'el'} {one}"
            if group.count == 1
            else f"son {'las' if feminine else 'los'} {many}"
        )
        yield Question("colour", f"¿De qué color {subject}?", COLOURS[group.colour][0])
    for one, relation, other in related(scene):
        for claim, holds in asked(relation):
            verb = "Está" if one.count == 1 else "Están"
            yield Question(
                "relation", f"¿{verb} {_things(one)} {_RELATIONS[claim]} {_things(other)}?", "sí" if holds else "no"
            )
    if scene.sign is not None:
        yield Question("reading", "¿Qué pone en el cartel?", scene.sign.word)
    if scene.chart is not None:
        bars = scene.chart.kind == "bars"
        most, many = ("la barra más alta", "Cuántas barras") if bars else ("el sector más grande", "Cuántos sectores")
        yield Question("chart", f"¿De qué color es {most}?", COLOURS[largest(scene.chart)[0]][0])
        yield Question("chart", f"¿{many} tiene el gráfico?", str(len(scene.chart.values)))


def _coloured(shape: str, colour: str, count: int) -> str:
    """`una taza roja`; for several, without a number: `tazas rojas`."""
    gender, one, many = NOUNS[shape]
    noun, *kind = (one if count == 1 else many).split(" ", 1)
    words = " ".join((noun, COLOURS[colour][_form(gender, count)], *kind))
    return words if count > 1 else f"{'una' if gender == 'f' else 'un'} {words}"


SPANISH: Final = Tongue("es", _sentences, _questions)
