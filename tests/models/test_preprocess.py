"""The geometry by itself, on any size; that it is the libraries' is tested beside each adapter."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sluice.errors import SluiceError
from sluice.models.base import Preprocess
from sluice.models.preprocess import fitted, placement, tensor
from sluice.models.probe import check_preprocess

HALF = (0.5, 0.5, 0.5)
SIDES = st.integers(1, 400)


@st.composite
def preprocesses(draw: st.DrawFn) -> Preprocess:
    fit = draw(st.sampled_from(["crop", "pad", "stretch"]))
    return Preprocess(
        width=draw(st.integers(1, 80)),
        height=draw(st.integers(1, 80)),
        fit=fit,
        interpolation=draw(st.sampled_from(["nearest", "bilinear", "bicubic", "lanczos"])),
        mean=(0.1, 0.2, 0.3),
        std=HALF,
        fill=(9, 8, 7),
        order=draw(st.sampled_from(["rgb", "bgr"])),
        resize=draw(st.none() | st.integers(1, 90)) if fit == "crop" else None,
        centre=draw(st.sampled_from(["nearest", "floor"])),
    )


@given(preprocesses(), SIDES, SIDES)
def test_any_image_becomes_the_tensor_of_the_model(preprocess: Preprocess, width: int, height: int) -> None:
    out = tensor([np.full((height, width, 3), (200, 100, 0), np.uint8)], preprocess)
    assert out.shape == (1, 3, preprocess.height, preprocess.width) and out.dtype == np.float32
    colours = np.array([(200, 100, 0), (9, 8, 7)]) / 255  # the image's, and that of padding
    allowed = ((colours - preprocess.mean) / preprocess.std).astype(np.float32)
    if preprocess.order == "bgr":
        allowed = ((colours[:, ::-1] - preprocess.mean) / preprocess.std).astype(np.float32)
    gaps = np.abs(out[0].transpose(1, 2, 0)[:, :, None] - allowed).max(-1)
    assert gaps.min(-1).max() < 1e-5


@given(preprocesses(), SIDES, SIDES)
def test_what_is_shown_is_the_centre_and_keeps_its_aspect(preprocess: Preprocess, width: int, height: int) -> None:
    placed = placement(width, height, preprocess)
    for have, want, at in (
        (placed.width, preprocess.width, placed.left),
        (placed.height, preprocess.height, placed.top),
    ):
        assert abs(at + want / 2 - have / 2) <= 0.5, "off centre by more than half a pixel"
    if preprocess.fit != "stretch":
        # Some one scale gives both sides, each to less than a pixel.
        least = max((placed.width - 1) / width, (placed.height - 1) / height)
        assert least < min((placed.width + 1) / width, (placed.height + 1) / height)
    if preprocess.fit == "pad":
        assert placed.width <= preprocess.width and placed.height <= preprocess.height
    if preprocess.fit == "crop" and preprocess.resize is None:
        assert placed.width >= preprocess.width and placed.height >= preprocess.height


def test_colours_come_in_the_order_of_the_model() -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    image[..., 0] = 255
    rgb = tensor([image], Preprocess(4, 4, "stretch", "bilinear", HALF, HALF))
    bgr = tensor([image], Preprocess(4, 4, "stretch", "bilinear", HALF, HALF, order="bgr"))
    assert rgb[0, :, 0, 0].tolist() == [1, -1, -1]
    assert bgr[0, :, 0, 0].tolist() == [-1, -1, 1]


def test_no_images_are_an_empty_tensor() -> None:
    assert tensor([], Preprocess(4, 6, "stretch", "bilinear", HALF, HALF)).shape == (0, 3, 6, 4)


def test_images_that_are_views_of_others_are_read_right() -> None:
    image = np.arange(40 * 30 * 3, dtype=np.uint32).astype(np.uint8).reshape(40, 30, 3)
    view = image[::-1, 3:27:2]
    preprocess = Preprocess(12, 40, "stretch", "bilinear", HALF, HALF)
    assert np.array_equal(fitted(view, preprocess), view)


def test_an_image_of_four_bytes_a_pixel_gives_what_its_copy_gives() -> None:
    padded = np.random.default_rng(0).integers(0, 256, (61, 83, 4), dtype=np.uint8)
    preprocess = Preprocess(24, 24, "pad", "bicubic", HALF, HALF)
    for view in (padded[:, :, :3], padded[:, :, 1:], padded[1:, :, :3], padded.swapaxes(0, 1)[:, :, :3]):
        assert np.array_equal(tensor([view], preprocess), tensor([view.copy()], preprocess))


def test_a_banner_costs_the_memory_of_what_is_shown() -> None:
    code = """
import json, resource
import numpy as np
from sluice.models.base import Preprocess
from sluice.models.preprocess import fitted
clip = Preprocess(224, 224, "crop", "bicubic", (0.5,) * 3, (0.5,) * 3)
banner = np.zeros((2, 60_000, 3), np.uint8)
banner[:, ::3] = 255
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
shown = fitted(banner, clip)
print(json.dumps([resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, shown.shape]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    kilobytes, shape = json.loads(done.stdout)
    assert shape == [224, 224, 3]
    assert kilobytes < 20_000, "scaled whole it is 6.7 million x 224 px: 4.5 GB"


@pytest.mark.parametrize("size", [(9_000, 20), (20, 9_000)])
def test_the_part_of_a_banner_is_what_the_whole_would_show(size: tuple[int, int]) -> None:
    width, height = size
    x = np.linspace(0, 300, width)[None, :, None] + np.linspace(0, 300, height)[:, None, None]
    banner = (127 + 100 * np.sin(x + np.arange(3))).astype(np.uint8)
    preprocess = Preprocess(224, 224, "crop", "bicubic", HALF, HALF)
    placed = placement(width, height, preprocess)
    assert placed.width * placed.height > 1 << 24
    whole = Image.fromarray(banner).resize((placed.width, placed.height), Image.Resampling.BICUBIC)
    shown = whole.crop((placed.left, placed.top, placed.left + 224, placed.top + 224))
    assert np.abs(np.asarray(shown).astype(int) - fitted(banner, preprocess)).max() <= 2


def test_another_way_to_prepare_images_than_the_librarys_is_refused() -> None:
    clip = Preprocess(32, 32, "crop", "bicubic", HALF, HALF)
    assert check_preprocess(clip, lambda image: tensor([image], clip)[0], "a model") is clip
    bilinear = Preprocess(32, 32, "crop", "bilinear", HALF, HALF)
    with pytest.raises(SluiceError, match=r"a model: images cannot be prepared as its library does: on \d+ x \d+ px"):
        check_preprocess(clip, lambda image: tensor([image], bilinear)[0], "a model")
    with pytest.raises(SluiceError, match=r"makes a tensor of shape \(3, 16, 16\)"):
        check_preprocess(clip, lambda image: np.zeros((3, 16, 16)), "a model")
    with pytest.raises(SluiceError, match="differ by nan"):
        check_preprocess(clip, lambda image: np.full((3, 32, 32), np.nan), "a model")
