"""What headers say, against Pillow; what is refused before anything is decoded."""

from __future__ import annotations

import io
import subprocess
import sys
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from media.monsters import monsters
from media.mutator import HAVE_HEIF, honest_files
from sluice.errors import SampleFailure
from sluice.media import jpeg
from sluice.media.header import read_header, sniff
from sluice.media.limits import Limits

LIMITS = Limits()


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.copy().save(buffer, kind, **options)
    return buffer.getvalue()


def picture(width: int = 64, height: int = 48) -> Image.Image:
    rng = np.random.default_rng(width * 1_000 + height)
    small = Image.fromarray(rng.integers(0, 256, (5, 7, 3), dtype=np.uint8))
    return small.resize((width, height), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("name", sorted(name for name in honest_files() if name != "heic"))
def test_a_header_says_what_pillow_says(name: str) -> None:
    data = honest_files()[name]
    header = read_header(data, LIMITS)
    with Image.open(io.BytesIO(data)) as image:
        width, height = image.size
        turned = image.getexif().get(0x0112, 1)
        assert header.format == (image.format or "").lower().replace("mpo", "jpeg")
        assert header.frames == getattr(image, "n_frames", 1)
        assert header.orientation == turned
        assert (header.width, header.height) == ((height, width) if turned >= 5 else (width, height))
        assert header.alpha == image.has_transparency_data
        assert header.icc == bool(image.info.get("icc_profile"))
    assert header.bytes == len(data)
    assert header.bits_per_pixel == pytest.approx(8 * len(data) / (width * height))
    assert (header.jpeg_quality is None) == (header.format != "jpeg")


@pytest.mark.parametrize("quality", range(5, 101, 5))
def test_the_quality_of_a_libjpeg_file_is_found_exactly(quality: int) -> None:
    assert read_header(encoded(picture(), "JPEG", quality=quality), LIMITS).jpeg_quality == quality


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_sides_are_those_a_viewer_shows(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    header = read_header(encoded(picture(), kind, exif=exif), LIMITS)
    assert header.orientation == orientation
    assert (header.width, header.height) == ((48, 64) if orientation >= 5 else (64, 48))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_an_icc_profile_is_noted(kind: str) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert read_header(encoded(picture(), kind, icc_profile=profile), LIMITS).icc


def test_frames_are_counted() -> None:
    others = [picture().rotate(angle) for angle in (90, 180, 270)]
    for kind in ("GIF", "WEBP", "PNG", "TIFF"):
        data = encoded(picture(), kind, save_all=True, append_images=others)
        assert read_header(data, LIMITS).frames == 4, kind


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty file"),
        (b"<!DOCTYPE html><html>", "HTML page"),
        (b"\n  <HTML><body>", "HTML page"),
        (b'<?xml version="1.0"?><svg/>', "SVG"),
        (b"%PDF-1.7", "PDF"),
        (b"%!PS-Adobe", "PostScript"),
        (b"PK\x03\x04rest", "ZIP"),
        (b"\0" * 99, "99 zero bytes"),
        (b"hello there", "it starts with 68 65 6c 6c 6f 20 74 68"),
        (b"\xff\xd8\xff", "truncated JPEG"),
        (b"\x89PNG\r\n\x1a\n", "IHDR"),
    ],
)
def test_what_is_no_image_is_said_by_its_name(data: bytes, words: str) -> None:
    with pytest.raises(SampleFailure, match=words) as raised:
        read_header(data, LIMITS)
    assert raised.value.failure_class == "decode"


def test_content_is_believed_not_the_name() -> None:
    assert {name: sniff(data) for name, data in honest_files().items()} == {
        name: name.split("-")[0] for name in honest_files()
    }


@pytest.mark.parametrize(
    ("limits", "field"),
    [(Limits(bytes=1_000), "limits.bytes"), (Limits(pixels=1_000), "limits.pixels")],
)
@pytest.mark.parametrize("name", ["jpeg", "png", "gif", "webp", "bmp", "tiff", "avif"])
def test_a_limit_stops_an_image_and_is_named(name: str, limits: Limits, field: str) -> None:
    data = honest_files()[name] + bytes(1_000)
    with pytest.raises(SampleFailure, match=field) as raised:
        read_header(data, limits)
    assert raised.value.failure_class == "too_large"


