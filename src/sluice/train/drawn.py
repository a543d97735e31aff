"""Pictures to learn from: scenes of `synth`, drawn in processes, each a small square with the whole picture in it.

Picture i of a seed is a function of (seed, i) alone, so neither the number of processes nor of pictures changes it.
"""

from __future__ import annotations

import io
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from sluice.synth.imagine import imagine
from sluice.synth.paint import render
from sluice.synth.scene import Scene

Pixels: TypeAlias = npt.NDArray[np.uint8]

FILL: Final = (128, 128, 128)  # around a picture that is not square
_ASPECTS: Final = (4 / 3, 3 / 4, 3 / 2, 2 / 3, 1.0, 16 / 9, 9 / 16, 5 / 4, 2.6)  # as worlds have them
_ASPECT_SHARES: Final = (0.27, 0.14, 0.18, 0.08, 0.14, 0.08, 0.03, 0.06, 0.02)
_LONG: Final = (160, 192, 256)  # px of the longer side when drawn: the larger, the slower
_PAIRS: Final = 0.5  # of the scenes have exactly two groups of things: what a swap is told by
_CHUNK: Final = 256
_TRAINING: Final = 7_001  # set apart from the generators of `generate`, whatever the seed


@dataclass(frozen=True)
class Drawn:
    """Pictures (n, side, side, 3) and their scenes."""

    pixels: Pixels
    scenes: tuple[Scene, ...]

    def __len__(self) -> int:
        return len(self.scenes)


def draw(count: int, seed: int, side: int, *, workers: int = 0, told: Callable[[int], None] | None = None) -> Drawn:
    """The first `count` pictures of `seed`, drawn by `workers` processes (0: one a core); `told` hears how many."""
    pixels = np.empty((count, side, side, 3), dtype=np.uint8)
    scenes: list[Scene] = []
    for part in _parts(count, seed, side, workers or os.cpu_count() or 1):
        pixels[len(scenes) : len(scenes) + len(part)] = part.pixels
        scenes.extend(part.scenes)
        if told is not None:
            told(len(scenes))
    return Drawn(pixels, tuple(scenes))


def fitted(image: Image.Image, side: int) -> Pixels:
    """The whole picture in a square of `side` px, its longer side as long, the rest filled.

    >>> fitted(Image.new("RGB", (400, 200)), 96)[0, 0].tolist()
    [128, 128, 128]
    """
    longer = max(image.size)
    size = max(1, round(image.width * side / longer)), max(1, round(image.height * side / longer))
    square = Image.new("RGB", (side, side), FILL)
    square.paste(image.resize(size, Image.Resampling.BILINEAR), ((side - size[0]) // 2, (side - size[1]) // 2))
    return np.asarray(square)


def _parts(count: int, seed: int, side: int, workers: int) -> Iterator[Drawn]:
    starts = range(0, count, _CHUNK)
    asked = [(seed, start, min(start + _CHUNK, count), side) for start in starts]
    if workers == 1 or len(asked) == 1:
        yield from map(_part, asked)
        return
    # a fresh interpreter each: forking a process that has threads (torch's) may hang
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(_part, asked)


def _part(asked: tuple[int, int, int, int]) -> Drawn:
    seed, start, stop, side = asked
    both = [_one(seed, index, side) for index in range(start, stop)]
    return Drawn(np.stack([pixels for pixels, _ in both]), tuple(scene for _, scene in both))


def _one(seed: int, index: int, side: int) -> tuple[Pixels, Scene]:
    rng = np.random.default_rng((_TRAINING, seed, index))
    aspect = float(rng.choice(_ASPECTS, p=_ASPECT_SHARES))
    long = int(rng.choice(_LONG))
    size = (long, round(long / aspect)) if aspect >= 1 else (round(long * aspect), long)
    scene = imagine(rng, size[0] / size[1], 2 if rng.random() < _PAIRS else None)
    image = render(scene, size, rng).image
    if rng.random() < 0.5:  # as files are
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=int(rng.integers(60, 96)))
        image = Image.open(buffer)
    return fitted(image, side), scene
