"""Captions and questions that are true of a scene, in five languages, drawn from all that the grammar can say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from sluice.synth.scene import COLOURS, Scene
from sluice.synth.tongues import TONGUES, Question

_HOW_MANY: Final = (1, 1, 1, 2, 2, 3)  # captions an image may have


def captions(scene: Scene, language: str, rng: np.random.Generator, count: int | None = None) -> list[str]:
    """One to three different captions of `scene` (or `count` of them, as far as the grammar has so many).

    >>> from sluice.synth.scene import Thing
    >>> balls = tuple(Thing("ball", "red", "plain", "small", x, 0.6, 0.2, 0.0) for x in (0.2, 0.5, 0.8))
    >>> captions(Scene("meadow", "day", 1.5, 0.4, balls), "fr", np.random.default_rng(0), count=1)
    ['Dans un pré, on voit trois petites balles rouges.']
    """
    possible = list(dict.fromkeys(TONGUES[language].sentences(scene)))
    wanted = min(len(possible), count if count is not None else int(rng.choice(_HOW_MANY)))
    return [possible[index] for index in rng.permutation(len(possible))[:wanted]]


def questions(scene: Scene, language: str, rng: np.random.Generator, count: int = 3) -> list[Question]:
    """Up to `count` questions on `scene` with their answers, of as many kinds as it allows."""
    possible = list(TONGUES[language].questions(scene))
    drawn = [possible[index] for index in rng.permutation(len(possible))]
    first: dict[str, Question] = {}
    for question in drawn:
        first.setdefault(question.kind, question)
    return [*first.values(), *(question for question in drawn if question not in first.values())][:count]


def swapped(scene: Scene, rng: np.random.Generator) -> Scene:
    """`scene` with its colours in the wrong places: its captions name what is there, but bind it falsely.

    Two groups of different colours exchange them; a single group gets another colour.
    """
    groups = scene.groups
    others = [group for group in groups if group.colour != groups[0].colour]
    if others:
        one, other = groups[0], others[0]
        exchanged = _recoloured(scene, {(one.shape, one.colour): other.colour, (other.shape, other.colour): one.colour})
        if _named(exchanged) != _named(scene):  # a red and a blue ball exchange nothing
            return exchanged
    present = {group.colour for group in groups}
    new = str(rng.choice([colour for colour in COLOURS if colour not in present]))
    return _recoloured(scene, {(groups[0].shape, groups[0].colour): new})


def _recoloured(scene: Scene, new: Mapping[tuple[str, str], str]) -> Scene:
    things = tuple(replace(thing, colour=new.get((thing.shape, thing.colour), thing.colour)) for thing in scene.things)
    return replace(scene, things=things)


def _named(scene: Scene) -> set[tuple[str, str, str, str, int]]:
    """What a caption without places says of a scene."""
    return {(group.shape, group.colour, group.texture, group.size, group.count) for group in scene.groups}
