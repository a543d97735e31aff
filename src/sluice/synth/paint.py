"""Drawing a scene: background, shadows, things, signs and charts, then light, lens and sensor.

picture = render(scene, (480, 360), rng)
picture.pixels   (height, width, 3) uint8
picture.mask     (height, width) uint8: 0 the background, i + 1 the i-th thing of the scene
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from sluice.synth.background import background
from sluice.synth.cards import chart_card, sign_card
from sluice.synth.palette import rgb
from sluice.synth.scene import Scene, Thing
from sluice.synth.shapes import parts
from sluice.synth.texture import Colour, Plane, field, grain, mix, smoothstep, soften

_TINT: Final = {"day": (1.0, 1.0, 0.98), "evening": (1.09, 0.98, 0.84), "overcast": (0.93, 0.97, 1.03)}
_LOW_KEY: Final = 0.03  # shares of pictures that a threshold set too eagerly would lose
_SOFT: Final = 0.08
_GLOSSY: Final = ("ball", "mug", "vase", "ring", "heart")
_PASTE: Final = 128  # alpha above which a pixel belongs to a thing


@dataclass(frozen=True)
class Picture:
    """A drawn scene and where its things are."""

    pixels: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.uint8]

    @property
    def image(self) -> Image.Image:
        """The pixels as a Pillow image."""
        return Image.fromarray(self.pixels)

    def boxes(self, count: int) -> list[tuple[float, float, float, float] | None]:
        """Per thing (left, top, right, bottom) of what is seen of it, as shares of the picture; None where hidden."""
        height, width = self.mask.shape
        found: list[tuple[float, float, float, float] | None] = []
        for number in range(1, count + 1):
            seen = self.mask == number
            rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
            if not len(rows):
                found.append(None)
                continue
            box = (columns[0] / width, rows[0] / height, (columns[-1] + 1) / width, (rows[-1] + 1) / height)
            found.append((round(box[0], 4), round(box[1], 4), round(box[2], 4), round(box[3], 4)))
        return found


def render(scene: Scene, size: tuple[int, int], rng: np.random.Generator) -> Picture:
    """The scene at `size` (width, height) px; equal generators give equal pixels.

    >>> from sluice.synth.imagine import imagine
    >>> one, two = (render(imagine(np.random.default_rng(1)), (96, 72), np.random.default_rng(2)) for _ in range(2))
    >>> bool((one.pixels == two.pixels).all())
    True
    """
    width, height = size
    canvas = np.ascontiguousarray(background(scene.setting, rng, height, width, scene.horizon), dtype=np.float32)
    mask = np.zeros((height, width), dtype=np.uint8)
    sun = float(rng.uniform(-1, 1)), float(rng.uniform(0.35, 1))  # where shadows fall: (across, down)
    for card in (scene.sign, scene.chart):
        if card is not None:
            patch = sign_card(card, min(size)) if card is scene.sign else chart_card(card, min(size))  # type: ignore[arg-type]
            _lay(canvas, patch, card.x * width, card.y * height, sun)
    things = sorted(enumerate(scene.things, 1), key=lambda pair: pair[1].y)  # what is lower is nearer
    for _, thing in things:
        _shadow(canvas, thing, sun, scene.lying)
    for number, thing in things:
        _paint(canvas, mask, number, thing, sun, rng)
    return Picture(_develop(canvas, scene, rng), mask)


def _develop(canvas: Colour, scene: Scene, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Uneven light, falloff to the corners, a tint of the hour, exposure, sensor noise."""
    height, width = canvas.shape[1:]
    rows = np.linspace(-1, 1, height, dtype=np.float32)[:, None] - np.float32(rng.uniform(-0.3, 0.3))
    columns = np.linspace(-1, 1, width, dtype=np.float32)[None, :] - np.float32(rng.uniform(-0.3, 0.3))
    falloff = 1 - np.float32(rng.uniform(0.06, 0.2)) * (rows**2 + columns**2)
    light = falloff * (1 + np.float32(0.13) * field(rng, height, width, rng.uniform(1.5, 4)))
    # As a camera does: metered for the whole picture, never exactly; now and then a low-key picture, still a good one.
    gain = float(np.clip(rng.uniform(92, 150) / float((canvas[:, ::3, ::3] * light[::3, ::3]).mean()), 0.75, 1.4))
    gain *= rng.uniform(0.32, 0.5) if rng.random() < _LOW_KEY else 1.0
    noise = grain(rng, height, width) * np.float32(rng.uniform(1.5, 4.5))
    soft = float(rng.uniform(0.0012, 0.0022)) * min(height, width) if rng.random() < _SOFT else 0.0
    pixels = np.empty((height, width, 3), dtype=np.uint8)
    for band, tint in enumerate(_TINT[scene.light]):
        exposed = canvas[band] * (light * np.float32(tint * gain)) + noise
        np.clip(exposed, 0, 255, out=pixels[..., band], casting="unsafe")
    return np.asarray(soften(Image.fromarray(pixels), soft)) if soft else pixels


