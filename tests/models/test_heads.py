"""Heads over vectors: the same numbers as torch-like arithmetic and as onnxruntime; refused where they mean nothing."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.errors import SluiceError
from sluice.models.base import Identity
from sluice.models.heads import Head, HeadConfig, load_head

ENCODER = Identity("tiny", "1", "ab" * 16, None)
DIM = 12


def manifest(**changes: Any) -> str:
    fields = {"format": "sluice-head/1", "name": "nsfw", "revision": "1", "encoder": ENCODER.hash, "output": "sigmoid"}
    return json.dumps(fields | changes)


def layers(seed: int = 0, sizes: tuple[int, ...] = (DIM, 8, 1)) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    arrays: dict[str, np.ndarray] = {}
    for number, (wide, narrow) in enumerate(itertools.pairwise(sizes)):
        arrays[f"weight_{number}"] = rng.standard_normal((wide, narrow)).astype(np.float32)
        arrays[f"bias_{number}"] = rng.standard_normal(narrow).astype(np.float32)
    return arrays


def npz(path: Path, arrays: dict[str, np.ndarray], **changes: Any) -> Path:
    np.savez(path, head=np.array(manifest(**changes)), **arrays)
    return path


def onnx_head(path: Path, arrays: dict[str, np.ndarray], **changes: Any) -> Path:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Gemm", ["x", "weight_0", "bias_0"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Gemm", ["r", "weight_1", "bias_1"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "head",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", DIM])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", arrays["bias_1"].shape[0]])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {"head": manifest(**changes)})
    onnx.save(model, str(path))
    return path


def vectors(count: int = 50, seed: int = 1) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((count, DIM)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize(("output", "column"), [("linear", 0), ("sigmoid", 0), ("softmax", 1)])
def test_npz_and_onnx_give_the_same_scores(tmp_path: Path, output: str, column: int) -> None:
    arrays = layers(sizes=(DIM, 8, 1 + column))
    plain = Head(npz(tmp_path / "head.npz", arrays, output=output, column=column)).score(vectors())
    onnx = Head(onnx_head(tmp_path / "head.onnx", arrays, output=output, column=column)).score(vectors())
    assert plain.dtype == onnx.dtype == np.float32
    np.testing.assert_allclose(plain, onnx, rtol=1e-4, atol=1e-6)
    if output != "linear":
        assert ((plain > 0) & (plain < 1)).all()


def test_a_head_is_bound_to_its_encoder(tmp_path: Path) -> None:
    path = npz(tmp_path / "head.npz", layers())
    head = load_head(HeadConfig(path="head.npz"), ENCODER, tmp_path)
    assert head.identity.name == "nsfw"
    other = Identity("another", "1", "cd" * 16, None)
    with pytest.raises(SluiceError, match=rf"reads vectors of the encoder {ENCODER.hash}.*another"):
        load_head(HeadConfig(path=str(path)), other)


def test_another_file_is_another_head(tmp_path: Path) -> None:
    one = Head(npz(tmp_path / "one.npz", layers(seed=0)))
    two = npz(tmp_path / "two.npz", layers(seed=1))
    assert Head(two).identity.hash != one.identity.hash
    with pytest.raises(SluiceError, match=f"and {one.identity.hash} was asked for"):
        load_head(HeadConfig(path=str(two), hash=one.identity.hash), ENCODER)


def test_what_has_no_vector_is_unscored_and_disturbs_no_other(tmp_path: Path) -> None:
    head = Head(npz(tmp_path / "head.npz", layers()))
    rows = vectors()
    whole = head.score(rows)
    rows[3] = np.nan
    said = head.score(rows)
    assert np.isnan(said[3])
    np.testing.assert_array_equal(np.delete(said, 3), np.delete(whole, 3))
    assert head.score(np.full((2, DIM), np.nan)).tolist() == pytest.approx([np.nan] * 2, nan_ok=True)
    assert head.score(np.zeros((0, DIM))).shape == (0,)


@given(seed=st.integers(0, 1000), cut=st.integers(1, 49))
def test_the_score_of_a_vector_does_not_depend_on_its_company(tmp_path_factory: Any, seed: int, cut: int) -> None:
    path = tmp_path_factory.mktemp("head") / "head.npz"
    head = Head(npz(path, layers(seed)))
    rows = vectors(seed=seed)
    apart = np.concatenate([head.score(rows[:cut]), head.score(rows[cut:])])
    np.testing.assert_allclose(head.score(rows), apart, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda path: path.write_bytes(b"nothing"), "cannot be read as a .npz file"),
        (lambda path: np.savez(path, **layers()), "does not say which encoder"),
        (lambda path: npz(path, layers(), output="tanh"), "head: output"),
        (lambda path: npz(path, layers(), encoder="short"), "head: encoder"),
        (lambda path: npz(path, layers(), column=1), "column 1 of 1"),
        (lambda path: npz(path, {"weight_0": np.ones((DIM, 1))}), "expected weight_0, bias_0"),
        (lambda path: npz(path, layers() | {"weight_1": np.ones((7, 1))}), "layer 1: a weight of"),
        (lambda path: np.savez(path, head=np.array(manifest()), weight_0=np.array([{}])), "plain arrays"),
        (lambda path: np.savez(path, head=np.array("{"), **layers()), "is no JSON"),
    ],
)
def test_a_damaged_head_says_what_is_wrong(tmp_path: Path, damage: Any, says: str) -> None:
    path = tmp_path / "head.npz"
    damage(path)
    with pytest.raises(SluiceError, match=says) as told:
        Head(path)
    assert "head.npz" in str(told.value)


def test_vectors_of_another_length_are_refused(tmp_path: Path) -> None:
    head = Head(npz(tmp_path / "head.npz", layers()))
    with pytest.raises(SluiceError, match="reads vectors of 12 numbers"):
        head.score(np.ones((3, 11)))
    with pytest.raises(SluiceError, match=r"a \.npz or an \.onnx file"):
        (tmp_path / "head.pt").write_bytes(b"x")
        Head(tmp_path / "head.pt")
