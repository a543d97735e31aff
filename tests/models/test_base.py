"""What every encoder keeps to: directions, batches, shapes; and that nothing heavy comes with the import."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sluice.errors import MissingExtraError, SampleFailure, SluiceError
from sluice.models.base import Preprocess, in_batches, unit
from sluice.models.extras import optional

HALF = (0.5, 0.5, 0.5)


@given(arrays.arrays(np.float32, st.tuples(st.integers(0, 5), st.integers(1, 7)), elements=st.floats(width=32)))
def test_a_row_is_a_direction_or_nothing(vectors: np.ndarray) -> None:
    out = unit(vectors)
    assert out.shape == vectors.shape and out.dtype == np.float32
    with np.errstate(all="ignore"):
        lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    for row, length in zip(out, lengths, strict=True):
        if np.isfinite(length) and length > 0:
            assert np.linalg.norm(row.astype(np.float64)) == pytest.approx(1, abs=1e-6)
        else:
            assert np.isnan(row).all()


@given(st.integers(0, 20), st.integers(1, 25))
def test_a_batch_is_cut_and_put_together_again(count: int, size: int) -> None:
    seen: list[int] = []

    def encode(some: Sequence[int]) -> list[list[float]]:
        seen.append(len(some))
        return [[one + 1.0, 0.0, -one - 1.0] for one in some]

    out = in_batches(range(count), size, 3, encode)
    assert out.shape == (count, 3)
    assert sum(seen) == count and max(seen, default=0) <= size
    assert np.allclose(out, np.tile([2**-0.5, 0, -(2**-0.5)], (count, 1)))


def test_a_model_that_gives_another_count_or_length_fails_as_a_model() -> None:
    with pytest.raises(SampleFailure, match=r"model: the model gave an array of shape \(1, 2\) where \(2, 2\)"):
        in_batches([1, 2], 2, 2, lambda some: [[1.0, 2.0]])


@pytest.mark.parametrize(
    ("fit", "size", "distorted"),
    [
        ("stretch", (640, 480), True),
        ("stretch", (480, 640), True),
        ("stretch", (500, 500), False),
        ("stretch", (504, 500), False),
        ("stretch", (506, 500), True),
        ("stretch", (500, 506), True),
        ("crop", (640, 480), False),
        ("pad", (640, 48), False),
    ],
)
def test_an_image_whose_aspect_would_change_says_so(fit: str, size: tuple[int, int], distorted: bool) -> None:
    preprocess = Preprocess(64, 64, fit, "bicubic", HALF, HALF)  # type: ignore[arg-type]
    assert preprocess.distorts(*size) is distorted


@pytest.mark.parametrize(
    "wrong", [{"width": 0}, {"resize": 0}, {"std": (0.0, 1, 1)}, {"std": (-1.0, 1, 1)}, {"mean": (float("nan"), 0, 0)}]
)
def test_a_preprocess_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    fields: dict[str, object] = {"width": 8, "height": 8, "fit": "crop", "interpolation": "bicubic"}
    with pytest.raises(ValueError, match=r"at least 1 px|finite numbers"):
        Preprocess(**{**fields, "mean": HALF, "std": HALF, **wrong})  # type: ignore[arg-type]


def test_a_missing_package_is_one_sentence_with_the_command_that_mends_it(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(
        MissingExtraError, match=r"not installed\) needs an optional package: pip install 'sluice\[x\]'"
    ):
        optional("no_such_package_at_all", "a model", "x")
    (tmp_path / "broken_package_one.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(
        SluiceError, match=r"broken_package_one is installed and cannot be .*nms does not exist.*sluice\[x\]"
    ):
        optional("broken_package_one", "a model", "x")


def test_what_a_recipe_needs_of_models_imports_no_model_and_no_numpy() -> None:
    code = "import atexit, sys; atexit.register(lambda: print(*sys.modules)); import sluice.models.config"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "PIL", "torch", "onnxruntime", "transformers", "open_clip"} & set(done.stdout.split())


def test_importing_every_adapter_imports_no_library_behind_it() -> None:
    names = "onnx_pair open_clip_model transformers_model precomputed http_service load"
    imports = "; ".join(f"import sluice.models.{name}" for name in names.split())
    code = f"import atexit, sys; atexit.register(lambda: print(*sys.modules)); {imports}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"torch", "onnxruntime", "transformers", "tokenizers", "open_clip", "huggingface_hub"}
    assert not heavy & set(done.stdout.split())