def _window(canvas: Colour, x: float, y: float, high: int, wide: int) -> tuple[slice, slice, slice, slice] | None:
    """Where a patch centred at (x, y) px meets the canvas: rows and columns of the canvas, then of the patch."""
    top, left = round(y - high / 2), round(x - wide / 2)
    rows = slice(max(top, 0), min(top + high, canvas.shape[1]))
    columns = slice(max(left, 0), min(left + wide, canvas.shape[2]))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return None
    return rows, columns, slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)


def _blend(canvas: Colour, patch: Colour, alpha: Plane, x: float, y: float) -> tuple[slice, slice, Plane] | None:
    window = _window(canvas, x, y, *alpha.shape)
    if window is None:
        return None
    rows, columns, from_rows, from_columns = window
    share = alpha[from_rows, from_columns]
    colours = patch if patch.shape[1] == 1 else patch[:, from_rows, from_columns]
    canvas[:, rows, columns] += (colours - canvas[:, rows, columns]) * share
    return rows, columns, share


def _shadow(canvas: Colour, thing: Thing, sun: tuple[float, float], lying: bool) -> None:
    height, width = canvas.shape[1:]
    side = thing.side * min(height, width)
    wide, high = (0.92, 0.8) if lying else (0.9, 0.2)
    rows, columns = int(side * high * 1.7), int(side * wide * 1.7)
    y, x = np.linspace(-1, 1, rows, dtype=np.float32)[:, None], np.linspace(-1, 1, columns, dtype=np.float32)[None, :]
    dark = 0.62 * smoothstep(-np.sqrt(x * x + y * y), -1.0, -0.25)
    x, y = thing.x * width, thing.y * height
    if lying:
        x, y = x + sun[0] * side * 0.12, y + sun[1] * side * 0.14
    else:
        x, y = x + sun[0] * side * 0.1, y + side * 0.44
    window = _window(canvas, x, y, *dark.shape)
    if window is not None:
        rows, columns, from_rows, from_columns = window
        canvas[:, rows, columns] *= 1 - dark[from_rows, from_columns]


def _paint(
    canvas: Colour,
    mask: npt.NDArray[np.uint8],
    number: int,
    thing: Thing,
    sun: tuple[float, float],
    rng: np.random.Generator,
) -> None:
    height, width = mask.shape
    side = max(8, round(thing.side * min(height, width)))
    body, tone, painted = _outline(thing, side)
    alpha = np.asarray(body, dtype=np.float32) / 255
    colours = rgb(thing.colour) * rng.uniform(0.95, 1.06, (3, 1, 1)).astype(np.float32)
    if thing.texture != "plain":
        second = np.array((116, 128, 152) if thing.colour == "white" else (246, 244, 238), dtype=np.float32)
        colours = mix(colours, second[:, None, None], _pattern(thing, side))
    light = np.asarray(tone, dtype=np.float32) * np.float32(1 / 128) * _relief(body, side, sun, thing.shape)
    colours = colours * light
    if painted is not None:
        layer = np.asarray(painted, dtype=np.float32).transpose(2, 0, 1)
        colours = mix(colours, layer[:3], layer[3] / 255)
    surface = grain(rng, side, side, 1.2) * np.float32(2.5)
    if thing.shape in _GLOSSY:
        surface += _gloss(side, sun, thing.shape)
    colours += surface
    blended = _blend(canvas, np.clip(colours, 0, 255, out=colours), alpha, thing.x * width, thing.y * height)
    if blended is not None:
        rows, columns, share = blended
        mask[rows, columns][share * 255 > _PASTE] = number


