"""What every test of a source needs: small images, and a source from a recipe's words."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pydantic import TypeAdapter

from sluice.sources import RawSample, Source, SourceConfig, open_source
from sluice.table.refs import RefReader

_CONFIG = TypeAdapter[SourceConfig](SourceConfig)


def _encoded(shade: int, form: str = "JPEG") -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (8, 8), (shade % 256, shade // 256 % 256, 99)).save(data, form)
    return data.getvalue()


@pytest.fixture
def image() -> Callable[..., bytes]:
    """An encoded image; another number, other bytes."""
    return _encoded


@pytest.fixture
def source(tmp_path: Path) -> Callable[..., Source]:
    """The source that a recipe in `tmp_path` would open."""

    def opened(kind: str, path: str, base: Path = tmp_path, **options: Any) -> Source:
        return open_source(_CONFIG.validate_python({"type": kind, "path": path, **options}), base)

    return opened


@pytest.fixture
def samples(source: Callable[..., Source]) -> Callable[..., dict[str, RawSample]]:
    """The samples of a source by key; every key once."""

    def listed(*arguments: Any, **options: Any) -> dict[str, RawSample]:
        found = list(source(*arguments, **options).samples())
        by_key = {sample.key: sample for sample in found}
        assert len(by_key) == len(found), "a key is there twice"
        return by_key

    return listed


@pytest.fixture
def pixels() -> Callable[[RawSample], list[bytes]]:
    """The bytes of the images of a sample, read by ref."""

    def read(sample: RawSample) -> list[bytes]:
        with RefReader(2**24) as reader:
            return [reader.read(item.ref) for item in sample.items if item.ref is not None]

    return read


@pytest.fixture
def texts() -> Callable[..., list[str]]:
    """The texts of a sample, of one role or of all."""

    def read(sample: RawSample, role: str | None = None) -> list[str]:
        return [item.text for item in sample.items if item.text is not None and role in (None, item.role)]

    return read