def test_a_blank_page_is_no_bomb_but_a_header_that_lies_is() -> None:
    blank = Image.new("RGB", (3_000, 2_000), "white")
    for kind, options in (("PNG", {"optimize": True}), ("JPEG", {"quality": 75}), ("GIF", {})):
        assert read_header(encoded(blank, kind, **options), LIMITS).width == 3_000
    bilevel = encoded(blank.convert("1"), "TIFF", compression="group4")
    assert read_header(bilevel, LIMITS).mode == "1"
    lies = dict(monsters(honest_files()))
    for name in ("png-lies", "jpeg-lies-large"):
        with pytest.raises(SampleFailure, match=r"limits\.ratio") as raised:
            read_header(lies[name], LIMITS)
        assert raised.value.failure_class == "too_large"


def test_a_loop_of_tiff_directories_ends() -> None:
    data = honest_files()["tiff"]
    first = int.from_bytes(data[4:8], "little")
    link = first + 2 + 12 * int.from_bytes(data[first : first + 2], "little")
    looping = data[:link] + first.to_bytes(4, "little") + data[link + 4 :]
    assert read_header(looping, LIMITS).frames == 1


@given(st.binary(max_size=300), st.sampled_from(sorted(honest_files())), st.integers(0, 400))
def test_any_bytes_give_a_header_or_a_failure(noise: bytes, name: str, keep: int) -> None:
    try:
        header = read_header(honest_files()[name][:keep] + noise, LIMITS)
    except SampleFailure as failure:
        assert failure.failure_class in ("decode", "too_large")
        assert " at 0x" not in failure.message
    else:
        assert header.width > 0 < header.height


def test_an_image_chunk_after_the_pixels_still_turns_a_png() -> None:
    data = encoded(picture(), "PNG")
    exif = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x08\0\0\0\0\0\0"
    chunk = len(exif).to_bytes(4, "big") + b"eXIf" + exif + zlib.crc32(b"eXIf" + exif).to_bytes(4, "big")
    assert read_header(data[:-12] + chunk + data[-12:], LIMITS).orientation == 8


@pytest.mark.skipif(not HAVE_HEIF, reason="the extra `heif` is not installed")
def test_heic_is_read_with_the_extra_and_explained_without(monkeypatch: pytest.MonkeyPatch) -> None:
    header = read_header(honest_files()["heic"], LIMITS)
    assert (header.format, header.width, header.height) == ("heic", 64, 48)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(SampleFailure, match=r"pip install 'sluice\[heif\]'"):
        read_header(honest_files()["heic"], LIMITS)


def test_a_jpeg_header_needs_no_pillow() -> None:
    script = "import sys; from sluice.media.header import read_header; sys.exit('PIL' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def said(data: bytes) -> object:
    """What a JPEG's header is read as, or why it is not."""
    try:
        return jpeg.stored(data)
    except SampleFailure as failure:
        return str(failure)


JPEGS = [data for name, data in sorted(honest_files().items()) if sniff(data) == "jpeg"]
ODD = st.tuples(
    st.integers(0, 700), st.sampled_from([0x00, 0x01, 0xC0, 0xC2, 0xC4, 0xD8, 0xD9, 0xDA, 0xDB, 0xE1, 0xFF])
)


@given(st.sampled_from(JPEGS), st.lists(ODD, max_size=4), st.integers(0, 900), st.integers(0, 700), st.booleans())
def test_kernel_and_python_read_the_same_header(
    whole: bytes, odd: list[tuple[int, int]], kept: int, at: int, doubled: bool
) -> None:
    data = bytearray(whole[:kept] if kept > 60 else whole)
    for place, value in odd:
        if 3 <= place < len(data):
            data[place] = value
    if doubled:
        data[at:at] = data[2:at]
    with pytest.MonkeyPatch.context() as patch:
        ours = said(bytes(data))
        patch.setattr(jpeg, "_kernel", lambda: None)
        assert said(bytes(data)) == ours


@pytest.mark.parametrize("data", JPEGS)
def test_the_kernel_reads_every_honest_jpeg(data: bytes) -> None:
    kernel, facts = jpeg._kernel(), jpeg._Facts()
    assert kernel is not None
    assert kernel(data, len(data), facts) == 0
    assert tuple(facts) == jpeg._read(data)
