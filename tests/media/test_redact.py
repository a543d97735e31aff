"""Boxes made unrecognisable: what is inside is gone for good, what is outside stays as it was."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from sluice.errors import SampleFailure
from sluice.media.redact import blur_boxes, redacted


def noise(width: int = 160, height: int = 120, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def smooth(width: int = 160, height: int = 120) -> Image.Image:
    return noise(10, 8).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


BOX = (40.0, 30.0, 100.0, 90.0)
GROWN = (slice(23, 98), slice(33, 108))  # rows and columns that it may touch


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_the_inside_is_gone_and_the_format_stays(form: str) -> None:
    data = encoded(noise(), form, **({"quality": 90} if form != "PNG" else {}))
    after = blur_boxes(data, [BOX])
    assert Image.open(io.BytesIO(after)).format == form
    before, now = pixels(data)[35:85, 45:95], pixels(after)[35:85, 45:95]
    assert now.std() < before.std() / 4  # what is left of noise is the mean of its cells
    correlation = np.corrcoef(before.ravel() - before.mean(), now.ravel() - now.mean())[0, 1]
    assert abs(correlation) < 0.25


def test_a_png_is_the_same_to_the_bit_outside_the_box() -> None:
    data = encoded(noise(), "PNG")
    changed = pixels(data) != pixels(blur_boxes(data, [BOX]))
    changed[GROWN] = False
    assert not changed.any()


@pytest.mark.parametrize("quality", [60, 95])
@pytest.mark.parametrize("subsampling", [0, 2])
def test_a_jpeg_keeps_its_tables_and_all_but_rounding_outside_the_box(quality: int, subsampling: int) -> None:
    data = encoded(smooth(), "JPEG", quality=quality, subsampling=subsampling)
    after = blur_boxes(data, [BOX])
    one, other = Image.open(io.BytesIO(data)), Image.open(io.BytesIO(after))
    assert one.quantization == other.quantization  # type: ignore[attr-defined]
    away = np.abs(pixels(data) - pixels(after))
    away[0:120, 16:128] = 0  # blocks that the box shares
    assert np.percentile(away, 99) <= 6
    assert away.mean() < 1


def test_no_box_no_change() -> None:
    data = encoded(noise(), "JPEG")
    assert blur_boxes(data, []) is data
    assert redacted(data, []) == (data, None)


def test_metadata_with_the_face_goes_and_the_picture_stands_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "a portrait of Ann"
    data = encoded(smooth(), "JPEG", exif=exif.tobytes(), comment=b"taken by Bob")
    after = blur_boxes(data, [(10, 10, 50, 50)])
    shown = Image.open(io.BytesIO(after))
    assert shown.size == (120, 160)
    assert not shown.getexif()
    assert b"Ann" not in after
    assert b"Bob" not in after
    upright = np.asarray(Image.open(io.BytesIO(data)).transpose(Image.Transpose.ROTATE_270)).astype(int)
    assert np.abs(upright[80:, 60:] - np.asarray(shown).astype(int)[80:, 60:]).mean() < 3


def test_the_colour_profile_stays() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for form in ("JPEG", "PNG", "WEBP"):
        after = blur_boxes(encoded(noise(), form, icc_profile=profile), [BOX])
        assert Image.open(io.BytesIO(after)).info["icc_profile"] == profile


@pytest.mark.parametrize("mode", ["L", "RGBA", "LA", "P", "1", "CMYK", "I;16"])
def test_every_mode_is_covered(mode: str) -> None:
    if mode == "I;16":
        image = Image.fromarray(np.random.default_rng(0).integers(0, 65536, (120, 160), dtype=np.uint16))
    else:
        image = noise().convert(mode)
    data = encoded(image, "JPEG" if mode == "CMYK" else "PNG")
    after = Image.open(io.BytesIO(blur_boxes(data, [BOX])))
    inside = np.asarray(after.crop((45, 35, 95, 85)).convert("RGB" if mode != "I;16" else "I")).astype(float)
    before = np.asarray(image.crop((45, 35, 95, 85)).convert("RGB" if mode != "I;16" else "I")).astype(float)
    assert inside[..., :3].std() < before[..., :3].std() / 2


def test_what_was_done_is_written_down() -> None:
    data = encoded(noise(), "JPEG")
    after, record = redacted(data, [BOX])
    assert record is not None
    assert record.sha256_before != record.sha256_after
    assert record.to_json()["boxes"] == [list(BOX)]
    assert (record.format, record.bytes_before, record.bytes_after) == ("jpeg", len(data), len(after))


@given(st.lists(st.tuples(*[st.floats(-50, 250, width=32)] * 4), min_size=1, max_size=3))
@settings(max_examples=40)
def test_a_box_anywhere_leaves_an_image_of_the_same_size(boxes: list[tuple[float, float, float, float]]) -> None:
    data = encoded(noise(64, 48), "PNG")
    if all(left < right and top < bottom for left, top, right, bottom in boxes):
        assert Image.open(io.BytesIO(blur_boxes(data, boxes))).size == (64, 48)
    else:
        with pytest.raises(SampleFailure, match="holds nothing"):
            blur_boxes(data, boxes)


def test_twice_is_as_good_as_once_and_the_same_each_time() -> None:
    data = encoded(noise(), "PNG")
    once = blur_boxes(data, [BOX])
    assert once == blur_boxes(data, [BOX])
    assert np.abs(pixels(once) - pixels(blur_boxes(once, [BOX])))[GROWN].mean() < 12


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (encoded(noise(), "BMP"), "BMP cannot be redacted"),
        (encoded(noise(), "JPEG")[:2000], "decode"),
        (b"no image", "decode"),
        (encoded(noise(), "WEBP", save_all=True, append_images=[noise(seed=1)]), "an animation cannot"),
    ],
)
def test_what_cannot_be_written_anew_is_a_failure(data: bytes, says: str) -> None:
    with pytest.raises(SampleFailure, match=says):
        blur_boxes(data, [BOX])
