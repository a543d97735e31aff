"""Gray and smaller gray in C against Pillow, level for level."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sluice.media import gray, thumbnail
from sluice.media.decode import shrink, to_gray

Side = st.integers(1, 600)
Seed = st.integers(0, 2**32 - 1)
LONG = [(1, 65_500), (65_500, 1), (2, 65_500), (65_500, 3), (17, 16_400)]


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@given(Side, Side, st.sampled_from([3, 4]), Seed)
def test_gray_is_pillows_luma(height: int, width: int, channels: int, seed: int) -> None:
    pixels = noise(height, width, channels, seed=seed)
    made = gray.gray_of(pixels)
    assert made is not None
    assert (made == np.asarray(Image.fromarray(pixels[:, :, :3]).convert("L"))).all()


def test_every_colour_of_a_coarse_cube_is_as_gray_as_pillow_makes_it() -> None:
    levels = np.unique(np.r_[np.arange(0, 256, 3), 255]).astype(np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
    assert (to_gray(cube) == np.asarray(Image.fromarray(cube).convert("L"))).all()


@pytest.mark.parametrize("shape", LONG)
def test_slivers_are_as_gray_as_pillow_makes_them(shape: tuple[int, int]) -> None:
    pixels = noise(*shape, 4)
    assert (to_gray(pixels) == np.asarray(Image.fromarray(pixels[:, :, :3]).convert("L"))).all()


def test_pixels_that_lie_apart_are_left_to_pillow() -> None:
    pixels = noise(60, 80, 4)[::2, 10:50, :3]
    assert gray.gray_of(pixels) is None
    assert (to_gray(pixels) == np.asarray(Image.fromarray(pixels).convert("L"))).all()


@given(Side, Side, Seed, st.data())
def test_averages_are_pillows_of_columns_and_then_of_rows(height: int, width: int, seed: int, data) -> None:
    wide, high = (data.draw(st.integers(side // 2 + 1, side)) for side in (width, height))
    pixels = noise(height, width, seed=seed)
    narrow = Image.fromarray(pixels).resize((wide, height), Image.Resampling.BOX)
    theirs = np.asarray(narrow.resize((wide, high), Image.Resampling.BOX))
    assert gray._box() is not None
    assert (gray.averaged(pixels, (wide, high)) == theirs).all()


def test_each_pair_of_sizes_takes_the_columns_that_pillow_takes() -> None:
    row = noise(1, 520)
    for size in range(1, 520, 7):
        image = Image.fromarray(row[:, :size])
        for wanted in range(size // 2 + 1, size + 1):
            made = gray.averaged(np.ascontiguousarray(row[:, :size]), (wanted, 1))
            assert (made == np.asarray(image.resize((wanted, 1), Image.Resampling.BOX))).all(), (size, wanted)


@given(st.integers(1, 1500), st.integers(1, 1500), st.sampled_from([64, 256, 511]))
def test_whole_numbers_of_pixels_are_averaged_first_as_pillow_does(height: int, width: int, side: int) -> None:
    pixels = noise(height, width)
    longer = max(height, width)
    size = max(1, round(width * side / longer)), max(1, round(height * side / longer))
    theirs = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX, reducing_gap=1.0))
    apart = np.abs(gray.averaged(pixels, size).astype(int) - theirs)
    assert apart.max() <= 1  # where Pillow takes the rows first
    assert longer <= side or height > 1.9 * width or apart.max() == 0


@given(st.integers(1, 700), st.integers(1, 700), Seed, st.sampled_from([1, 64, 256, 511]))
def test_shrinking_is_the_same_without_kernels(height: int, width: int, seed: int, side: int) -> None:
    pixels = noise(height, width, seed=seed)
    with pytest.MonkeyPatch.context() as patch:
        ours = shrink(pixels, side)
        patch.setattr(gray, "_box", lambda: None)
        assert (shrink(pixels, side) == ours).all()


@given(Side, Side, Seed, st.booleans())
def test_thumbnails_are_the_same_by_matrix_products(height: int, width: int, seed: int, stark: bool) -> None:
    pixels = noise(height, width, seed=seed)
    if stark:
        pixels = pixels // 128 * np.uint8(255)
    sizes = [(32, 32), (9, 8), (1, 1), (5, 40)]
    for ours, theirs in zip(thumbnail.thumbnails(pixels, sizes), thumbnail._by_products(pixels, sizes), strict=True):
        assert ours.dtype == theirs.dtype
        assert (ours == theirs).all()


@pytest.mark.parametrize("shape", LONG)
def test_thumbnails_of_slivers_are_the_same_by_matrix_products(shape: tuple[int, int]) -> None:
    pixels = noise(*shape)
    sizes = [(32, 32), (9, 8)]
    assert thumbnail._kernel() is not None
    for ours, theirs in zip(thumbnail.thumbnails(pixels, sizes), thumbnail._by_products(pixels, sizes), strict=True):
        assert (ours == theirs).all()
