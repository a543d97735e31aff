"""Pixels against Pillow: formats, colours, orientations, profiles, scales; what must fail fails."""

from __future__ import annotations

import io
import struct
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageFile, ImageOps

from media.mutator import HAVE_HEIF, honest_files
from sluice.errors import SampleFailure
from sluice.media.decode import Pixels, decode, shrink, to_gray
from sluice.media.header import read_header
from sluice.media.limits import Limits

LIMITS = Limits()
LENIENT = Limits(truncated="decode")
FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"]


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.copy().save(buffer, kind, **options)
    return buffer.getvalue()


def picture(width: int = 300, height: int = 200, bands: int = 3) -> Image.Image:
    rng = np.random.default_rng(width * 1_000 + height)
    small = Image.fromarray(rng.integers(0, 256, (9, 13, bands), dtype=np.uint8).squeeze())
    return small.resize((width, height), Image.Resampling.BICUBIC)


def ours(data: bytes, mode: str = "rgb", side: int | None = None, limits: Limits = LIMITS) -> Pixels:
    return decode(data, read_header(data, limits), side, "rgb" if mode == "rgb" else "gray", limits)


def oracle(data: bytes) -> Image.Image:
    with Image.open(io.BytesIO(data)) as image:
        return ImageOps.exif_transpose(image)


def furthest(pixels: Pixels, expected: Image.Image | Pixels) -> int:
    """The largest difference of two images, in levels of 255; they must be of one size."""
    there = np.asarray(expected).astype(int)
    assert pixels.shape == there.shape
    return int(np.abs(pixels.astype(int) - there).max())


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("size", [(300, 200), (1, 1), (1, 70), (131, 2), (17, 17)])
def test_full_pixels_are_pillows(kind: str, size: tuple[int, int]) -> None:
    data = encoded(picture(*size), kind)
    assert furthest(ours(data), oracle(data).convert("RGB")) == 0
    gray, luma = ours(data, "gray").astype(int), np.asarray(oracle(data).convert("L"))
    assert np.abs(gray - luma).mean() < 1  # not equal: a JPEG's own luma, before its colours were clipped to RGB


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_the_orientation_is_applied_once(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(picture(64, 40), kind, exif=exif)
    pixels = ours(data)
    assert furthest(pixels, oracle(data).convert("RGB")) == 0
    assert pixels.flags.c_contiguous
    header = read_header(data, LIMITS)
    assert pixels.shape[:2] == (header.height, header.width)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("side", [1, 63, 100, 299, 1_000])
@pytest.mark.parametrize("mode", ["rgb", "gray"])
def test_the_longer_side_reaches_what_was_asked(kind: str, side: int, mode: str) -> None:
    data = encoded(picture(), kind)
    height, width = ours(data, mode, side).shape[:2]
    assert max(height, width) >= min(side, 300)
    assert width / height == pytest.approx(1.5, rel=0.05) or side < 64


@pytest.mark.parametrize("kind", FORMATS)
def test_a_reduced_image_looks_like_the_whole_one(kind: str) -> None:
    data = encoded(picture(800, 600), kind)
    reduced, whole = shrink(ours(data, side=100), 100), shrink(ours(data), 100)
    assert furthest(reduced, whole) <= 8
    assert np.abs(reduced.astype(int) - whole.astype(int)).mean() < 1


def test_a_large_jpeg_is_decoded_small() -> None:
    assert ours(encoded(picture(1_600, 1_200), "JPEG"), side=200).shape == (150, 200, 3)


@pytest.mark.parametrize("bits", ["1", "L", "P", "LA", "RGBA", "I;16"])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_every_stored_mode_becomes_8_bit_on_white(kind: str, bits: str) -> None:
    if (bits, kind) == ("P", "TIFF") or bits == "I;16":
        expected = picture().convert("L" if bits == "I;16" else "P")
    else:
        expected = picture(bands=4).convert(bits)
    if bits == "I;16":
        stored = Image.fromarray(np.asarray(expected).astype(np.uint16) * 257)
        data = encoded(stored, kind)
        assert furthest(ours(data, "gray"), expected) == 0
        return
    data = encoded(expected, kind)
    white = Image.new("RGBA", expected.size, "white")
    white.alpha_composite(expected.convert("RGBA"))
    assert furthest(ours(data), white.convert("RGB")) <= 1


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "AVIF"])
def test_what_is_transparent_is_white_at_every_scale(kind: str) -> None:
    clear = Image.new("RGBA", (400, 300), (255, 0, 0, 0))
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    for side in (None, 100):
        assert ours(encoded(clear, kind, **options), side=side).min() >= 254


