"""The outlines of things, in a square from -1 to 1, y down: polygons that add to a body, cut it, tone or paint it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

Points: TypeAlias = npt.NDArray[np.float64]  # (n, 2)


@dataclass(frozen=True)
class Part:
    """One polygon of a thing. `body` takes its colour and `tone` lightens or darkens it; `hole` cuts it out;
    `paint` has a colour of its own (wheels, windows)."""

    points: Points
    kind: Literal["body", "hole", "paint"] = "body"
    tone: float = 1.0
    paint: tuple[int, int, int] = (0, 0, 0)


@cache
def parts(shape: str) -> tuple[Part, ...]:
    """What `shape` is made of, back to front."""
    return _SHAPES[shape]()


def _oval(x: float, y: float, wide: float, high: float, start: float = 0, stop: float = 360) -> Points:
    turn = np.radians(np.linspace(start, stop, 48))
    return np.stack([x + wide * np.cos(turn), y + high * np.sin(turn)], axis=1)


def _polygon(*points: tuple[float, float]) -> Points:
    return np.array(points, dtype=np.float64)


def _box(left: float, top: float, right: float, bottom: float) -> Points:
    return _polygon((left, top), (right, top), (right, bottom), (left, bottom))


def _ball() -> tuple[Part, ...]:
    return (Part(_oval(0, 0, 0.95, 0.95)),)


def _cube() -> tuple[Part, ...]:
    top = _polygon((0, -0.95), (0.85, -0.5), (0, -0.05), (-0.85, -0.5))
    left = _polygon((-0.85, -0.5), (0, -0.05), (0, 0.95), (-0.85, 0.5))
    right = _polygon((0.85, -0.5), (0, -0.05), (0, 0.95), (0.85, 0.5))
    return (Part(left, tone=0.92), Part(right, tone=0.66), Part(top, tone=1.2))


def _cone() -> tuple[Part, ...]:
    base = _oval(0, 0.7, 0.78, 0.25, 0, 180)
    lit = np.concatenate([_polygon((0, -0.95)), _oval(0, 0.7, 0.78, 0.25, 100, 180)])
    shaded = np.concatenate([_polygon((0, -0.95)), _oval(0, 0.7, 0.78, 0.25, 0, 55)])
    return (Part(np.concatenate([_polygon((0, -0.95)), base])), Part(lit, tone=1.1), Part(shaded, tone=0.78))


def _star() -> tuple[Part, ...]:
    turn = np.radians(np.arange(10) * 36 - 90)
    radius = np.where(np.arange(10) % 2 == 0, 0.98, 0.42)
    return (Part(np.stack([radius * np.cos(turn), radius * np.sin(turn) + 0.06], axis=1)),)


def _heart() -> tuple[Part, ...]:
    turn = np.linspace(0, 2 * np.pi, 72)
    x = 16 * np.sin(turn) ** 3
    y = -(13 * np.cos(turn) - 5 * np.cos(2 * turn) - 2 * np.cos(3 * turn) - np.cos(4 * turn))
    return (Part(np.stack([x / 17.5, y / 17.5 - 0.1], axis=1)),)


def _ring() -> tuple[Part, ...]:
    return (Part(_oval(0, 0, 0.95, 0.95)), Part(_oval(0, 0, 0.55, 0.55), "hole"))


def _mug() -> tuple[Part, ...]:
    side = np.concatenate([_oval(-0.2, 0.72, 0.62, 0.2, 0, 180), _polygon((-0.82, -0.68), (0.42, -0.68))])
    return (
        Part(_oval(0.46, 0.0, 0.46, 0.5)),
        Part(_oval(0.44, 0.0, 0.27, 0.3), "hole"),
        Part(side),
        Part(_oval(-0.2, -0.68, 0.62, 0.2), tone=1.15),
        Part(_oval(-0.2, -0.66, 0.53, 0.14), tone=0.5),
    )


def _vase() -> tuple[Part, ...]:
    height = np.linspace(-0.9, 0.92, 40)
    waist = 0.24 + 0.46 * np.exp(-((height - 0.32) ** 2) / 0.16) + 0.16 * np.exp(-((height + 0.9) ** 2) / 0.02)
    outline = np.concatenate([np.stack([-waist, height], axis=1), np.stack([waist, height], axis=1)[::-1]])
    return (Part(outline), Part(_oval(0, -0.88, 0.39, 0.09), tone=0.55))


def _flower() -> tuple[Part, ...]:
    angles = np.radians(np.arange(6) * 60)
    petals = tuple(
        Part(_oval(0.55 * np.cos(a), 0.55 * np.sin(a), 0.38, 0.38), tone=1.0 if i % 2 else 0.88)
        for i, a in enumerate(angles)
    )
    return (*petals, Part(_oval(0, 0, 0.5, 0.5), tone=0.95), Part(_oval(0, 0, 0.26, 0.26), "paint", paint=(92, 62, 34)))


def _fish() -> tuple[Part, ...]:
    return (
        Part(_polygon((0.42, 0), (0.97, -0.5), (0.84, 0), (0.97, 0.5)), tone=0.82),
        Part(_polygon((-0.3, -0.35), (0.15, -0.78), (0.38, -0.25)), tone=0.82),
        Part(_oval(-0.18, 0, 0.74, 0.48)),
        Part(_oval(-0.58, -0.1, 0.11, 0.11), "paint", paint=(245, 245, 240)),
        Part(_oval(-0.6, -0.1, 0.055, 0.055), "paint", paint=(20, 20, 24)),
    )


def _car() -> tuple[Part, ...]:
    cabin = _polygon((-0.55, -0.02), (-0.36, -0.5), (0.34, -0.5), (0.6, -0.02))
    wheels = tuple(
        part
        for x in (-0.5, 0.52)
        for part in (
            Part(_oval(x, 0.42, 0.24, 0.24), "paint", paint=(34, 34, 36)),
            Part(_oval(x, 0.42, 0.11, 0.11), "paint", paint=(176, 178, 182)),
        )
    )
    return (
        Part(cabin),
        Part(_polygon((-0.95, 0.08), (-0.6, -0.08), (0.66, -0.08), (0.95, 0.1), (0.95, 0.42), (-0.95, 0.42))),
        Part(_polygon((-0.44, -0.08), (-0.3, -0.4), (-0.04, -0.4), (-0.04, -0.08)), "paint", paint=(196, 216, 226)),
        Part(_polygon((0.04, -0.08), (0.04, -0.4), (0.28, -0.4), (0.46, -0.08)), "paint", paint=(196, 216, 226)),
        *wheels,
    )


def _umbrella() -> tuple[Part, ...]:
    handle = np.concatenate([_box(-0.04, -0.1, 0.04, 0.72)])
    hook = np.concatenate([_oval(0.14, 0.74, 0.18, 0.2, 0, 180), _oval(0.14, 0.74, 0.1, 0.12, 180, 0)])
    ribs = [_rib(0.95 * share) for share in (-1, -0.55, 0, 0.55, 1)]
    panels = tuple(
        Part(np.concatenate([ribs[i], ribs[i + 1][::-1]]), tone=(1.12, 1.0, 0.88, 0.72)[i]) for i in range(4)
    )
    scallops = tuple(
        Part(_oval(0.95 * x, 0.06, 0.95 * wide, 0.1), "hole")
        for x, wide in ((-0.775, 0.225), (-0.275, 0.275), (0.275, 0.275), (0.775, 0.225))
    )
    dark = (70, 52, 40)
    return (*panels, *scallops, Part(handle, "paint", paint=dark), Part(hook, "paint", paint=dark))


def _rib(reach: float) -> Points:
    """From the top of an umbrella down to its rim, `reach` to the side."""
    turn = np.linspace(0, np.pi / 2, 24)
    return np.stack([reach * np.sin(turn), 0.06 - 0.95 * np.cos(turn)], axis=1)


_SHAPES: Final[dict[str, Callable[[], tuple[Part, ...]]]] = {
    "ball": _ball,
    "cube": _cube,
    "cone": _cone,
    "star": _star,
    "heart": _heart,
    "ring": _ring,
    "mug": _mug,
    "vase": _vase,
    "flower": _flower,
    "fish": _fish,
    "car": _car,
    "umbrella": _umbrella,
}
