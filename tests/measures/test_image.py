"""The image measures' numbers, against definitions written out at length."""

from __future__ import annotations

import gc
import hashlib
import io
import weakref

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from sluice.measures import image as measures
from sluice.measures.base import all_registered, registered
from sluice.measures.views import DecodePlan, ImageRow, Measured, apply
from sluice.media.limits import Limits

Grays = npt.NDArray[np.uint8]
GRAYS = arrays.arrays(np.uint8, st.tuples(st.integers(3, 40), st.integers(3, 40)))
NAMES = ("image.header", "image.quality", "image.phash", "image.dhash", "image.content_hash")


def encoded(pixels: npt.NDArray[np.uint8], kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def measured(name: str, *files: bytes, extension: str = "png") -> Measured:
    measure = registered(name)
    plan = DecodePlan.of([measure])
    return apply(measure, [ImageRow(extension, lambda data=data: data, plan, Limits(), None) for data in files])


def test_all_five_are_registered_with_the_columns_of_the_rows_table() -> None:
    known = all_registered()
    assert set(NAMES) <= set(known)
    assert list(known["image.quality"].writes) == [
        "sharpness", "brightness", "contrast", "entropy", "colourfulness", "clipped_dark", "clipped_bright", "border",
    ]  # fmt: skip
    assert known["image.phash"].writes == {"phash": pa.uint64()}


@pytest.mark.parametrize("name", NAMES)
def test_values_fit_their_declared_types_and_a_bad_row_costs_itself(name: str) -> None:
    rng = np.random.default_rng(0)
    good = encoded(rng.integers(0, 256, (70, 90, 3), dtype=np.uint8))
    result = measured(name, good, b"not an image", good)
    assert result.errors[0] is None
    assert result.errors[2] is None
    if name != "image.content_hash":  # any bytes have a hash
        assert (result.errors[1] or "").startswith("decode: not an image")
    for column, kind in registered(name).writes.items():
        values = pa.array(result.columns[column], kind)
        assert values[0] == values[2]
        assert values[0].is_valid or column == "jpeg_quality"


def test_the_header_becomes_columns() -> None:
    columns = measured("image.header", encoded(np.zeros((60, 90, 3), np.uint8), "JPEG"), extension="jpeg").columns
    row = {name: values[0] for name, values in columns.items()}
    assert (row["format"], row["width"], row["height"], row["pixels"], row["min_side"]) == ("jpeg", 90, 60, 5_400, 60)
    assert (row["aspect"], row["frames"], row["mode"], row["orientation"], row["jpeg_quality"]) == (
        1.5,
        1,
        "RGB",
        1,
        75,
    )


@pytest.mark.parametrize(
    ("kind", "extension", "agrees"),
    [
        ("JPEG", "jpg", True), ("JPEG", "jfif", True), ("JPEG", "jpe", True), ("JPEG", "png", False),
        ("JPEG", "", None), ("JPEG", "txt", False), ("PNG", "png", True), ("PNG", "jpg", False), ("GIF", "gif", True),
        ("TIFF", "tif", True), ("AVIF", "heif", True), ("WEBP", "webp", True), ("BMP", "dib", True),
    ],
)  # fmt: skip
def test_an_extension_is_compared_with_the_content(kind: str, extension: str, agrees: bool | None) -> None:
    data = encoded(np.zeros((20, 20, 3), np.uint8), kind)
    assert measured("image.header", data, extension=extension).columns["extension_ok"] == [agrees]


def test_the_content_hash_is_sha256_of_the_file() -> None:
    data = encoded(np.zeros((9, 9), np.uint8))
    assert measured("image.content_hash", data).columns["sha256"] == [hashlib.sha256(data).hexdigest()]


@given(GRAYS)
@settings(deadline=None)
def test_sharpness_is_the_variance_of_the_laplacian(gray: Grays) -> None:
    image = gray.astype(float)
    laplacian = image[:-2, 1:-1] + image[2:, 1:-1] + image[1:-1, :-2] + image[1:-1, 2:] - 4 * image[1:-1, 1:-1]
    assert measures.sharpness(gray) == pytest.approx(laplacian.var(), abs=1e-6)


def test_sharpness_holds_for_tall_and_extreme_images_and_is_null_for_slivers() -> None:
    stripes = np.indices((3_000, 5)).sum(axis=0).astype(np.uint8) % 2 * 255
    image = stripes.astype(float)
    inner = image[:-2, 1:-1] + image[2:, 1:-1] + image[1:-1, :-2] + image[1:-1, 2:] - 4 * image[1:-1, 1:-1]
    assert measures.sharpness(stripes) == pytest.approx(inner.var())
    assert measures.sharpness(np.zeros((2, 90), np.uint8)) is None
    assert measures.sharpness(np.zeros((90, 2), np.uint8)) is None


@given(GRAYS)
@settings(deadline=None)
def test_tones_are_those_of_the_pixels(gray: Grays) -> None:
    row = {name: values[0] for name, values in measured("image.quality", encoded(gray)).columns.items()}
    shares = np.bincount(gray.ravel(), minlength=256) / gray.size
    shares = shares[shares > 0]
    assert row["brightness"] == pytest.approx(gray.mean())
    assert row["contrast"] == pytest.approx(gray.std(), abs=1e-6)
    assert row["entropy"] == pytest.approx(-(shares * np.log2(shares)).sum(), abs=1e-9)
    assert row["clipped_dark"] == pytest.approx((gray <= 2).mean())
    assert row["clipped_bright"] == pytest.approx((gray >= 253).mean())
    assert row["colourfulness"] == 0
    assert 0 <= row["border"] <= 1


@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 30), st.integers(1, 30), st.just(3))))
@settings(deadline=None)
def test_colourfulness_is_hasler_and_susstrunks(rgb: npt.NDArray[np.uint8]) -> None:
    red, green, blue = rgb.reshape(-1, 3).astype(float).T
    rg, yb = red - green, (red + green) / 2 - blue
    expected = np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean())
    assert measures.colourfulness(rgb) == pytest.approx(expected, abs=1e-6)


