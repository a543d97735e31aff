"""Resizing by the kernel against Pillow, level for level."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sluice.media import resize as resizing
from sluice.media.resize import resize


@st.composite
def cases(draw):
    """Pixels of noise or of black and white, some shape, some window, some size."""
    height, width = draw(st.tuples(st.integers(1, 90), st.integers(1, 90)))
    channels = draw(st.sampled_from([3, 4]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    pixels = rng.integers(0, 256, (height, width, channels), dtype=np.uint8)
    if draw(st.booleans()):
        pixels = pixels // 128 * np.uint8(255)
    window = None
    if draw(st.booleans()):
        across, down = (np.sort(rng.random(2) * length) for length in (width, height))
        window = (across[0], down[0], min(across[1] + 0.25, width), min(down[1] + 0.25, height))
    size = draw(st.tuples(st.integers(1, 70), st.integers(1, 70)))
    return pixels, size, window, draw(st.sampled_from(["bilinear", "bicubic", "box"]))


@given(cases())
def test_the_kernel_gives_the_levels_that_pillow_gives_a_direction_at_a_time(case):
    pixels, size, window, filter = case
    assert resizing._kernel() is not None
    height, width = pixels.shape[:2]
    shown = np.array(window or (0, 0, width, height), np.float32)
    assert np.array_equal(resize(*case), resizing._by_pillow(pixels, size, shown, filter))


@pytest.mark.parametrize("side", [1, 16, 224])
@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (300, 400), (480, 640)])
def test_it_is_what_pillow_makes_of_the_whole_image(shape, side):
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    theirs = np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.BILINEAR))
    assert np.array_equal(resize(pixels, (side, side)), theirs)


def test_what_lies_apart_in_memory_is_read_as_it_stands():
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 4), dtype=np.uint8)
    apart = pixels[::2, 10:50, :3]
    assert np.array_equal(resize(apart, (17, 9)), resize(np.ascontiguousarray(apart), (17, 9)))


def test_without_the_kernel_pillow_does_it(monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    ours = resize(pixels, (31, 12), (3.5, 0, 70, 59.25), "bicubic")
    monkeypatch.setattr(resizing, "_kernel", lambda: None)
    assert np.array_equal(resize(pixels, (31, 12), (3.5, 0, 70, 59.25), "bicubic"), ours)
