"""`sluice train encoder` as a whole."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from sluice.errors import MissingExtraError, RunError
from sluice.train.command import train_encoder


def test_without_torch_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("encoder", "towers", "export"):
        monkeypatch.delitem(sys.modules, f"sluice.train.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'sluice\[train\]'"):
        train_encoder(tmp_path / "model", "builtin", 1, 0, print)
    assert not (tmp_path / "model").exists()


def test_a_short_training_leaves_a_whole_model_folder_and_its_card(tmp_path: Path) -> None:
    for name in ("torch", "onnx", "onnxruntime"):
        pytest.importorskip(name, reason=f"training needs {name}: pip install 'sluice[train]'")
    heard: list[str] = []
    folder = tmp_path / "model"
    text = train_encoder(folder, "builtin", 0.03, 5, heard.append, world=60)
    assert {path.name for path in folder.iterdir()} == {
        "encoder.json",
        "image.onnx",
        "text.onnx",
        "CARD.md",
        "evidence",
    }
    assert json.loads((folder / "encoder.json").read_text("utf-8"))["revision"] == "builtin-5-0.03min"
    training = json.loads((folder / "evidence" / "training.json").read_text("utf-8"))
    assert training["seed"] == 5 and training["recipe"]["batch"] == 64 and set(training["sha256"]) >= {"image.onnx"}
    assert "| zh |" in text and (folder / "CARD.md").read_text("utf-8") in text
    assert heard and "step" in heard[-1]


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="training needs torch: pip install 'sluice[train]'")
    pytest.importorskip("onnx", reason="exporting needs onnx: pip install 'sluice[train]'")
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(RunError, match="not empty"):
        train_encoder(tmp_path, "builtin", 1, 0, print)