def framed(top: int, bottom: int, left: int, right: int, colours: tuple[int, int] = (0, 0), noise: int = 0) -> Grays:
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (100, 120)).astype(np.int16)
    image[:, :left], image[:, 120 - right :] = colours[1], colours[1]
    image[:top], image[100 - bottom :] = colours[0], colours[0]
    return np.clip(image + rng.integers(-noise, noise + 1, image.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("frame", "share"),
    [
        (framed(0, 0, 0, 0), 0.0),
        (framed(20, 20, 0, 0), 0.4),
        (framed(0, 0, 30, 30), 0.5),
        (framed(10, 10, 12, 12), 1 - 80 * 96 / 12_000),
        (framed(25, 0, 0, 0, colours=(255, 0)), 0.25),
        (framed(10, 10, 12, 12, colours=(200, 90)), 1 - 80 * 96 / 12_000),
        (framed(20, 20, 0, 0, colours=(128, 0), noise=4), 0.4),
        (np.full((50, 60), 77, np.uint8), 1.0),
        (np.full((1, 1), 77, np.uint8), 1.0),
        (np.tile(np.arange(256, dtype=np.uint8)[:, None], (1, 99)), 18 / 256),  # of a sky, its first and last levels
    ],
)
def test_borders_are_found_and_gradients_are_none(frame: Grays, share: float) -> None:
    assert measures.border(frame) == pytest.approx(share, abs=0.01)


def test_a_blurred_image_is_less_sharp_at_any_size() -> None:
    rng = np.random.default_rng(2)
    for side in (256, 700, 1_500):
        noise = Image.fromarray(rng.integers(0, 256, (side // 8, side // 8), dtype=np.uint8))
        crisp = noise.resize((side, side), Image.Resampling.NEAREST)
        soft = crisp.resize((side // 40, side // 40)).resize((side, side), Image.Resampling.BICUBIC)
        values = measured("image.quality", encoded(np.asarray(crisp)), encoded(np.asarray(soft))).columns["sharpness"]
        assert values[0] > 20 * values[1]


@pytest.mark.parametrize("cut", [False, True])
def test_a_row_that_fails_hangs_in_no_circle(cut: bool) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (70, 90, 3), dtype=np.uint8)
    data = encoded(noise, "JPEG")[:900] if cut else b"not an image"
    measure = registered("image.quality")
    row = ImageRow("png", lambda: data, DecodePlan.of([measure]), Limits(), None)
    there = weakref.ref(row)
    gc.disable()  # so that only counting references frees it
    try:
        assert apply(measure, [row]).errors[0]
        del row
        assert there() is None
    finally:
        gc.enable()
