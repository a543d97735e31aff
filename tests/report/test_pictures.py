"""Pictures for the page: small, and never at the price of the report."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sluice.media.limits import Limits
from sluice.report.thumbs import MOST_BYTES, NoPicture, Picture, easel, pictures
from sluice.table.refs import Ref


def _file(path: Path, data: bytes) -> Ref:
    path.write_bytes(data)
    return Ref("file", str(path), size=len(data))


def _jpeg(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def test_noise_is_made_to_fit(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (900, 1200, 3), np.uint8)
    (found,) = pictures([_file(tmp_path / "noise.jpg", _jpeg(noise))], Limits())
    assert isinstance(found, Picture)
    assert len(found.data) <= MOST_BYTES
    assert (found.full_width, found.full_height) == (1200, 900)
    assert Image.open(io.BytesIO(found.data)).size == (found.width, found.height)


def test_a_tiny_image_keeps_its_size(tmp_path: Path) -> None:
    (found,) = pictures([_file(tmp_path / "dot.jpg", _jpeg(np.zeros((9, 17, 3), np.uint8)))], Limits())
    assert isinstance(found, Picture)
    assert (found.width, found.height) == (17, 9)


@pytest.mark.parametrize("data", [b"", b"<html>", b"\xff\xd8\xff\xe0 broken"])
def test_what_cannot_be_decoded_says_why(tmp_path: Path, data: bytes) -> None:
    good = _file(tmp_path / "good.jpg", _jpeg(np.zeros((32, 32, 3), np.uint8)))
    found = pictures([_file(tmp_path / "bad.jpg", data), good], Limits())
    assert isinstance(found[0], NoPicture) and found[0].failure_class in ("decode", "io")
    assert isinstance(found[1], Picture)


def test_an_image_that_hangs_costs_its_picture_only(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe.jpg")
    good = _file(tmp_path / "good.jpg", _jpeg(np.zeros((32, 32, 3), np.uint8)))
    found = pictures([Ref("file", str(tmp_path / "pipe.jpg")), good], Limits())
    assert isinstance(found[0], NoPicture)
    assert isinstance(found[1], Picture)


def test_the_worker_that_is_ready_draws_unless_there_is_much_to_read(tmp_path: Path) -> None:
    """One worker draws what few reports exceed; past that, it gets company; never is it this process."""
    limits = Limits()
    refs = [_file(tmp_path / f"{place}.jpg", _jpeg(np.full((40, 60, 3), place, np.uint8))) for place in range(3)]
    with easel(limits) as engine:
        first = pictures(refs, limits, engine)
        assert first == pictures(refs, limits, engine) == pictures(refs, limits)
        heavy = [Ref("file", ref.uri, size=40_000_000) for ref in refs]
        assert pictures(heavy, limits, engine) == first


def test_an_image_that_kills_its_worker_costs_its_picture_only(tmp_path: Path) -> None:
    """Here a worker that may hold next to nothing: the large image is its end, or its MemoryError."""
    large = _file(tmp_path / "large.png", _png(np.zeros((6000, 6000, 3), np.uint8)))
    good = _file(tmp_path / "good.jpg", _jpeg(np.zeros((32, 32, 3), np.uint8)))
    found = pictures([large, good], replace(Limits(), memory=100_000_000))
    assert isinstance(found[0], NoPicture)
    assert isinstance(found[1], Picture)
