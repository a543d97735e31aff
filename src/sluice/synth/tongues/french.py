"""French captions and questions: adjectives agree in gender and number; colours follow the noun, sizes precede it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sluice.synth.scene import Chart, Group, Relation, Scene, Sign
from sluice.synth.tongues.base import Question, Tongue, absent_colour, asked, capital, largest, listed, lone, related

NUMBERS: Final = ("aucun", "un", "deux", "trois", "quatre", "cinq", "six", "sept")
COLOURS: Final = {  # masculine, feminine, masculine plural, feminine plural
    "red": ("rouge", "rouge", "rouges", "rouges"),
    "blue": ("bleu", "bleue", "bleus", "bleues"),
    "green": ("vert", "verte", "verts", "vertes"),
    "yellow": ("jaune", "jaune", "jaunes", "jaunes"),
    "orange": ("orange", "orange", "orange", "orange"),  # named after a fruit: invariable
    "purple": ("violet", "violette", "violets", "violettes"),
    "pink": ("rose", "rose", "roses", "roses"),
    "brown": ("marron", "marron", "marron", "marron"),  # likewise
    "white": ("blanc", "blanche", "blancs", "blanches"),
    "black": ("noir", "noire", "noirs", "noires"),
}
NOUNS: Final = {  # gender, singular, plural
    "ball": ("f", "balle", "balles"),
    "cube": ("m", "cube", "cubes"),
    "cone": ("m", "cône", "cônes"),
    "star": ("f", "étoile", "étoiles"),
    "heart": ("m", "cœur", "cœurs"),
    "ring": ("m", "anneau", "anneaux"),
    "mug": ("f", "tasse", "tasses"),
    "vase": ("m", "vase", "vases"),
    "flower": ("f", "fleur", "fleurs"),
    "fish": ("m", "poisson", "poissons"),
    "car": ("f", "voiture miniature", "voitures miniatures"),
    "umbrella": ("m", "parapluie", "parapluies"),
}
_SIZES: Final = {
    "small": ("petit", "petite", "petits", "petites"),
    "large": ("grand", "grande", "grands", "grandes"),
    "medium": ("", "", "", ""),
}
_TEXTURES: Final = {"plain": "", "striped": "à rayures", "dotted": "à pois", "checked": "à carreaux"}
_PLACES: Final = {
    "meadow": "dans un pré",
    "beach": "sur une plage",
    "snow": "dans la neige",
    "street": "devant un mur de briques",
    "table": "sur une table en bois",
    "room": "sur un parquet",
    "cloth": "sur un tissu",
    "sand": "sur du sable ondulé",
    "marble": "sur une plaque de marbre",
    "water": "dans une eau claire",
    "planks": "sur des planches de bois",
    "lawn": "sur une pelouse",
}
_LIGHTS: Final = {"evening": "dans la lumière chaude du soir", "overcast": "par temps gris"}
_RELATIONS: Final[dict[Relation, str]] = {
    "left": "à gauche de",
    "right": "à droite de",
    "above": "au-dessus de",
    "below": "en dessous de",
}


def _form(gender: str, count: int) -> int:
    return (gender == "f") + 2 * (count > 1)


def _things(group: Group) -> str:
    gender, one, many = NOUNS[group.shape]
    form = _form(gender, group.count)
    number = ("une" if gender == "f" else "un") if group.count == 1 else NUMBERS[group.count]
    words = (
        number,
        _SIZES[group.size][form],
        one if group.count == 1 else many,
        COLOURS[group.colour][form],
        _TEXTURES[group.texture],
    )
    return " ".join(word for word in words if word)


def _of(preposition: str, phrase: str) -> str:
    """`de` before a phrase, elided before a vowel: `à gauche d'un cube`."""
    return f"{preposition[:-1]}'{phrase}" if phrase[0] in "aeiouéh" else f"{preposition} {phrase}"


def _sign(sign: Sign) -> str:
    return f"un panneau {COLOURS[sign.colour][0]} portant l'inscription « {sign.word} »"


def _chart(chart: Chart, place: str) -> Iterator[str]:
    colour, value = largest(chart)
    count = NUMBERS[len(chart.values)]
    if chart.kind == "bars":
        parts = listed([f"{COLOURS[c][0]} {v}" for c, v in zip(chart.colours, chart.values, strict=True)], " et ")
        most = COLOURS[colour][1]
        yield f"Un diagramme à {count} barres {place} ; la barre {most} est la plus haute, avec la valeur {value}."
        yield f"Un diagramme à barres imprimé, {place}, avec les valeurs {parts}."
    else:
        colours = listed([COLOURS[c][0] for c in chart.colours], " et ")
        yield f"Un diagramme circulaire à {count} secteurs {place} ; le secteur {COLOURS[colour][0]} est le plus grand."
        yield f"Un diagramme circulaire imprimé, {place}, avec des secteurs de couleur {colours}."


def _sentences(scene: Scene) -> Iterator[str]:
    place = _PLACES[scene.setting]
    if scene.chart is not None:
        yield from _chart(scene.chart, place)
        return
    parts = [_things(group) for group in scene.groups]
    if scene.sign is not None:
        parts = [_sign(scene.sign), *parts]
    things = listed(parts, " et ")
    yield f"{capital(things)} {place}."
    yield f"Il y a {things} {place}."
    yield f"{capital(place)}, on voit {things}."
    if scene.light in _LIGHTS:
        yield f"{capital(things)} {place}, {_LIGHTS[scene.light]}."
    if scene.sign is None and len(scene.groups) == 2:
        for one, relation, other in related(scene):
            where = _of(_RELATIONS[relation], _things(other))
            yield f"{capital(_things(one))} {where}, {place}."
            yield f"{capital(place)}, {_things(one)} se {'trouve' if one.count == 1 else 'trouvent'} {where}."


def _questions(scene: Scene) -> Iterator[Question]:
    for group in scene.groups:
        gender, one, many = NOUNS[group.shape]
        form, article = _form(gender, 1), "une" if gender == "f" else "un"
        wrong = COLOURS[absent_colour(scene, group.shape)][form]
        wanted = _of("Combien de", f"{many} {COLOURS[group.colour][_form(gender, 2)]}")
        yield Question("count", f"{wanted} y a-t-il ?", str(group.count))
        yield Question("yes_no", f"Y a-t-il {article} {one} {COLOURS[group.colour][form]} ?", "oui")
        yield Question("yes_no", f"Y a-t-il {article} {one} {wrong} ?", "non")
    for group in lone(scene):
        gender, one, many = NOUNS[group.shape]
        article = "l'" if one[0] in "é" else "la " if gender == "f" else "le "
        subject = f"est {article}{one}" if group.count == 1 else f"sont les {many}"
        yield Question("colour", f"De quelle couleur {subject} ?", COLOURS[group.colour][0])
    for one, relation, other in related(scene):
        pronoun = ("elle" if NOUNS[one.shape][0] == "f" else "il") + ("s" if one.count > 1 else "")
        verb = "se trouve-t-" if one.count == 1 else "se trouvent-"
        for claim, holds in asked(relation):
            where = _of(_RELATIONS[claim], _things(other))
            yield Question("relation", f"{capital(_things(one))} {verb}{pronoun} {where} ?", "oui" if holds else "non")
    if scene.sign is not None:
        yield Question("reading", "Que lit-on sur le panneau ?", scene.sign.word)
    if scene.chart is not None:
        bars = scene.chart.kind == "bars"
        most, many = ("la barre la plus haute", "de barres") if bars else ("le secteur le plus grand", "de secteurs")
        yield Question("chart", f"De quelle couleur est {most} ?", COLOURS[largest(scene.chart)[0]][0])
        yield Question("chart", f"Combien {many} le diagramme a-t-il ?", str(len(scene.chart.values)))


FRENCH: Final = Tongue("fr", _sentences, _questions)
