"""Perceptual hashes against the imagehash library, on more than 200 seeded images of many kinds."""

from __future__ import annotations

import io
from functools import cache
from typing import NamedTuple

import imagehash
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

import sluice.measures.image  # noqa: F401 - registers image.quality
from sluice.measures.base import registered
from sluice.measures.image_hash import dhash, phash
from sluice.measures.views import DecodePlan, ImageRow, apply
from sluice.media.decode import decode, to_gray
from sluice.media.header import read_header
from sluice.media.limits import Limits

Floats = npt.NDArray[np.float64]
LIMITS = Limits()
IMAGES = 220
KINDS = ("photo", "soft", "grainy", "texture", "shapes", "framed", "noise", "gradient", "checks", "print")
PICTURES = frozenset({"photo", "soft", "grainy", "texture", "shapes", "framed"})  # what a corpus is made of
# A 32 x 32 thumbnail has pixels rounded to whole levels: each DCT coefficient carries noise of this deviation.
ROUNDING = 32 / np.sqrt(12) / 2


def spectrum(rng: np.random.Generator, height: int, width: int, fall: float) -> Floats:
    """Noise whose amplitude falls with frequency to the power `fall`, as that of photographs does with 1."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = 1 / max(height, width)
    waves = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(height, width))) / frequency**fall, (height, width))
    return (waves - waves.mean()) / (waves.std() + 1e-9)


def drawn(kind: str, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """A picture of this kind: odd sizes from tiny to 1,300 px, up to 5 : 2."""
    height = int(np.exp(rng.uniform(np.log(20), np.log(520))))
    width = max(8, int(height * rng.uniform(0.4, 2.5)))
    y, x = np.mgrid[:height, :width]
    if kind in ("photo", "soft", "grainy", "framed"):
        fall = {"soft": 1.8}.get(kind, float(rng.uniform(1.0, 1.5)))
        base = spectrum(rng, height, width, fall)
        layers = [base * 0.8 + spectrum(rng, height, width, fall) * 0.2 for _ in range(3)]
        image = np.stack(layers, axis=-1) * rng.uniform(25, 60) + rng.uniform(90, 160)
        if kind == "grainy":
            image = image + rng.normal(size=image.shape) * rng.uniform(3, 20)
        if kind == "framed":
            image[: height // 6] = image[height - height // 6 :] = 0
    elif kind == "texture":
        image = np.repeat(spectrum(rng, height, width, 0.6)[..., None] * 50 + 128, 3, axis=2)
    elif kind == "shapes":
        image = np.full((height, width, 3), rng.integers(0, 256, 3), dtype=float)
        for _ in range(int(rng.integers(3, 12))):
            cy, cx, radius = rng.integers(0, height), rng.integers(0, width), rng.integers(3, min(height, width) // 2)
            image[(y - cy) ** 2 + (x - cx) ** 2 < radius**2] = rng.integers(0, 256, 3)
    elif kind == "noise":
        image = rng.uniform(0, 255, (height, width, 3))
    elif kind == "gradient":
        image = np.stack([x / width * a + y / height * b for a, b in rng.uniform(-150, 150, (3, 2))], axis=-1) + 128
    elif kind == "checks":
        size = int(rng.integers(3, 60))
        image = np.repeat(((x // size + y // size) % 2 * 255.0)[..., None], 3, axis=2)
    else:
        image = np.full((height, width, 3), 255.0)
        for _ in range(60):
            top, left = rng.integers(0, height), rng.integers(0, width)
            image[top : top + 3, left : left + int(rng.integers(3, 30))] = 0
    return np.clip(image, 0, 255).astype(np.uint8)


class Case(NamedTuple):
    """An image in both worlds."""

    kind: str
    data: bytes
    gray: npt.NDArray[np.uint8]


@cache
def cases() -> list[Case]:
    out: list[Case] = []
    for number in range(IMAGES):
        kind = KINDS[number % len(KINDS)]
        buffer = io.BytesIO()
        image = Image.fromarray(drawn(kind, np.random.default_rng(number)))
        if number % 3:
            image.save(buffer, "JPEG", quality=(92, 75)[number % 2])
        else:
            image.save(buffer, "PNG")
        data = buffer.getvalue()
        pixels = decode(data, read_header(data, LIMITS), 256, "rgb", LIMITS)
        out.append(Case(kind, data, to_gray(pixels)))
    return out


def bits(value: int) -> npt.NDArray[np.bool_]:
    return np.unpackbits(np.array([value], dtype=">u8").view(np.uint8)).astype(bool)


@cache
def differences() -> list[tuple[Case, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]]:
    """For each image, which bits of pHash and dHash differ from the library's on the full-size image."""
    ours = phash([case.gray for case in cases()]), dhash([case.gray for case in cases()])
    out = []
    for number, case in enumerate(cases()):
        with Image.open(io.BytesIO(case.data)) as image:
            theirs = imagehash.phash(image).hash.ravel(), imagehash.dhash(image).hash.ravel()
        out.append((case, bits(int(ours[0][number])) ^ theirs[0], bits(int(ours[1][number])) ^ theirs[1]))
    return out


