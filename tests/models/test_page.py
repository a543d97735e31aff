"""The page of encoders: its options are today's, its examples are accepted, its code runs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from pydantic import TypeAdapter

from sluice.models import EncoderConfig, PrecomputedConfig, reference
from sluice.models.config import EncoderBase
from sluice.models.onnx_pair import _Manifest
from support.tiny_models import TEXTS, Pixels, save_onnx_pair

PAGE = Path(__file__).parents[2] / "docs" / "encoders.md"


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def test_the_committed_page_holds_the_current_options(tmp_path: Path) -> None:
    copy = tmp_path / "page.md"
    copy.write_text(PAGE.read_text("utf-8"), "utf-8")
    reference.write(copy)
    current = copy.read_text("utf-8") == PAGE.read_text("utf-8")
    assert current, "run: python -m sluice.models.reference docs/encoders.md"


def test_every_example_is_accepted_and_every_type_has_one_or_no_options() -> None:
    every: TypeAdapter[EncoderBase] = TypeAdapter(EncoderConfig | PrecomputedConfig)
    seen = {every.validate_python(yaml.safe_load(block)).model_dump()["type"] for block in _blocks("yaml")}
    assert seen == {"onnx", "transformers", "open_clip", "http", "precomputed"}
    (manifest,) = _blocks("json")
    _Manifest.model_validate(json.loads(manifest))


def test_the_code_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photos: list[Pixels]) -> None:
    monkeypatch.chdir(tmp_path)
    save_onnx_pair(tmp_path / "models" / "small")
    (tmp_path / "metadata").mkdir()
    keys = ["https://example.org/1.jpg", "https://example.org/2.jpg"]
    pq.write_table(pa.table({"url": keys}), tmp_path / "metadata" / "0001.parquet")
    np.savez(tmp_path / "metadata" / "0001.npz", b32_img=np.eye(2, 4, dtype=np.float16))
    told: dict[str, Any] = {"pixels": photos[: len(TEXTS)], "captions": TEXTS}
    for block in _blocks("python"):
        exec(block, told)
    assert told["cosines"].shape == (len(TEXTS),)
    assert told["found"].vectors.tolist() == [[1, 0, 0, 0]]