def test_a_transparent_palette_colour_is_white() -> None:
    palette = Image.new("P", (40, 30), 1)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    for kind in ("PNG", "GIF"):
        data = encoded(palette, kind, transparency=1)
        assert read_header(data, LIMITS).alpha
        assert ours(data).min() == 255


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_is_what_pillow_makes_of_it(kind: str) -> None:
    data = encoded(picture().convert("CMYK"), kind)
    assert read_header(data, LIMITS).mode == "CMYK"
    assert furthest(ours(data), oracle(data).convert("RGB")) == 0
    assert max(ours(data, side=50).shape) < 100


def wide_gamut() -> bytes:
    """A display profile unlike sRGB: its red and green exchanged, made by editing LittleCMS's sRGB profile."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    entries = {
        bytes(profile[at : at + 4]): (at + 4, profile[at + 4 : at + 8])
        for at in range(132, 132 + 12 * struct.unpack(">I", profile[128:132])[0], 12)
    }
    (red_at, red), (green_at, green) = entries[b"rXYZ"], entries[b"gXYZ"]
    profile[red_at : red_at + 4], profile[green_at : green_at + 4] = green, red
    return bytes(profile)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_an_icc_profile_is_converted_to_srgb(kind: str) -> None:
    profile = wide_gamut()
    data = encoded(picture(), kind, icc_profile=profile)
    with Image.open(io.BytesIO(data)) as image:
        source, srgb = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
        expected = ImageCms.profileToProfile(image.convert("RGB"), source, srgb, outputMode="RGB")
    assert expected is not None
    assert furthest(ours(data), expected) == 0
    assert furthest(ours(data, "gray"), expected.convert("L")) == 0
    assert furthest(ours(data), oracle(data).convert("RGB")) > 50  # it did matter


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("broken", [b"rubbish", bytes(200), wide_gamut()[:300], wide_gamut().replace(b"RGB ", b"CMYK")])
def test_a_broken_or_foreign_profile_is_passed_over(kind: str, broken: bytes) -> None:
    data = encoded(picture(), kind, icc_profile=broken)
    assert furthest(ours(data), oracle(data).convert("RGB")) == 0


def test_an_srgb_profile_changes_nothing() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = encoded(picture(), "JPEG", icc_profile=profile)
    assert furthest(ours(data), oracle(data).convert("RGB")) == 0


def test_32_bit_and_float_images_span_black_to_white() -> None:
    ramp = np.linspace(-3.0, 900.0, 256, dtype=np.float32).reshape(16, 16)
    for values in (ramp, ramp.astype(np.int32)):
        gray = ours(encoded(Image.fromarray(values), "TIFF"), "gray")
        assert (gray.min(), gray.max()) == (0, 255)
    assert ours(encoded(Image.fromarray(ramp * np.nan), "TIFF"), "gray").max() == 0


@pytest.mark.parametrize("name", sorted(name for name in honest_files() if name != "tiff-fax"))
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_truncated_file_fails_in_every_format(name: str, share: float) -> None:
    data = honest_files()[name]
    with pytest.raises(SampleFailure) as raised:
        ours(data[: int(len(data) * share)])
    assert raised.value.failure_class == "decode"


@pytest.mark.parametrize("name", ["jpeg", "jpeg-cmyk", "png", "gif", "bmp", "tiff"])
def test_a_recipe_may_take_what_is_there(name: str) -> None:
    data = honest_files()[name]
    cut = data[: int(len(data) * 0.8)]
    whole, part = ours(data), ours(cut, limits=LENIENT)
    assert part.shape == whole.shape
    assert (np.abs(part.astype(int) - whole).max(axis=2) <= 24).mean() > 0.25


@pytest.mark.parametrize("name", sorted(honest_files()))
@pytest.mark.parametrize("garbage", [b"\0", b"\r\n", b"--boundary--\r\n" * 40])
def test_garbage_after_a_whole_image_is_harmless(name: str, garbage: bytes) -> None:
    data = honest_files()[name]
    assert furthest(ours(data + garbage), ours(data)) == 0


def odd_headers() -> dict[str, bytes]:
    """Whole JPEGs with the header oddities that libjpeg warns of though no pixel changes."""
    data = encoded(picture(), "JPEG")
    scan = data.index(b"\xff\xda")
    parameters = scan + 4 + 2 * data[scan + 4] + 1
    adobe = b"\xff\xee\x00\x0eAdobe\0\x64\0\0\0\0\x09"
    return {
        "jfif-revision": data[:11] + b"\x09" + data[12:],
        "adobe-transform": data[:2] + adobe + data[20:],
        "junk-between-segments": data[:20] + b"\x01\x02\x03" + data[20:],
        "scan-parameters": data[:parameters] + b"\0\0\0" + data[parameters + 3 :],
        "icc-numbering": data[:20] + b"\xff\xe2\x00\x14ICC_PROFILE\0\x09\x02abcd" + data[20:],
    }


@pytest.mark.parametrize("name", sorted(odd_headers()))
def test_a_harmless_oddity_in_a_jpeg_header_is_no_damage(name: str) -> None:
    data = odd_headers()[name]
    assert furthest(ours(data), oracle(encoded(picture(), "JPEG")).convert("RGB")) == 0
    with pytest.raises(SampleFailure):
        ours(data[:-40])


def test_damage_inside_a_jpeg_or_png_is_found() -> None:
    for name in ("jpeg", "png", "png-alpha", "png-16"):
        data = bytearray(honest_files()[name])
        data[len(data) // 2 : len(data) // 2 + 8] = b"\xff\xc0\xff\xee\xff\xd9\0\0"
        with pytest.raises(SampleFailure) as raised:
            ours(bytes(data))
        assert raised.value.failure_class == "decode"


@pytest.mark.skipif(not HAVE_HEIF, reason="the extra `heif` is not installed")
def test_heic_is_decoded_with_the_extra() -> None:
    assert ours(honest_files()["heic"]).shape == (48, 64, 3)


def test_an_animation_gives_its_first_frame() -> None:
    first, second = picture(), picture().rotate(180)
    for kind, options in (("PNG", {}), ("WEBP", {"lossless": True}), ("GIF", {}), ("TIFF", {})):
        data = encoded(first, kind, save_all=True, append_images=[second], **options)
        with Image.open(io.BytesIO(data)) as image:
            assert furthest(ours(data), image.convert("RGB")) == 0


def test_the_process_is_left_as_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters)
    for data in honest_files().values():
        for limits in (LIMITS, LENIENT):
            try:
                ours(data[: len(data) * 2 // 3], limits=limits)
            except SampleFailure as failure:
                assert " at 0x" not in failure.message
    assert (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters)) == before
    assert capfd.readouterr().err == ""


def test_pixels_past_pillows_own_limit_are_ours_to_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(picture(), "WEBP")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert ours(data).shape == (200, 300, 3)


@given(st.integers(1, 700), st.integers(1, 700), st.integers(8, 400), st.sampled_from([1, 3]))
@settings(deadline=None, max_examples=60)
def test_shrinking_keeps_shape_and_mean_and_never_enlarges(width: int, height: int, side: int, bands: int) -> None:
    rng = np.random.default_rng(width)
    pixels = rng.integers(0, 256, (height, width, 3) if bands == 3 else (height, width), dtype=np.uint8)
    small = shrink(pixels, side)
    longer = max(width, height)
    if longer <= side:
        assert small is pixels
        return
    assert max(small.shape[:2]) == side
    assert small.dtype == np.uint8
    assert abs(min(small.shape[:2]) - max(1, min(width, height) * side / longer)) <= 0.5
    assert abs(small.mean() - pixels.mean()) <= 1.5 + 60 / min(width, height)


def test_whole_factors_average_exactly() -> None:
    pixels = np.asarray(picture(512, 256))
    means = pixels.reshape(64, 4, 128, 4, 3).mean(axis=(1, 3))
    assert np.abs(shrink(pixels, 128) - means).max() <= 0.5


def test_gray_is_pillows_luma() -> None:
    image = picture()
    assert furthest(to_gray(np.asarray(image)), image.convert("L")) == 0
    gray = np.asarray(image.convert("L"))
    assert to_gray(gray) is gray
