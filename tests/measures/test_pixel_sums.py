"""What is added up over pixels: the kernel against NumPy, number for number."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.measures import pixel_sums as sums

Side = st.integers(1, 300)
Seed = st.integers(0, 2**32 - 1)
LONG = [(1, 65_500), (65_500, 1), (3, 65_500), (65_500, 3), (2, 2)]


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture
def by_numpy(monkeypatch: pytest.MonkeyPatch):
    def twin(images: list[np.ndarray]) -> sums.GraySums:
        with monkeypatch.context() as patch:
            patch.setattr(sums, "_gray_kernel", lambda: None)
            return sums.gray_sums(images)

    return twin


def same(one: sums.GraySums, other: sums.GraySums) -> bool:
    return bool((one.counts == other.counts).all()) and (one.sharpness, one.border) == (other.sharpness, other.border)


@st.composite
def framed(draw: st.DrawFn) -> np.ndarray:
    """Noise, stark or soft, behind bars that are uniform to within so many levels."""
    height, width, seed = draw(Side), draw(Side), draw(Seed)
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, draw(st.sampled_from([1, 9, 17, 18, 256])), (height, width), dtype=np.uint8)
    around = rng.integers(100, 100 + draw(st.sampled_from([1, 16, 17, 18])), (height, width), dtype=np.uint8)
    top, bottom, left, right = (int(rng.integers(0, side // 3 + 1)) for side in (height, height, width, width))
    around[top : height - bottom, left : width - right] = pixels[top : height - bottom, left : width - right]
    return around


@given(st.lists(framed(), max_size=3))
def test_the_kernel_adds_up_what_numpy_adds_up(images: list[np.ndarray]) -> None:
    ours = sums.gray_sums(images)
    assert sums._gray_kernel() is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sums, "_gray_kernel", lambda: None)
        assert same(ours, sums.gray_sums(images))


@pytest.mark.parametrize("shape", LONG)
@pytest.mark.parametrize("kind", ["noise", "stripes", "flat"])
def test_slivers_add_up_the_same(shape: tuple[int, int], kind: str, by_numpy) -> None:
    pixels = noise(*shape)
    if kind == "stripes":  # the largest Laplacians there are
        pixels = (np.indices(shape).sum(axis=0) % 2 * 255).astype(np.uint8)
    elif kind == "flat":
        pixels[:] = 7
    assert same(sums.gray_sums([pixels]), by_numpy([pixels]))


def test_what_lies_apart_is_read_as_it_stands(by_numpy) -> None:
    apart = noise(90, 120)[::3, 5:80:2]
    assert same(sums.gray_sums([apart]), sums.gray_sums([np.ascontiguousarray(apart)]))


@given(Side, Side, st.sampled_from([3, 4]), st.integers(1, 9), Seed)
def test_colours_add_up_the_same(height: int, width: int, channels: int, step: int, seed: int) -> None:
    pixels = noise(height, width, channels, seed=seed)[::step, ::step, :3]
    assert sums._colour_kernel() is not None
    assert (sums.colour_products([pixels])[0] == sums._products(pixels)).all()


@pytest.mark.parametrize("shape", [(1, 65_500), (65_500, 1), (300, 65_500)])
def test_white_adds_up_without_overflow(shape: tuple[int, int]) -> None:
    white = np.full((*shape, 3), 255, np.uint8)
    assert (sums.colour_products([white])[0] == sums._products(white)).all()


def test_channels_that_lie_apart_are_read_as_they_stand() -> None:
    planes = noise(3, 40, 50).transpose(1, 2, 0)
    assert (sums.colour_products([planes])[0] == sums._products(planes)).all()
