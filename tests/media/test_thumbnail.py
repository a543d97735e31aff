"""Thumbnails against Pillow's own, of which they are a faster way."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sluice.media.thumbnail import thumbnails

SIZES = [(32, 32), (9, 8), (1, 1), (40, 3)]
KINDS = ("noise", "black and white", "ramp", "dots")


def drawn(kind: str, height: int, width: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if kind == "ramp":
        return np.linspace(0, 255, height * width).reshape(height, width).astype(np.uint8)
    if kind == "dots":
        return ((rng.random((height, width)) < 0.02) * 255).astype(np.uint8)
    levels = 2 if kind == "black and white" else 256
    return (rng.integers(0, levels, (height, width)) * (255 // (levels - 1))).astype(np.uint8)


def pillows(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Along the rows first; asked for both at once, Pillow chooses the order by its cost."""
    lanczos = Image.Resampling.LANCZOS
    return np.asarray(Image.fromarray(pixels).resize((size[0], len(pixels)), lanczos).resize(size, lanczos)).astype(int)


@given(st.sampled_from(KINDS), st.integers(1, 520), st.integers(1, 520), st.integers(0, 2**32 - 1))
def test_a_thumbnail_is_pillows_but_for_rounding(kind: str, height: int, width: int, seed: int) -> None:
    pixels = drawn(kind, height, width, seed)
    for size, made in zip(SIZES, thumbnails(pixels, SIZES), strict=True):
        apart = np.abs(made - pillows(pixels, size))
        assert (made == np.round(made)).all()
        assert apart.max() <= 2
        assert apart.mean() <= 0.15 or min(pixels.shape) < 16 or apart.size < 9  # there one rounding is much


@given(st.integers(1, 600), st.integers(1, 600), st.integers(0, 255))
def test_a_flat_image_has_flat_thumbnails(height: int, width: int, level: int) -> None:
    for made in thumbnails(np.full((height, width), level, np.uint8), SIZES):
        assert (made == level).all()


@given(st.integers(1, 400), st.integers(1, 400), st.integers(0, 2**32 - 1))
def test_company_changes_no_thumbnail(height: int, width: int, seed: int) -> None:
    pixels = drawn("noise", height, width, seed)
    together = thumbnails(pixels, SIZES)
    for size, made in zip(SIZES, together, strict=True):
        assert (thumbnails(pixels, [size])[0] == made).all()


def test_sums_are_exact_in_single_precision() -> None:
    """The worst image for a filter: white where it adds, black where it subtracts; against whole numbers."""
    from sluice.media.thumbnail import _filters

    for side in (1, 2, 31, 33, 300, 511, 5000):
        filters = np.vstack([_filters(side, 32).weights, _filters(side, 9).weights]).astype(np.int64)
        assert (255 * np.abs(filters).sum(axis=1) < 2**24).all()
        assert (filters.sum(axis=1) == 2**15).all()