def low_frequencies(case: Case) -> Floats:
    """The 64 DCT coefficients that imagehash takes the signs of, on the full-size image."""
    with Image.open(io.BytesIO(case.data)) as image:
        thumbnail = np.asarray(image.convert("L").resize((32, 32), Image.Resampling.LANCZOS)).astype(float)
    waves = np.cos(np.pi * np.arange(8)[:, None] * (2 * np.arange(32)[None] + 1) / 64)
    return (waves @ thumbnail @ waves.T).ravel()


def test_phash_agrees_with_imagehash_within_2_bits_on_pictures() -> None:
    apart = np.array([phash_bits.sum() for case, phash_bits, _ in differences() if case.kind in PICTURES])
    assert len(apart) >= 130
    assert apart.max() <= 2  # every one, though ours saw them at 256 px


def test_where_phash_differs_by_more_the_librarys_own_bits_are_rounding() -> None:
    for case, phash_bits, _ in differences():
        if phash_bits.sum() > 2:
            low = low_frequencies(case)
            margin = np.abs(low - np.median(low))[phash_bits]
            assert np.sort(margin)[:-2].max() < 30 * ROUNDING, case.kind  # of a range of 57,000 deviations


def test_dhash_agrees_with_imagehash_within_2_bits_on_pictures() -> None:
    apart = np.array([dhash_bits.sum() for case, _, dhash_bits in differences() if case.kind in PICTURES])
    assert apart.mean() < 0.3
    assert apart.max() <= 3


def test_where_dhash_differs_its_two_pixels_are_alike() -> None:
    for case, _, dhash_bits in differences():
        with Image.open(io.BytesIO(case.data)) as image:
            thumbnail = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.LANCZOS)).astype(int)
        steps = np.abs(np.diff(thumbnail, axis=1)).ravel()
        if case.kind in PICTURES:
            assert steps[dhash_bits].max(initial=0) <= 3, case.kind


@pytest.mark.parametrize("level", [0, 1, 7, 128, 255])
@pytest.mark.parametrize("size", [(1, 1), (3, 200), (256, 192), (40, 40)])
def test_a_flat_image_has_one_hash(level: int, size: tuple[int, int]) -> None:
    flat = np.full(size, level, np.uint8)
    assert int(phash([flat])[0]) == (1 << 63 if level else 0)  # the mean alone lies above the median, which is 0
    assert int(dhash([flat])[0]) == 0


def test_the_bits_print_as_imagehash_prints_them() -> None:
    image = Image.fromarray(drawn("photo", np.random.default_rng(99))).convert("L").resize((60, 50))
    gray = np.asarray(image)
    assert f"{int(dhash([gray])[0]):016x}" == str(imagehash.dhash(image))
    assert f"{int(phash([gray])[0]):016x}" == str(imagehash.phash(image))


def test_a_hash_is_the_same_alone_and_in_a_batch() -> None:
    grays = [case.gray for case in cases()[:40]]
    for function in (phash, dhash):
        assert [int(function([gray])[0]) for gray in grays] == function(grays).tolist()
        assert function([]).tolist() == []


def test_the_measures_hash_the_files_themselves() -> None:
    some = cases()[:12]
    for name, function in (("image.phash", phash), ("image.dhash", dhash)):
        plan = DecodePlan.of([registered("image.quality"), registered("image.phash"), registered("image.dhash")])
        rows = [ImageRow("", lambda data=case.data: data, plan, LIMITS, None) for case in some]
        assert apply(registered(name), rows).columns[name.split(".")[1]] == function([c.gray for c in some]).tolist()
