"""What `Pixels` gives beside a full decode and Pillow's own antialiased resize, the way other loaders are used."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from sluice.load.decode import Pixels
from sluice.load.reading import Sample

SIDE = 224


def photo(width: int, height: int, seed: int) -> Image.Image:
    """Areas of colour, edges and fine grain, as a photo has them."""
    rng = np.random.default_rng(seed)
    low = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    grain = Image.fromarray(rng.integers(0, 256, (height, width), dtype=np.uint8)).convert("RGB")
    image = Image.blend(low, grain, 0.08)
    image.paste((250, 20, 30), (width // 3, height // 3, width // 2, height // 2))
    return image


def expected(image: Image.Image) -> npt.NDArray[np.int16]:
    """The middle square at `SIDE` px, each pixel from all of those below it."""
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    box = (left, top, left + side, top + side)
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=box)).astype(np.int16)


@pytest.mark.parametrize(
    ("size", "mean"),
    [((300, 260), 0.01), ((640, 480), 1.6), ((1024, 700), 1.6), ((700, 1900), 1.6), ((200, 150), 0.01)],
)
def test_pixels_are_those_of_a_full_decode_within_a_tolerance(size: tuple[int, int], mean: float) -> None:
    """A JPEG's own scales average areas a little otherwise than the resize: 1.6 levels of 255 in the mean at most."""
    buffer = io.BytesIO()
    photo(*size, seed=sum(size)).save(buffer, "JPEG", quality=90)
    full = Image.open(io.BytesIO(buffer.getvalue())).convert("RGB")
    ours = Pixels(SIDE)(Sample("a", (buffer.getvalue(),), None)).image
    assert ours.flags.c_contiguous and ours.shape == (SIDE, SIDE, 3)
    apart = np.abs(ours - expected(full))
    assert apart.mean() <= mean
    assert np.percentile(apart, 99) <= (1 if mean < 1 else 10)


def test_an_image_without_scales_of_its_own_is_resized_the_same() -> None:
    buffer = io.BytesIO()
    image = photo(500, 333, seed=1)
    image.save(buffer, "PNG")
    ours = Pixels(SIDE)(Sample("a", (buffer.getvalue(),), None)).image
    assert np.abs(ours - expected(image)).max() <= 1
