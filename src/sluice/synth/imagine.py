"""Imagining a scene: what is in it and where, drawn from a seeded generator."""

from __future__ import annotations

from typing import Final

import numpy as np

from sluice.synth.scene import CHARTS, COLOURS, LIGHTS, LYING, SETTINGS, SHAPES, Chart, Scene, Sign, Thing

WORDS: Final = (
    "OPEN", "CAFE", "BOOKS", "BREAD", "TAXI", "HOTEL", "MUSIC", "GARDEN", "RIVER", "NORTH", "EXIT", "MARKET", "LEMON",
    "TRAIN", "STUDIO", "HARBOR", "PARK", "MUSEUM", "COFFEE", "FLOWERS", "ROUTE 7", "GATE 4", "LIBRARY", "TICKETS",
)  # fmt: skip

# Things that would vanish into their background, so that a caption naming them would be true but unfair.
CLASHES: Final = {
    "meadow": ("green",),
    "lawn": ("green",),
    "snow": ("white",),
    "marble": ("white",),
    "water": ("blue",),
    "sand": ("yellow", "brown"),
    "beach": ("yellow", "brown"),
    "table": ("brown", "black"),
    "planks": ("brown", "black"),
    "room": ("brown",),
    "street": ("brown",),
}
_SIDES: Final = {"small": (0.15, 0.19), "medium": (0.23, 0.29), "large": (0.36, 0.46)}
_TRIES: Final = 60  # placements to try before a thing is left out of the scene


def imagine(rng: np.random.Generator, aspect: float = 4 / 3, groups: int | None = None) -> Scene:
    """A scene of 1 to 3 groups of things (exactly `groups` of them where given), or one with a sign or a chart.

    >>> imagine(np.random.default_rng(7), groups=2).chart is None
    True
    """
    kind = 1.0 if groups is not None else rng.random()
    setting = _choose(rng, SETTINGS)
    horizon = 0.0 if setting in LYING else round(float(rng.uniform(0.22, 0.5)), 4)
    empty = Scene(setting, _choose(rng, LIGHTS), round(aspect, 4), horizon)
    if kind < 0.07:
        return _with_chart(empty, rng)
    if kind < 0.18:
        return _with_sign(empty, rng)
    while True:
        wanted = groups if groups is not None else int(rng.choice((1, 2, 2, 2, 3)))
        scene = Scene(empty.setting, empty.light, empty.aspect, empty.horizon, _things(empty, rng, wanted))
        if scene.things and (groups is None or len(scene.groups) == groups):
            return scene


def _choose(rng: np.random.Generator, among: tuple[str, ...]) -> str:
    return among[int(rng.integers(len(among)))]


def _things(scene: Scene, rng: np.random.Generator, groups: int, taken: tuple[Thing, ...] = ()) -> tuple[Thing, ...]:
    """Up to `groups` groups of things that do not overlap each other or `taken`."""
    colours = [colour for colour in COLOURS if colour not in CLASHES.get(scene.setting, ())]
    looks: set[tuple[str, str]] = set()
    placed: list[Thing] = []
    cuts = [number / groups for number in range(groups + 1)] if groups else [0.0]
    apart = rng.random() < 0.65  # each group in its own part of the width: then captions can order them
    parts = [int(number) for number in rng.permutation(groups)]
    for index in range(groups):
        shape, colour = _choose(rng, SHAPES), str(rng.choice(colours))
        if (shape, colour) in looks:
            continue
        looks.add((shape, colour))
        texture = str(rng.choice(("plain", "plain", "plain", "plain", "striped", "dotted", "checked")))
        size = str(rng.choice(("small", "medium", "medium", "large")))
        count = int(rng.choice((1, 1, 1, 2, 2, 3, 4, 5) if size != "large" else (1, 1, 1, 2)))
        span = (cuts[parts[index]], cuts[parts[index] + 1]) if apart else (0.0, 1.0)
        for _ in range(count):
            thing = _place(scene, rng, (shape, colour, texture, size), span, (*taken, *placed))
            if thing is not None:
                placed.append(thing)
    return tuple(placed)


def _place(
    scene: Scene,
    rng: np.random.Generator,
    look: tuple[str, str, str, str],
    span: tuple[float, float],
    others: tuple[Thing, ...],
) -> Thing | None:
    """A thing of this look that lies wholly in the picture, within `span` of the width, clear of `others`."""
    across, down = min(1.0, 1 / scene.aspect), min(1.0, scene.aspect)
    for _ in range(_TRIES):
        side = float(rng.uniform(*_SIDES[look[3]]))
        left, right = span[0] + side * across / 2 + 0.012, span[1] - side * across / 2 - 0.012
        top, bottom = side * down / 2 + 0.012, 1 - side * down / 2 - 0.012
        if not scene.lying:
            top = max(top, scene.horizon + 0.06 - side * down / 2)  # its foot stands on the ground
        if left > right or top > bottom:
            continue
        x, y = float(rng.uniform(left, right)), float(rng.uniform(top, bottom))
        clear = all(
            np.hypot((x - other.x) / across, (y - other.y) / down) > 0.56 * (side + other.side) for other in others
        )
        if clear:
            turn = float(rng.uniform(-70, 70)) if scene.lying else float(rng.uniform(-6, 6))
            return Thing(*look, x=round(x, 4), y=round(y, 4), side=round(side, 4), turn=round(turn, 1))
    return None


def _with_sign(scene: Scene, rng: np.random.Generator) -> Scene:
    side = round(float(rng.uniform(0.5, 0.72)), 4)
    across, down = min(1.0, 1 / scene.aspect), min(1.0, scene.aspect)
    x = round(float(rng.uniform(side * across / 2 + 0.03, 0.97 - side * across / 2)), 4)
    y = round(float(rng.uniform(side * down / 4 + 0.03, 0.55)), 4)
    colour = _choose(rng, ("white", "yellow", "blue", "green", "red", "black"))
    sign = Sign(_choose(rng, WORDS), colour, x, y, side, round(float(rng.uniform(-5, 5)), 1))
    board = Thing("", "", "", "", x, y, side * 1.05, 0.0)
    things = _things(scene, rng, int(rng.integers(0, 3)), (board,))
    return Scene(scene.setting, scene.light, scene.aspect, scene.horizon, things, sign=sign)


def _with_chart(scene: Scene, rng: np.random.Generator) -> Scene:
    kind = _choose(rng, CHARTS)
    count = int(rng.integers(3, 6))
    colours = tuple(str(colour) for colour in rng.permutation(("red", "blue", "green", "yellow", "orange", "purple")))
    values = tuple(int(value) for value in rng.permutation(np.arange(1, 10))[:count])
    side = float(rng.uniform(0.62, 0.86))
    across, down = min(1.0, 1 / scene.aspect), min(1.0, scene.aspect)
    x = round(float(rng.uniform(side * across / 2, 1 - side * across / 2)), 4)
    y = round(float(rng.uniform(side * down / 2, 1 - side * down / 2)), 4)
    chart = Chart(kind, colours[:count], values, x, y, round(side, 4), round(float(rng.uniform(-8, 8)), 1))
    return Scene(scene.setting, scene.light, scene.aspect, scene.horizon, chart=chart)
