"""What is said of a picture: a true caption, and false ones that differ from it in one thing only.

A false caption ("hard negative") is a true caption of another scene, made from this one by one edit: colours
exchanged, another colour, another shape, one more or fewer, left and right exchanged. It is never one of the
captions that are true of the picture.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from sluice.synth.grammar import swapped
from sluice.synth.imagine import WORDS
from sluice.synth.scene import COLOURS, LANGUAGES, LYING, SHAPES, STANDING, Chart, Group, Scene, Thing
from sluice.synth.tongues import TONGUES

_MOST: Final = 7  # the languages count no further
_TRIES: Final = 12  # edits to try for one false caption


@dataclass(frozen=True)
class Told:
    """A true caption of a scene and false ones, all in one language."""

    language: str
    true: str
    false: tuple[str, ...]
    imagined: tuple[Scene, ...]  # of which the false captions are true


def told(scene: Scene, rng: np.random.Generator, false: int, language: str | None = None) -> Told:
    """One true caption of `scene` and `false` false ones, each of the same sentence form where there is one.

    >>> from sluice.synth.scene import Thing
    >>> ball = Thing("ball", "red", "plain", "medium", 0.5, 0.7, 0.25, 0.0)
    >>> told(Scene("meadow", "day", 1.5, 0.4, (ball,)), np.random.default_rng(2), 2, "en").true
    'The photo shows a red ball in a meadow.'
    """
    code = language or LANGUAGES[int(rng.integers(len(LANGUAGES)))]
    sentences = TONGUES[code].sentences
    possible = list(sentences(scene))
    at = int(rng.integers(len(possible)))
    edits = _edits(scene)
    wrong: list[str] = []
    imagined: list[Scene] = []
    shares = np.array([weight for weight, _ in edits])
    drawn = rng.choice(len(edits), size=_TRIES * max(1, false), p=shares / shares.sum())
    # where colours can be exchanged it is done first: nothing is harder to tell
    first = [swapped] if len(scene.groups) > 1 else []
    for edit in (*first, *(edits[int(kind)][1] for kind in drawn)):
        if len(wrong) == false:
            break
        edited = edit(scene, rng)
        if edited is None:
            continue
        said = list(sentences(edited))
        caption = said[at] if len(said) == len(possible) else said[min(at, 2) % len(said)]
        if caption not in possible and caption not in wrong:
            wrong.append(caption)
            imagined.append(edited)
    while len(wrong) < false:  # hardly ever: a scene of which few things can be said falsely
        edited = _elsewhere(scene, rng)
        wrong.append(next(iter(sentences(edited))))
        imagined.append(edited)
    return Told(code, possible[at], tuple(wrong), tuple(imagined))


def mirrored(scene: Scene) -> Scene:
    """The scene with left and right exchanged; not for one with print, which would be mirrored too."""
    return replace(
        scene, things=tuple(replace(thing, x=round(1 - thing.x, 4), turn=-thing.turn) for thing in scene.things)
    )


Edit = Callable[[Scene, np.random.Generator], Scene | None]


def _edits(scene: Scene) -> list[tuple[float, Edit]]:
    """What can be changed in a scene, each with how often it is."""
    edits: list[tuple[float, Edit]] = [(0.04, _elsewhere)]
    if scene.light != "day":
        edits.append((0.02, _other_light))
    if scene.things:
        edits += [(0.20, _other_colour), (0.13, _other_shape), (0.13, _other_count), (0.04, _other_size)]
        edits += [(0.04, _other_texture), (0.36 if len(scene.groups) > 1 else 0.1, swapped)]
    if len(scene.groups) == 2 and scene.sign is None:
        edits += [(0.14, lambda scene, _: mirrored(scene)), (0.05 if scene.lying else 0.0, _upside_down)]
        edits.append((0.06, _shapes_exchanged))
    if scene.sign is not None:
        edits += [(0.2, _other_board), (0.2, _other_word)]
    if scene.chart is not None:
        edits += [(0.5, _other_chart), (0.1, _other_kind)]
    return edits


def _pick(rng: np.random.Generator, among: tuple[str, ...], but: str) -> str:
    left = [one for one in among if one != but]
    return left[int(rng.integers(len(left)))]


def _elsewhere(scene: Scene, rng: np.random.Generator) -> Scene:
    return replace(scene, setting=_pick(rng, LYING if scene.lying else STANDING, scene.setting))


def _other_light(scene: Scene, rng: np.random.Generator) -> Scene:
    return replace(scene, light="overcast" if scene.light == "evening" else "evening")


def _changed(scene: Scene, group: Group, change: Callable[[Thing], Thing]) -> Scene:
    return replace(scene, things=tuple(change(thing) if _in(thing, group) else thing for thing in scene.things))


def _in(thing: Thing, group: Group) -> bool:
    return (thing.shape, thing.colour) == (group.shape, group.colour)


def _group(scene: Scene, rng: np.random.Generator) -> Group:
    return scene.groups[int(rng.integers(len(scene.groups)))]


def _clear(scene: Scene, changed: Scene) -> Scene | None:
    """The changed scene, unless two of its groups have become one."""
    looks = {(group.shape, group.colour) for group in changed.groups}
    return changed if len(looks) == len(scene.groups) else None


def _other_colour(scene: Scene, rng: np.random.Generator) -> Scene | None:
    group = _group(scene, rng)
    new = _pick(rng, COLOURS, group.colour)
    return _clear(scene, _changed(scene, group, lambda thing: replace(thing, colour=new)))


def _other_shape(scene: Scene, rng: np.random.Generator) -> Scene | None:
    group = _group(scene, rng)
    new = _pick(rng, SHAPES, group.shape)
    return _clear(scene, _changed(scene, group, lambda thing: replace(thing, shape=new)))


def _shapes_exchanged(scene: Scene, rng: np.random.Generator) -> Scene | None:
    one, other = scene.groups
    new = {(one.shape, one.colour): other.shape, (other.shape, other.colour): one.shape}
    things = tuple(replace(thing, shape=new[thing.shape, thing.colour]) for thing in scene.things)
    return _clear(scene, replace(scene, things=things))


def _other_size(scene: Scene, rng: np.random.Generator) -> Scene:
    group = _group(scene, rng)
    new = "small" if group.size == "large" else "large"  # "medium" goes unsaid: too near to either to be called false
    return _changed(scene, group, lambda thing: replace(thing, size=new))


def _other_texture(scene: Scene, rng: np.random.Generator) -> Scene:
    group = _group(scene, rng)
    new = _pick(rng, ("plain", "striped", "dotted", "checked"), group.texture)
    return _changed(scene, group, lambda thing: replace(thing, texture=new))


def _other_count(scene: Scene, rng: np.random.Generator) -> Scene:
    group = _group(scene, rng)
    members = [thing for thing in scene.things if _in(thing, group)]
    more = group.count == 1 or (group.count < _MOST and rng.random() < 0.5)
    at = scene.things.index(members[-1])
    extra = (members[-1],) if more else ()
    return replace(scene, things=(*scene.things[:at], *extra, *scene.things[at + (not more) :]))


def _upside_down(scene: Scene, rng: np.random.Generator) -> Scene:
    return replace(scene, things=tuple(replace(thing, y=round(1 - thing.y, 4)) for thing in scene.things))


def _other_board(scene: Scene, rng: np.random.Generator) -> Scene | None:
    if scene.sign is None:
        return None
    colours = ("white", "yellow", "blue", "green", "red", "black")
    return replace(scene, sign=replace(scene.sign, colour=_pick(rng, colours, scene.sign.colour)))


def _other_word(scene: Scene, rng: np.random.Generator) -> Scene | None:
    return (
        None
        if scene.sign is None
        else replace(scene, sign=replace(scene.sign, word=_pick(rng, WORDS, scene.sign.word)))
    )


def _other_chart(scene: Scene, rng: np.random.Generator) -> Scene | None:
    """Other colours for the same values."""
    chart = scene.chart
    if chart is None:
        return None
    colours = tuple(str(colour) for colour in rng.permutation(("red", "blue", "green", "yellow", "orange", "purple")))
    return replace(scene, chart=replace(chart, colours=colours[: len(chart.values)]))


def _other_kind(scene: Scene, rng: np.random.Generator) -> Scene | None:
    chart: Chart | None = scene.chart
    return (
        None if chart is None else replace(scene, chart=replace(chart, kind="pie" if chart.kind == "bars" else "bars"))
    )
