"""The settings: photo-like backgrounds, each a function of (rng, height, width, horizon px) to float colours.

Every one mixes a random low-frequency field into its light, so that no two pictures of a setting are near
duplicates of each other, and fine grain into its surface, so that a sharp picture measures as sharp.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np
from PIL import Image, ImageDraw

from sluice.synth.texture import Colour, Plane, clouds, field, grain, mix, smoothstep, soften, stretched

Random: TypeAlias = np.random.Generator


def background(setting: str, rng: Random, height: int, width: int, horizon: float) -> Colour:
    """The empty setting, (3, height, width), 0 to 255; `horizon` is the share of the height above the ground."""
    line = round(horizon * height)
    return _SETTINGS[setting](rng, height, width, line)


def _rgb(*values: float) -> Colour:
    return np.array(values, dtype=np.float32)[:, None, None]


def _jitter(rng: Random, colour: Colour, by: float) -> Colour:
    lighter = rng.uniform(-by, by)
    return colour + (lighter + rng.uniform(-by, by, (3, 1, 1)) * 0.4).astype(np.float32)


def _count(length: int) -> Plane:
    return np.arange(length, dtype=np.float32)


def _down(height: int, width: int) -> Plane:
    """0 at the top row, 1 at the bottom row."""
    return np.broadcast_to(np.linspace(0, 1, height, dtype=np.float32)[:, None], (height, width))


def _perspective(rng: Random, height: int, width: int, squash: float) -> Plane:
    """Ground grain that is fine far away (top) and coarse near (bottom)."""
    near = _down(height, width)
    far = grain(rng, height, width, 0.0, (1, squash))
    return far * (1 - near) + grain(rng, height, width, 1.2, (1.3, squash * 1.6)) * near


def _sky(rng: Random, height: int, width: int) -> Colour:
    high = _jitter(rng, _rgb(86, 138, 205), 18)
    low = _jitter(rng, _rgb(196, 214, 230), 14)
    sky = mix(high, low, _down(height, width) ** 1.2)
    cover = smoothstep(clouds(rng, height, width, 2.6, 1.7), *((-0.2, 1.3) if rng.random() < 0.6 else (0.6, 1.9)))
    return mix(sky, _rgb(240, 241, 243), cover * 0.9)


def _ridge(rng: Random, height: int, width: int, cells: float, middle: float, swing: float) -> Plane:
    """1 below a random ridge line, 0 above it; `middle` and `swing` in px."""
    knots = rng.standard_normal(max(3, int(cells) + 2))
    line = middle + swing * np.interp(np.linspace(0, len(knots) - 1, width), np.arange(len(knots)), knots)
    return np.clip(_count(height)[:, None] - line.astype(np.float32)[None, :], 0, 1)


def _outdoors(rng: Random, ground: Colour, height: int, width: int, line: int, far: Colour, swing: float) -> Colour:
    """Sky, a ridge of distant hills or trees, then `ground` (height - line rows)."""
    scene = np.empty((3, height, width), dtype=np.float32)
    sky = _sky(rng, max(line, 2), width)[:, :line]
    rock = field(rng, line, width, 9) * 8 + grain(rng, line, width, 1.2) * 7
    for depth in (0.55, 0.25):
        ridge = _ridge(rng, line, width, rng.uniform(3, 14), line * (1 - depth * rng.uniform(0.3, 0.9)), swing * line)
        tone = far + (_rgb(176, 192, 206) - far) * np.float32(depth * 0.9)  # haze
        sky = mix(sky, tone + rock, ridge)
    scene[:, :line] = sky
    scene[:, line:] = ground
    return scene


def _meadow(rng: Random, height: int, width: int, line: int) -> Colour:
    rows = height - line
    shade = clouds(rng, rows, width, 3, 2)
    blades = _perspective(rng, rows, width, 1.0) * (0.5 + 0.5 * _down(rows, width))
    ground = mix(
        _jitter(rng, _rgb(112, 140, 66), 14), _jitter(rng, _rgb(66, 104, 40), 12), smoothstep(shade, -1.4, 1.4)
    )
    ground += (blades * 19) * _rgb(1.0, 1.05, 0.7)
    return _outdoors(rng, ground, height, width, line, _jitter(rng, _rgb(58, 88, 62), 12), 0.08)


def _beach(rng: Random, height: int, width: int, line: int) -> Colour:
    rows = height - line
    sea_rows = max(4, int(rows * rng.uniform(0.12, 0.4)))
    sand = mix(
        _jitter(rng, _rgb(222, 200, 160), 10), _rgb(186, 160, 120), smoothstep(clouds(rng, rows, width, 3, 2), -1, 2)
    )
    sand += _perspective(rng, rows, width, 1.0) * 10
    waves = grain(rng, rows, width, 1.2, (1.2, 7)) * 12 + clouds(rng, rows, width, 4, 5) * 10
    sea = mix(_jitter(rng, _rgb(40, 104, 138), 14), _rgb(120, 178, 186), _down(rows, width)) + waves
    shore = soften_plane(_ridge(rng, rows, width, 3, sea_rows, rows * 0.03), 2.5)
    ground = mix(mix(sea, sand, shore), _rgb(244, 246, 244), shore * (1 - shore) * np.float32(3))
    return _outdoors(rng, ground, height, width, line, _jitter(rng, _rgb(80, 104, 110), 10), 0.04)


def _snow(rng: Random, height: int, width: int, line: int) -> Colour:
    rows = height - line
    drifts = clouds(rng, rows, width, 3.2, 2.4)
    ground = mix(_rgb(234, 239, 246), _jitter(rng, _rgb(164, 184, 214), 8), smoothstep(drifts, -0.3, 2.0))
    ground += _perspective(rng, rows, width, 1.0) * 7
    return _outdoors(rng, ground, height, width, line, _jitter(rng, _rgb(48, 66, 66), 10), 0.12)


def _street(rng: Random, height: int, width: int, line: int) -> Colour:
    scene = np.empty((3, height, width), dtype=np.float32)
    brick_h = max(7, int(height * rng.uniform(0.035, 0.06)))
    brick_w = int(brick_h * 2.4)
    rows, columns = np.arange(line)[:, None], np.arange(width)[None, :]
    course = rows // brick_h
    shifted = columns + (course % 2) * (brick_w // 2)
    gap = max(1.4, brick_h * 0.12)
    joint = (rows % brick_h < gap) | (shifted % brick_w < gap)
    tones = rng.normal(0, 13, (line // brick_h + 1, width // brick_w + 2)).astype(np.float32)
    tone = tones[course, shifted // brick_w]
    brick = _jitter(rng, _rgb(150, 86, 66) if rng.random() < 0.6 else _rgb(168, 156, 140), 16)
    wall = brick + (tone + grain(rng, line, width, 0.0) * 9)
    wall = np.where(joint, _rgb(188, 180, 170) + grain(rng, line, width) * 7, wall)
    scene[:, :line] = wall * (1 + 0.16 * clouds(rng, line, width, 2.5))
    floor = height - line
    paving = _jitter(rng, _rgb(132, 130, 128), 14) + (_perspective(rng, floor, width, 1.0) * 12)
    scene[:, line:] = paving * (1 + 0.12 * clouds(rng, floor, width, 2.5, 2))
    scene[:, line : line + max(2, height // 90)] *= 0.55
    return scene


def _bokeh(rng: Random, height: int, width: int) -> Colour:
    """A room far out of focus: soft colours with discs of light."""
    tones = [_rgb(*(rng.uniform(70, 205) + rng.uniform(-26, 26, 3))) for _ in range(3)]
    wall = mix(tones[0], tones[1], smoothstep(field(rng, height, width, 3), -1.2, 1.2))
    wall = mix(wall, tones[2], smoothstep(field(rng, height, width, 4), 0, 1.6))
    small = max(2, height // 4), max(2, width // 4)  # out of focus: a quarter of the size is enough
    lights = np.zeros(small, dtype=np.float32)
    for _ in range(int(rng.integers(4, 14))):
        radius = small[0] * rng.uniform(0.05, 0.15)
        x, y = rng.uniform(0, small[1]), rng.uniform(0, small[0])
        disc = Image.new("L", (small[1], small[0]))
        ImageDraw.Draw(disc).ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
        lights = np.maximum(lights, np.asarray(disc, dtype=np.float32) * np.float32(rng.uniform(0.12, 0.45) / 255))
    glow = stretched(soften_plane(lights, 0.8), height, width)
    return mix(wall, _rgb(255, 236, 200), glow) + (grain(rng, height, width, 1.2) * 2)


def _wood(rng: Random, height: int, width: int, planks: float, across: bool) -> Colour:
    """Planks with grain along them; `planks` of them over the height."""
    rings = clouds(rng, height, width, 3.5, 6)
    fibre = grain(rng, height, width, 1.2, (1, 12)) * 9 + grain(rng, height, width, 0.0, (1, 5)) * 5
    light = rng.uniform(0.85, 1.45)
    wood = mix(
        _jitter(rng, _rgb(150, 106, 66) * light, 12),
        _jitter(rng, _rgb(96, 62, 36) * light, 10),
        smoothstep(np.sin(rings * 7), -1, 1) * 0.6,
    )
    wood += fibre
    rows = _count(height) * planks / height + np.float32(rng.random())
    wood *= (1 + rng.normal(0, 0.09, int(planks) + 3).astype(np.float32))[rows.astype(int)][:, None]
    gap = (rows % 1) < max(1.5, height / 200) * planks / height
    wood[:, gap] *= np.float32(0.45)
    return np.ascontiguousarray(wood.transpose(0, 2, 1)) if across else wood


def _table(rng: Random, height: int, width: int, line: int) -> Colour:
    scene = np.empty((3, height, width), dtype=np.float32)
    scene[:, :line] = _bokeh(rng, line, width)
    rows = height - line
    scene[:, line:] = _wood(rng, rows, width, rng.uniform(2, 5), across=False) * (0.75 + 0.4 * _down(rows, width))
    return scene


def _room(rng: Random, height: int, width: int, line: int) -> Colour:
    scene = np.empty((3, height, width), dtype=np.float32)
    wall = _rgb(*rng.uniform(110, 225, 3)) * np.ones((line, width), np.float32)
    if rng.random() < 0.5:
        stripes = np.sin(_count(width) * (2 * np.pi / (width * rng.uniform(0.03, 0.09)))) > 0
        wall = wall * (1 - 0.10 * stripes[None, :].astype(np.float32))
    wall = wall + (grain(rng, line, width, 1.2) * 5)
    patch = smoothstep(field(rng, line, width, rng.uniform(1.5, 4)), -1.2, 1.4)  # light from windows
    scene[:, :line] = wall * (0.72 + 0.42 * patch)
    rows = height - line
    floor = _wood(rng, rows, width, rng.uniform(5, 9), across=False)
    scene[:, line:] = floor * (0.8 + 0.35 * smoothstep(field(rng, rows, width, 3, 2), -1, 1.5))
    skirting = max(3, height // 45)
    scene[:, max(0, line - skirting) : line] = _rgb(226, 222, 214)
    return scene


def _cloth(rng: Random, height: int, width: int, line: int) -> Colour:
    base = _rgb(*(rng.uniform(80, 200) + rng.uniform(-38, 38, 3)))  # muted: things stand out
    folds = clouds(rng, height, width, rng.uniform(2.2, 4.5), rng.choice((0.5, 1.0, 2.0)))
    rows, columns = _count(height)[:, None], _count(width)[None, :]
    weave = np.sin(rows * rng.uniform(1.2, 2.2)) + np.sin(columns * rng.uniform(1.2, 2.2))
    cloth = base * (1 + 0.2 * folds) + (weave * 4 + grain(rng, height, width) * 7)
    if rng.random() < 0.35:  # a woven check
        pitch = min(height, width) * rng.uniform(0.12, 0.3)
        bands = ((rows % pitch) < pitch / 2).astype(np.float32) + ((columns % pitch) < pitch / 2).astype(np.float32)
        cloth = cloth * (1.06 - 0.1 * bands)
    return cloth


def _sand(rng: Random, height: int, width: int, line: int) -> Colour:
    rows, columns = _count(height)[:, None], _count(width)[None, :]
    angle = rng.uniform(0, np.pi)
    pace = 2 * np.pi / (min(height, width) * rng.uniform(0.05, 0.14))
    down, across = float(np.cos(angle) * pace), float(np.sin(angle) * pace)
    warp = clouds(rng, height, width, 3)
    ripples = np.sin(rows * down + columns * across + warp * 2.2)
    tone = 1 + 0.09 * ripples * smoothstep(warp, -1.5, 1) + 0.15 * clouds(rng, height, width, 2.4)
    return _jitter(rng, _rgb(205, 178, 134), 16) * tone + (grain(rng, height, width) * 13)


def _marble(rng: Random, height: int, width: int, line: int) -> Colour:
    base = _jitter(rng, _rgb(222, 220, 216) if rng.random() < 0.7 else _rgb(150, 168, 160), 8)
    veins = 1 - np.abs(np.tanh(clouds(rng, height, width, 3, 1.5, octaves=4) * 2.4))
    fine = 1 - np.abs(np.tanh(clouds(rng, height, width, 6) * 5))
    tone = 1 - 0.34 * veins**2 - 0.16 * fine**3 + 0.1 * clouds(rng, height, width, 2.3)
    return base * tone + (grain(rng, height, width) * 5)


def _water(rng: Random, height: int, width: int, line: int) -> Colour:
    web = (1 - np.abs(np.tanh(clouds(rng, height, width, 5, 1.4) * 2.2))) ** 3  # light refracted by ripples
    depth = smoothstep(clouds(rng, height, width, 2.4), -1.5, 1.5)
    water = mix(_jitter(rng, _rgb(64, 160, 178), 16), _jitter(rng, _rgb(24, 92, 140), 14), depth)
    return water + (web * 70 + grain(rng, height, width, 1.2, (1, 2)) * 8)


def _planks(rng: Random, height: int, width: int, line: int) -> Colour:
    across = rng.random() < 0.5
    size = (width, height) if across else (height, width)
    wood = _wood(rng, *size, rng.uniform(3, 7), across)
    paint = _rgb(*rng.uniform(0.8, 1.15, 3))
    return wood * paint * (1 + 0.18 * clouds(rng, height, width, 2.5))


def _lawn(rng: Random, height: int, width: int, line: int) -> Colour:
    shade = clouds(rng, height, width, 2.8)
    blades = grain(rng, height, width, 1.2, (1.6, 1)) * 17 + grain(rng, height, width, 0.0, (3, 1)) * 13
    lawn = mix(_jitter(rng, _rgb(128, 158, 70), 14), _jitter(rng, _rgb(54, 94, 36), 12), smoothstep(shade, -1.5, 1.5))
    return lawn + blades * _rgb(1.0, 1.0, 0.65)


def soften_plane(plane: Plane, radius: float) -> Plane:
    """A plane of 0 to 1, blurred by a Gaussian of `radius` px."""
    eight = Image.fromarray((plane * 255).astype(np.uint8))
    return np.asarray(soften(eight, radius), dtype=np.float32) / 255


_SETTINGS: Final[dict[str, Callable[[Random, int, int, int], Colour]]] = {
    "meadow": _meadow,
    "beach": _beach,
    "snow": _snow,
    "street": _street,
    "table": _table,
    "room": _room,
    "cloth": _cloth,
    "sand": _sand,
    "marble": _marble,
    "water": _water,
    "planks": _planks,
    "lawn": _lawn,
}
