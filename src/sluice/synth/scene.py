"""A scene: the whole truth of one drawn picture, as a small value that goes to JSON and back.

Places are shares of the picture (0 to 1 from its left and top edge); sides are shares of its shorter side, so a
scene can be drawn at any size in px. What a caption may say is derived here, from the geometry alone.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final, Literal

Relation = Literal["left", "right", "above", "below"]

SHAPES: Final = (
    "ball", "cube", "cone", "star", "heart", "ring", "mug", "vase", "flower", "fish", "car", "umbrella",
)  # fmt: skip
COLOURS: Final = ("red", "blue", "green", "yellow", "orange", "purple", "pink", "brown", "white", "black")
TEXTURES: Final = ("plain", "striped", "dotted", "checked")
SIZES: Final = ("small", "medium", "large")
LIGHTS: Final = ("day", "evening", "overcast")
STANDING: Final = ("meadow", "beach", "snow", "street", "table", "room")  # seen from the side, with a horizon
LYING: Final = ("cloth", "sand", "marble", "water", "planks", "lawn")  # seen from above
SETTINGS: Final = STANDING + LYING
CHARTS: Final = ("bars", "pie")
LANGUAGES: Final = ("en", "de", "fr", "es", "zh")

MARGIN: Final = 0.01  # how far apart two groups must be, as a share of the picture, before a caption orders them


@dataclass(frozen=True)
class Thing:
    """One object of a scene."""

    shape: str
    colour: str
    texture: str
    size: str
    x: float  # of its centre
    y: float
    side: float  # of the square it fits in
    turn: float  # degrees, clockwise


@dataclass(frozen=True)
class Sign:
    """A board with a printed word."""

    word: str
    colour: str  # of the board
    x: float
    y: float
    side: float  # its width
    turn: float


@dataclass(frozen=True)
class Chart:
    """A printed chart: a coloured bar or slice a value; no two values or colours are equal."""

    kind: str  # bars | pie
    colours: tuple[str, ...]
    values: tuple[int, ...]
    x: float
    y: float
    side: float
    turn: float


@dataclass(frozen=True)
class Group:
    """Things that one noun phrase names together; no other group of its scene has both its shape and its colour."""

    shape: str
    colour: str
    texture: str
    size: str
    count: int
    left: float  # the edges of the group, as shares of the picture
    top: float
    right: float
    bottom: float


@dataclass(frozen=True)
class Scene:
    """What a picture shows.

    >>> ball = Thing("ball", "red", "plain", "small", 0.2, 0.6, 0.2, 0.0)
    >>> scene = Scene("meadow", "day", 1.5, 0.4, (ball,))
    >>> Scene.from_json(scene.to_json()) == scene
    True
    >>> scene.groups[0].count
    1
    """

    setting: str
    light: str
    aspect: float  # width / height
    horizon: float  # share of the height above it; 0 where the picture is seen from above
    things: tuple[Thing, ...] = ()
    sign: Sign | None = None
    chart: Chart | None = None

    @property
    def lying(self) -> bool:
        """Whether the scene is seen from above, so that `above` and `below` have a meaning in the picture."""
        return self.setting in LYING

    @property
    def groups(self) -> tuple[Group, ...]:
        """Things alike in shape, colour, texture and size, in the order they were placed."""
        alike: dict[tuple[str, str, str, str], list[Thing]] = {}
        for thing in self.things:
            alike.setdefault((thing.shape, thing.colour, thing.texture, thing.size), []).append(thing)
        across, down = min(1.0, 1 / self.aspect), min(1.0, self.aspect)  # a side as a share of the width, the height
        return tuple(
            Group(
                *look,
                count=len(members),
                left=min(thing.x - thing.side * across / 2 for thing in members),
                top=min(thing.y - thing.side * down / 2 for thing in members),
                right=max(thing.x + thing.side * across / 2 for thing in members),
                bottom=max(thing.y + thing.side * down / 2 for thing in members),
            )
            for look, members in alike.items()
        )

    def relation(self, one: Group, other: Group) -> Relation | None:
        """Where all of `one` lies, seen from all of `other`; None where the two interleave."""
        if one.right + MARGIN < other.left:
            return "left"
        if other.right + MARGIN < one.left:
            return "right"
        if self.lying and one.bottom + MARGIN < other.top:
            return "above"
        if self.lying and other.bottom + MARGIN < one.top:
            return "below"
        return None

    def to_json(self) -> str:
        """The scene as one line of JSON."""
        return json.dumps(self, default=vars, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Scene:
        """The scene that `to_json` wrote."""
        fields: dict[str, Any] = json.loads(text)
        chart: dict[str, Any] | None = fields["chart"]
        if chart is not None:
            chart |= {"colours": tuple(chart["colours"]), "values": tuple(chart["values"])}
        return cls(
            setting=fields["setting"],
            light=fields["light"],
            aspect=fields["aspect"],
            horizon=fields["horizon"],
            things=tuple(Thing(**thing) for thing in fields["things"]),
            sign=None if fields["sign"] is None else Sign(**fields["sign"]),
            chart=None if chart is None else Chart(**chart),
        )
