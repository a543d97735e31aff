"""English captions and questions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sluice.synth.scene import Chart, Group, Relation, Scene, Sign
from sluice.synth.tongues.base import Question, Tongue, absent_colour, asked, capital, largest, listed, lone, related

NUMBERS: Final = ("no", "one", "two", "three", "four", "five", "six", "seven")
COLOURS: Final = {
    c: c for c in ("red", "blue", "green", "yellow", "orange", "purple", "pink", "brown", "white", "black")
}
NOUNS: Final = {
    "ball": ("ball", "balls"),
    "cube": ("cube", "cubes"),
    "cone": ("cone", "cones"),
    "star": ("star", "stars"),
    "heart": ("heart", "hearts"),
    "ring": ("ring", "rings"),
    "mug": ("mug", "mugs"),
    "vase": ("vase", "vases"),
    "flower": ("flower", "flowers"),
    "fish": ("fish", "fish"),
    "car": ("toy car", "toy cars"),
    "umbrella": ("umbrella", "umbrellas"),
}
_SIZES: Final = {"small": "small", "large": "large", "medium": ""}
_TEXTURES: Final = {"plain": "", "striped": "striped", "dotted": "dotted", "checked": "checked"}
_PLACES: Final = {
    "meadow": "in a meadow",
    "beach": "on a beach",
    "snow": "in the snow",
    "street": "in front of a brick wall",
    "table": "on a wooden table",
    "room": "on a wooden floor",
    "cloth": "on a piece of cloth",
    "sand": "on rippled sand",
    "marble": "on a slab of marble",
    "water": "in clear water",
    "planks": "on wooden planks",
    "lawn": "on a lawn",
}
_LIGHTS: Final = {"evening": "in warm evening light", "overcast": "on a grey day"}
_RELATIONS: Final[dict[Relation, str]] = {
    "left": "to the left of",
    "right": "to the right of",
    "above": "above",
    "below": "below",
}


def _article(words: str) -> str:
    return ("an " if words[0] in "aeiou" else "a ") + words


def _things(group: Group) -> str:
    words = " ".join(
        word
        for word in (
            _SIZES[group.size],
            COLOURS[group.colour],
            _TEXTURES[group.texture],
            NOUNS[group.shape][group.count > 1],
        )
        if word
    )
    return _article(words) if group.count == 1 else f"{NUMBERS[group.count]} {words}"


def _sign(sign: Sign) -> str:
    return f"{_article(COLOURS[sign.colour])} sign reading “{sign.word}”"


def _chart(chart: Chart, place: str) -> Iterator[str]:
    colour, value = largest(chart)
    count = NUMBERS[len(chart.values)]
    if chart.kind == "bars":
        parts = listed([f"{COLOURS[c]} {v}" for c, v in zip(chart.colours, chart.values, strict=True)], " and ")
        yield f"A bar chart with {count} bars {place}; the {COLOURS[colour]} bar is the tallest, at {value}."
        yield f"A printed bar chart {place} with the values {parts}."
    else:
        colours = listed([COLOURS[c] for c in chart.colours], " and ")
        yield f"A pie chart with {count} slices {place}; the {COLOURS[colour]} slice is the largest."
        yield f"A printed pie chart {place}, its slices {colours}."


def _sentences(scene: Scene) -> Iterator[str]:
    place = _PLACES[scene.setting]
    if scene.chart is not None:
        yield from _chart(scene.chart, place)
        return
    parts = [_things(group) for group in scene.groups]
    first_is_one = scene.groups[0].count == 1 if parts else True
    if scene.sign is not None:
        parts, first_is_one = [_sign(scene.sign), *parts], True
    things = listed(parts, " and ")
    yield f"{capital(things)} {place}."
    yield f"There {'is' if first_is_one else 'are'} {things} {place}."
    yield f"The photo shows {things} {place}."
    if scene.light in _LIGHTS:
        yield f"{capital(things)} {place} {_LIGHTS[scene.light]}."
    for one, relation, other in related(scene):
        if len(parts) == 2 and scene.sign is None:
            where = f"{_RELATIONS[relation]} {_things(other)}"
            yield f"{capital(_things(one))} {where}, {place}."
            yield f"{capital(place)}, {_things(one)} {'is' if one.count == 1 else 'are'} {where}."


def _questions(scene: Scene) -> Iterator[Question]:
    for group in scene.groups:
        colour, plural = COLOURS[group.colour], NOUNS[group.shape][1]
        yield Question("count", f"How many {colour} {plural} are there?", str(group.count))
        yield Question("yes_no", f"Is there {_article(f'{colour} {NOUNS[group.shape][0]}')}?", "yes")
        wrong = COLOURS[absent_colour(scene, group.shape)]
        yield Question("yes_no", f"Is there {_article(f'{wrong} {NOUNS[group.shape][0]}')}?", "no")
    for group in lone(scene):
        noun = NOUNS[group.shape][group.count > 1]
        yield Question(
            "colour", f"What colour {'is' if group.count == 1 else 'are'} the {noun}?", COLOURS[group.colour]
        )
    for one, relation, other in related(scene):
        verb = "Is" if one.count == 1 else "Are"
        for claim, holds in asked(relation):
            yield Question(
                "relation", f"{verb} {_things(one)} {_RELATIONS[claim]} {_things(other)}?", "yes" if holds else "no"
            )
    if scene.sign is not None:
        yield Question("reading", "What does the sign say?", scene.sign.word)
    if scene.chart is not None:
        part, most = ("bar", "tallest") if scene.chart.kind == "bars" else ("slice", "largest")
        yield Question("chart", f"Which colour is the {most} {part}?", COLOURS[largest(scene.chart)[0]])
        yield Question("chart", f"How many {part}s does the chart have?", str(len(scene.chart.values)))


ENGLISH: Final = Tongue("en", _sentences, _questions)
