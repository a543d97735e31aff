"""Batches: pictures with a true and a few false captions each, and what the truth says of every cell of the grid.

Batch `step` is a function of (seed, step) and the drawn pictures: no state, nothing to restore.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from sluice.models.hashed_words import HashedWords, Tokens, tokens
from sluice.synth.scene import COLOURS, SHAPES, SIZES, TEXTURES, Scene
from sluice.train.drawn import FILL, Drawn, Pixels
from sluice.train.pairs import mirrored, told
from sluice.train.truth import facts, places, rows

MEAN: Final = 0.5
STD: Final = 0.25
_SHIFT: Final = 4  # px a picture may be moved in its square
_NAMES: Final = (SHAPES, COLOURS, TEXTURES, SIZES)
_LOOKS: Final = ("shape", "colour", "texture", "size")
NOTHING: Final = -1  # in `Batch.cells`: no thing has its centre there


@dataclass(frozen=True)
class Batch:
    """What one step learns from; n pictures, f false captions each."""

    pixels: npt.NDArray[np.float32]  # (n, 3, side, side), normalised
    captions: Tokens  # (n * (1 + f), length): a picture's true caption, then its false ones; or none
    centres: npt.NDArray[np.float32]  # (n, cells): 1 where a thing has its centre
    looks: npt.NDArray[np.int64]  # (n, cells, 4): shape, colour, texture, size of the thing there, or NOTHING
    seen: npt.NDArray[np.float32]  # (n, questions): what is true of the pictures
    said: npt.NDArray[np.float32]  # (n * (1 + f), questions): what the captions say


def batch(
    drawn: Drawn, words: HashedWords, grid: int, size: int, false: int, seed: int, step: int, *, captions: bool = True
) -> Batch:
    """The `step`-th batch of `size` pictures: each epoch in another order, each time with other captions."""
    each = len(drawn) // size
    epoch, place = divmod(step, each)
    order = np.random.default_rng((seed, 1, epoch)).permutation(len(drawn))[place * size : (place + 1) * size]
    rng = np.random.default_rng((seed, 2, step))
    squares: list[Pixels] = []
    scenes: list[Scene] = []
    shifts: list[tuple[int, int]] = []
    for index in order:
        scene, square = drawn.scenes[index], drawn.pixels[index]
        if scene.sign is None and scene.chart is None and rng.random() < 0.5:
            scene, square = mirrored(scene), square[:, ::-1]
        down, across = (int(number) for number in rng.integers(-_SHIFT, _SHIFT + 1, 2))
        squares.append(_moved(square, down, across))
        scenes.append(scene)
        shifts.append((down, across))
    pairs = [told(scene, rng, false) for scene in scenes] if captions else []
    said = [facts(one) for scene, pair in zip(scenes, pairs, strict=False) for one in (scene, *pair.imagined)]
    cells = [_cells(scene, shift, grid, len(squares[0])) for scene, shift in zip(scenes, shifts, strict=True)]
    return Batch(
        pixels=_lit(normalised(np.stack(squares)), rng),
        captions=tokens([caption for pair in pairs for caption in (pair.true, *pair.false)], words),
        centres=np.stack([centres for centres, _ in cells]),
        looks=np.stack([looks for _, looks in cells]),
        seen=rows([facts(scene) | places(scene) for scene in scenes]),
        said=rows(said),
    )


def normalised(squares: Pixels) -> npt.NDArray[np.float32]:
    """(n, side, side, 3) of 0 to 255, to (n, 3, side, side) as the image tower takes it."""
    planes = np.ascontiguousarray(squares.transpose(0, 3, 1, 2), dtype=np.float32)
    planes *= np.float32(1 / 255 / STD)
    planes -= np.float32(MEAN / STD)
    return planes


def _lit(planes: npt.NDArray[np.float32], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """A little brighter or darker, a little tinted: not so much that a colour would have another name."""
    gain = rng.uniform(0.88, 1.12, (len(planes), 1, 1, 1)) * rng.uniform(0.97, 1.03, (len(planes), 3, 1, 1))
    planes += np.float32(MEAN / STD)
    planes *= gain.astype(np.float32)
    planes -= np.float32(MEAN / STD)
    return planes


def _moved(square: Pixels, down: int, across: int) -> Pixels:
    moved = np.empty_like(square)
    moved[:] = FILL
    side = len(square)
    moved[max(down, 0) : side + min(down, 0), max(across, 0) : side + min(across, 0)] = square[
        max(-down, 0) : side + min(-down, 0), max(-across, 0) : side + min(-across, 0)
    ]
    return moved


def _cells(
    scene: Scene, shift: Sequence[int], grid: int, side: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Where things have their centres, and what lies in each cell that a thing covers well."""
    centres = np.zeros(grid * grid, dtype=np.float32)
    looks = np.full((grid, grid, len(_LOOKS)), NOTHING, dtype=np.int64)
    wide, high = min(1.0, scene.aspect), min(1.0, 1 / scene.aspect)  # the picture's share of the square
    middles = np.arange(grid) + 0.5
    for thing in sorted(scene.things, key=lambda thing: thing.y):  # the lower is the nearer, and hides the others
        y = ((thing.y - 0.5) * high + 0.5 + shift[0] / side) * grid
        x = ((thing.x - 0.5) * wide + 0.5 + shift[1] / side) * grid
        row, column = (min(max(int(place), 0), grid - 1) for place in (y, x))
        look = [names.index(getattr(thing, name)) for names, name in zip(_NAMES, _LOOKS, strict=True)]
        reach = 0.33 * thing.side * min(wide, high) * grid
        looks[np.hypot(middles[:, None] - y, middles[None, :] - x) < reach] = look
        looks[row, column] = look
        centres[row * grid + column] = 1
    return centres, looks.reshape(grid * grid, -1)
