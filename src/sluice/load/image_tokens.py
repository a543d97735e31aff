"""How many tokens an image costs under a model's own rule, from its size alone: no image is opened.

| rule | models | tokens |
| --- | --- | --- |
| `Fixed` | LLaVA-1.5 | 576 for any image |
| `AnyRes` | LLaVA-NeXT (1.6) | a thumbnail of the whole, and tiles of 336 px without their padding |
| `Native` | Qwen2-VL, Qwen2.5-VL | one for each 28 x 28 px of the image as it is resized |
| `Given` | ARR-COC and the like | what a column gives each sample, 64 to 400 |

All are pure functions over columns, exact to the token: what the published code of these models says for the same
size. A size of 0 stands for no image, which costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from sluice.errors import RecipeError

Numbers: TypeAlias = npt.NDArray[np.int64]
Flags: TypeAlias = npt.NDArray[np.bool_]

# As LLaVA-NeXT's published configuration lists them, here as (width, height): the order decides between equals.
NEXT_GRIDS: Final = ((672, 336), (336, 672), (672, 672), (336, 1008), (1008, 336))


class ImageRule(Protocol):
    """A rule; equal rules are equal values, so their `repr` can name an order that depends on them."""

    def count(self, widths: Numbers, heights: Numbers, given: Numbers | None = None) -> Numbers:
        """Tokens of each image of so many px; `given` is a column of numbers, which `Given` reads."""
        ...

    def refuses(self, widths: Numbers, heights: Numbers) -> Flags:
        """Which images the model's own code would not take."""
        ...


@dataclass(frozen=True)
class Fixed:
    """As many for every image: 576 is 336 px cut in patches of 14.

    >>> Fixed().count(np.array([640, 0]), np.array([480, 0])).tolist()
    [576, 0]
    """

    tokens: int = 576

    def __post_init__(self) -> None:
        _check(self.tokens >= 1, "tokens", self.tokens, "1 or more")

    def count(self, widths: Numbers, heights: Numbers, given: Numbers | None = None) -> Numbers:
        """Tokens of each image."""
        return np.where(_present(widths, heights), self.tokens, 0).astype(np.int64)

    def refuses(self, widths: Numbers, heights: Numbers) -> Flags:
        """None."""
        return np.zeros(len(widths), np.bool_)