def _outline(thing: Thing, side: int) -> tuple[Image.Image, Image.Image, Image.Image | None]:
    """Alpha, tone (128 is as it is) and painted details (RGBA, if any) of a thing, side x side px."""
    times = 3 if side < 120 else 2  # drawn this many times larger, then reduced: smooth edges
    fine = side * times
    body, tone = Image.new("L", (fine, fine)), Image.new("L", (fine, fine), 128)
    draw_body, draw_tone = ImageDraw.Draw(body), ImageDraw.Draw(tone)
    painted: Image.Image | None = None
    turn = np.radians(thing.turn)
    turned = np.array(((np.cos(turn), np.sin(turn)), (-np.sin(turn), np.cos(turn))))
    for part in parts(thing.shape):
        points = (((part.points @ turned) * 0.97 + 1) * (fine / 2)).ravel().tolist()
        draw_body.polygon(points, fill=0 if part.kind == "hole" else 255)
        draw_tone.polygon(points, fill=round(128 * part.tone))
        if part.kind == "paint":
            painted = painted or Image.new("RGBA", (fine, fine))
            ImageDraw.Draw(painted).polygon(points, fill=(*part.paint, 255))
    return body.reduce(times), tone.reduce(times), painted.reduce(times) if painted else None


def _relief(body: Image.Image, side: int, sun: tuple[float, float], shape: str) -> Plane:
    """How much light each point of a thing gets: a sphere for a ball, a soft bevel for the rest."""
    if shape == "ball":
        y, x = (axis / np.float32(0.95) for axis in _axes(side))
        z = np.sqrt(np.clip(1 - x * x - y * y, 0, 1))
        return 0.62 + 0.5 * np.clip(-0.55 * sun[0] * x - 0.6 * sun[1] * y + 0.75 * z, -0.5, 1)
    dome = np.asarray(soften(body, side * 0.07), dtype=np.float32) / 255
    bevel = np.zeros_like(dome)  # the slope towards the sun
    bevel[:, 1:-1] += (dome[:, 2:] - dome[:, :-2]) * np.float32(sun[0] * side * 0.072)
    bevel[1:-1] += (dome[2:] - dome[:-2]) * np.float32(sun[1] * side * 0.072)
    return np.clip(bevel, -0.36, 0.36) + np.float32(0.99)


def _axes(side: int) -> tuple[Plane, Plane]:
    """y and x of a patch, from -1 to 1, to be broadcast."""
    axis = np.linspace(-1, 1, side, dtype=np.float32)
    return axis[:, None], axis[None, :]


def _gloss(side: int, sun: tuple[float, float], shape: str) -> Plane:
    """A highlight on a thing that is round and smooth."""
    strength = 95 if shape == "ball" else 38
    y, x = _axes(side)
    far = (x + 0.38 * sun[0] + 0.06) ** 2 + (y + 0.45 * sun[1]) ** 2
    return np.float32(strength) * np.exp(far * np.float32(-20))


def _pattern(thing: Thing, side: int) -> Plane:
    """Where a textured thing shows its second colour: 0 to 1, turned with it."""
    y, x = _axes(side)
    turn = np.radians(thing.turn)
    u = x * np.float32(np.cos(turn)) + y * np.float32(np.sin(turn))
    v = -x * np.float32(np.sin(turn)) + y * np.float32(np.cos(turn))
    repeats = np.float32(np.pi * (3 if thing.texture == "dotted" else 4.2))
    sharp = np.float32(side / 9)  # px to shares: edges one pixel soft
    if thing.texture == "striped":
        return np.clip(np.sin(v * repeats) * sharp + 0.5, 0, 1)
    if thing.texture == "checked":
        return np.clip(np.sin(u * repeats) * np.sin(v * repeats) * sharp + 0.5, 0, 1)
    # dots where both waves have the same sign and, turned by half a period, where they have not: a staggered grid
    return np.clip((np.abs(np.sin(u * repeats) * np.sin(v * repeats)) - 0.45) * sharp + 0.5, 0, 1)


def _lay(canvas: Colour, card: Image.Image, x: float, y: float, sun: tuple[float, float]) -> None:
    """Lay a card (RGBA) on the canvas, with its shadow."""
    layer = np.asarray(card, dtype=np.float32).transpose(2, 0, 1)
    alpha = layer[3] / 255
    depth = max(3.0, card.width * 0.03)
    dark = np.asarray(soften(card.getchannel("A"), depth), dtype=np.float32) / 255 * 0.5
    _blend(canvas, np.zeros((3, 1, 1), dtype=np.float32), dark, x + sun[0] * depth, y + sun[1] * depth)
    _blend(canvas, layer[:3], alpha, x, y)