@dataclass(frozen=True)
class AnyRes:
    """A thumbnail of `tile` px and a grid of tiles: of `grids`, the one in which the image keeps most of its pixels.

    Of grids that keep as many, the one with the least padding. Tokens that see padding alone are taken out, and each
    row of the tiles ends with a token for the line's end (Liu and others, LLaVA-NeXT, 2024).

    >>> AnyRes().count(np.array([640, 336]), np.array([480, 336])).tolist()
    [2340, 1176]
    """

    tile: int = 336  # px
    patch: int = 14  # px
    grids: tuple[tuple[int, int], ...] = NEXT_GRIDS  # width and height, px

    def __post_init__(self) -> None:
        _check(self.patch >= 1, "patch", self.patch, "1 px or more")
        _check(self.tile >= self.patch, "tile", self.tile, f"a patch ({self.patch} px) or more")
        whole = all(side >= self.tile and side % self.tile == 0 for grid in self.grids for side in grid)
        _check(bool(self.grids) and whole, "grids", self.grids, f"sizes of whole tiles of {self.tile} px")

    def best_grids(self, widths: Numbers, heights: Numbers) -> Numbers:
        """The place in `grids` of the grid for each image."""
        present = _present(widths, heights)
        width, height = np.where(present, widths, 1), np.where(present, heights, 1)
        best = np.zeros(len(width), np.int64)
        most = np.zeros(len(width), np.int64)
        least = np.full(len(width), np.iinfo(np.int64).max)
        for place, (grid_width, grid_height) in enumerate(self.grids):
            scale = np.minimum(grid_width / width, grid_height / height)
            kept = np.floor(width * scale).astype(np.int64) * np.floor(height * scale).astype(np.int64)
            kept = np.minimum(kept, width * height)
            wasted = grid_width * grid_height - kept
            better = (kept > most) | ((kept == most) & (wasted < least))
            best, most, least = (
                np.where(better, place, best),
                np.where(better, kept, most),
                np.where(better, wasted, least),
            )
        return best

    def count(self, widths: Numbers, heights: Numbers, given: Numbers | None = None) -> Numbers:
        """Tokens of each image."""
        present = _present(widths, heights)
        width, height = np.where(present, widths, 1), np.where(present, heights, 1)
        side = self.tile // self.patch
        grid = np.array(self.grids, np.int64)[self.best_grids(widths, heights)] // self.tile * side
        across, down = grid[:, 0], grid[:, 1]
        wider = width * down > across * height  # than the grid: padded above and below
        padded = np.where(wider, down - height * across // width, across - width * down // height)
        bare = padded // 2 * 2  # as much on either side
        down, across = np.where(wider, down - bare, down), np.where(wider, across, across - bare)
        return np.where(present, side * side + down * across + down, 0)

    def refuses(self, widths: Numbers, heights: Numbers) -> Flags:
        """None."""
        return np.zeros(len(widths), np.bool_)


@dataclass(frozen=True)
class Native:
    """The image at its own size, its sides rounded to whole cells of `patch` x `merge` px, a token a cell.

    An image beyond `max_pixels`, or below `min_pixels`, is scaled to fit (Wang and others, Qwen2-VL, 2024;
    `smart_resize`). The model's code refuses images more than `max_aspect` times as long as they are wide.

    >>> Native().count(np.array([640, 1920, 1]), np.array([480, 1080, 1])).tolist()
    [391, 1222, 4]
    """

    patch: int = 14  # px
    merge: int = 2  # patches on a side that become one token
    min_pixels: int = 56 * 56
    max_pixels: int = 28 * 28 * 1280
    max_aspect: float = 200.0

    def __post_init__(self) -> None:
        _check(self.patch >= 1, "patch", self.patch, "1 px or more")
        _check(self.merge >= 1, "merge", self.merge, "1 patch or more")
        _check(self.min_pixels >= 1, "min_pixels", self.min_pixels, "1 or more")
        least = max(self.min_pixels, self.cell**2)
        _check(self.max_pixels >= least, "max_pixels", self.max_pixels, f"{least} or more (a cell, and min_pixels)")
        _check(self.max_aspect >= 1, "max_aspect", self.max_aspect, "1 or more")

    @property
    def cell(self) -> int:
        """Side of what becomes one token, px."""
        return self.patch * self.merge

    def resized(self, widths: Numbers, heights: Numbers) -> tuple[Numbers, Numbers]:
        """Width and height of each image, px, as the model sees it."""
        present = _present(widths, heights)
        width, height = (np.where(present, side, 1).astype(np.float64) for side in (widths, heights))
        across, down = np.rint(width / self.cell), np.rint(height / self.cell)  # half to even, as Python's round()
        pixels = across * down * self.cell**2
        shrunk = np.sqrt(width * height / self.max_pixels)
        grown = np.sqrt(self.min_pixels / (width * height))
        cases = [pixels > self.max_pixels, pixels < self.min_pixels]
        across, down = (
            np.select(
                cases,
                [np.maximum(1, np.floor(side / shrunk / self.cell)), np.ceil(side * grown / self.cell)],
                cells,
            )
            for side, cells in ((width, across), (height, down))
        )
        cell = np.where(present, self.cell, 0)
        return across.astype(np.int64) * cell, down.astype(np.int64) * cell

    def count(self, widths: Numbers, heights: Numbers, given: Numbers | None = None) -> Numbers:
        """Tokens of each image; for one that the model refuses, what the formula would say."""
        width, height = self.resized(widths, heights)
        return (width // self.cell) * (height // self.cell)

    def refuses(self, widths: Numbers, heights: Numbers) -> Flags:
        """Those longer than `max_aspect` times their other side."""
        present = _present(widths, heights)
        longer, shorter = np.maximum(widths, heights), np.minimum(widths, heights)
        return present & (longer > self.max_aspect * np.where(present, shorter, 1))


@dataclass(frozen=True)
class Given:
    """A budget of its own for each image, as a column gives it, held between `low` and `high` tokens.

    An image without a number (below 0) gets `high`: never fewer tokens than it may need.

    >>> Given().count(np.array([9, 9, 9]), np.array([9, 9, 9]), np.array([20, 150, -1])).tolist()
    [64, 150, 400]
    """

    low: int = 64
    high: int = 400

    def __post_init__(self) -> None:
        _check(self.low >= 0, "low", self.low, "0 or more")
        _check(self.high >= self.low, "high", self.high, f"low ({self.low}) or more")

    def count(self, widths: Numbers, heights: Numbers, given: Numbers | None = None) -> Numbers:
        """Tokens of each image."""
        if given is None:
            raise RecipeError("image tokens by `given` need a column of numbers, one for each image")
        wanted = np.where(given < 0, self.high, given)
        return np.where(_present(widths, heights), np.clip(wanted, self.low, self.high), 0).astype(np.int64)

    def refuses(self, widths: Numbers, heights: Numbers) -> Flags:
        """None."""
        return np.zeros(len(widths), np.bool_)


RULES: Final = {"fixed": Fixed, "anyres": AnyRes, "native": Native, "given": Given}


def image_rule(name: str, settings: Mapping[str, Any] | None = None) -> ImageRule:
    """The rule called `name`, with `settings` in place of its defaults.

    >>> image_rule("native", {"patch": 16})
    Native(patch=16, merge=2, min_pixels=3136, max_pixels=1003520, max_aspect=200.0)
    """
    if name not in RULES:
        raise RecipeError(f"there is no rule {name!r} for image tokens (there are: {', '.join(RULES)})")
    known = [field.name for field in fields(RULES[name])]
    for setting in settings or {}:
        if setting not in known:
            raise RecipeError(f"image tokens by `{name}` have no setting {setting!r} (there are: {', '.join(known)})")
    values = dict(settings or {})
    if "grids" in values:
        values["grids"] = tuple((int(width), int(height)) for width, height in values["grids"])
    return RULES[name](**values)


def _present(widths: Numbers, heights: Numbers) -> Flags:
    if len(widths) != len(heights):
        raise ValueError(f"{len(widths)} widths, {len(heights)} heights")
    if (widths < 0).any() or (heights < 0).any():
        raise ValueError("a size below 0 px")
    return (widths > 0) & (heights > 0)


def _check(holds: bool, name: str, found: object, wanted: str) -> None:
    if not holds:
        raise RecipeError(f"image tokens: `{name}` is {wanted}, not {found}")
