"""Vectors by key: as columns, as arrays beside, as DataComp lays them out; what is missing is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.errors import SluiceError
from sluice.models.config import PrecomputedConfig
from sluice.models.load import load_precomputed
from sluice.models.precomputed import _Index

DIM = 6


def _vectors(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, DIM)).astype(np.float16)


def _normal(vectors: np.ndarray) -> np.ndarray:
    wide = vectors.astype(np.float32)
    return wide / np.linalg.norm(wide, axis=1, keepdims=True)


def _keys(start: int, count: int) -> list[str]:
    return [f"https://example.org/{number}.jpg" for number in range(start, start + count)]


@pytest.fixture(params=["columns", "fixed size columns", "npz", "npy"])
def layout(
    request: pytest.FixtureRequest, tmp_path: Path
) -> tuple[PrecomputedConfig, list[str], np.ndarray, np.ndarray]:
    """Three files of 50 rows, in row groups of 7."""
    keys = _keys(0, 150)
    images, texts = _vectors(150, 1), _vectors(150, 2)
    for number in range(3):
        part = slice(number * 50, number * 50 + 50)
        table: dict[str, Any] = {"url": keys[part], "text": ["a caption"] * 50}
        stem = tmp_path / f"{number:04}"
        if request.param == "npz":
            np.savez_compressed(stem.with_suffix(".npz"), b32_img=images[part], b32_txt=texts[part])
        elif request.param == "npy":
            np.save(tmp_path / f"{number:04}.img.npy", images[part])
            np.save(tmp_path / f"{number:04}.txt.npy", texts[part])
        else:
            kind = pa.list_(pa.float16(), DIM) if request.param.startswith("fixed") else pa.list_(pa.float16())
            for name, vectors in (("b32_img", images), ("b32_txt", texts)):
                table[name] = pa.array(list(vectors[part]), kind)
        pq.write_table(pa.table(table), stem.with_suffix(".parquet"), row_group_size=7)
    config = PrecomputedConfig(
        type="precomputed",
        path=str(tmp_path / "*.parquet"),
        key="url",
        image=".img.npy" if request.param == "npy" else "b32_img",
        text="txt.npy" if request.param == "npy" else "b32_txt",
        name="CLIP ViT-B/32",
    )
    return config, keys, images, texts


def test_vectors_come_by_key_in_the_order_asked_and_what_is_missing_is_said(
    layout: tuple[PrecomputedConfig, list[str], np.ndarray, np.ndarray],
) -> None:
    config, keys, images, texts = layout
    table = load_precomputed(config)
    assert (len(table), table.dim, table.repeated, table.identity.name) == (150, DIM, 0, "CLIP ViT-B/32")
    order = np.random.default_rng(5).permutation(150)[:80]
    asked = [keys[at] for at in order]
    asked[10:10] = ["https://example.org/none.jpg"]
    asked.append("")
    rows = [*range(10), *range(11, 81)]
    for found, truth in ((table.image_vectors(asked), images), (table.text_vectors(asked), texts)):
        assert np.abs(found.vectors[rows] - _normal(truth[order])).max() < 1e-6
        assert found.missing == ("https://example.org/none.jpg", "")
        assert np.isnan(found.vectors[[10, 81]]).all()
    again = table.image_vectors([keys[3], keys[3]])
    assert np.array_equal(again.vectors[0], again.vectors[1])
    assert table.image_vectors([]).vectors.shape == (0, DIM)


def test_the_hash_is_over_keys_and_vectors(
    layout: tuple[PrecomputedConfig, list[str], np.ndarray, np.ndarray],
) -> None:
    config, *_ = layout
    before = load_precomputed(config).identity.hash
    assert load_precomputed(config.model_copy(update={"hash": before})).identity.hash == before
    folder = Path(config.path).parent
    last = sorted(folder.iterdir())[-1]
    if last.suffix == ".parquet":
        pq.write_table(pq.read_table(last).slice(1), last)
    else:
        data = bytearray(last.read_bytes())
        data[-1] ^= 1
        last.write_bytes(bytes(data))
    with pytest.raises(SluiceError, match=f"and {before} was asked for"):
        load_precomputed(config.model_copy(update={"hash": before}))


def test_ids_and_file_names_are_keys_too(tmp_path: Path) -> None:
    vectors = _vectors(3)
    table = pa.table({"uid": pa.array([7, 8, 9]), "vector": pa.array(list(vectors), pa.list_(pa.float16()))})
    pq.write_table(table, tmp_path / "a.parquet")
    found = load_precomputed(_config(tmp_path, key="uid", image="vector")).image_vectors(["9", "07"])
    assert np.abs(found.vectors[0] - _normal(vectors)[2]).max() < 1e-6
    assert found.missing == ("07",)


def _config(folder: Path, **fields: Any) -> PrecomputedConfig:
    return PrecomputedConfig(type="precomputed", path=str(folder / "*.parquet"), name="x", **fields)


def test_rows_without_a_vector_or_without_direction_are_missing(tmp_path: Path) -> None:
    rows = [None, None, [0.0] * DIM, [1.0] * DIM, [float("nan")] * DIM]
    table = pa.table({"key": list("abcde"), "vector": pa.array(rows, pa.list_(pa.float32()))})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=2)
    found = load_precomputed(_config(tmp_path, key="key", image="vector")).image_vectors(list("edcba"))
    assert found.missing == ("e", "c", "b", "a")
    assert np.allclose(found.vectors[1], DIM**-0.5)
    assert load_precomputed(_config(tmp_path, key="key", image="vector")).image_vectors(["b"]).missing == ("b",)


def test_of_images_with_one_key_the_first_is_taken_and_counted_and_texts_are_refused(tmp_path: Path) -> None:
    vectors = list(_vectors(3))
    table = pa.table({"url": ["a", "a", None], "vector": pa.array(vectors, pa.list_(pa.float16()))})
    pq.write_table(table, tmp_path / "a.parquet")
    loaded = load_precomputed(_config(tmp_path, key="url", image="vector"))
    assert (loaded.repeated, len(loaded)) == (1, 1)
    assert np.abs(loaded.image_vectors(["a"]).vectors - _normal(np.stack(vectors))[:1]).max() < 1e-6
    with pytest.raises(SluiceError, match="1 keys in the column 'url' are repeated"):
        load_precomputed(_config(tmp_path, key="url", text="vector"))


def test_what_was_not_said_to_be_there_is_not_looked_for(tmp_path: Path) -> None:
    table = pa.table({"url": ["a"], "vector": pa.array(list(_vectors(1)), pa.list_(pa.float16()))})
    pq.write_table(table, tmp_path / "a.parquet")
    loaded = load_precomputed(_config(tmp_path, key="url", image="vector"))
    with pytest.raises(SluiceError, match="does not say where vectors of texts are: text:"):
        loaded.text_vectors(["a"])


def test_files_that_do_not_fit_say_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(SluiceError, match="there are no such Parquet files"):
        load_precomputed(_config(tmp_path, key="url", image="v"))
    file = tmp_path / "a.parquet"
    table = {"url": ["a", "b"], "words": ["x", "y"], "ragged": [[1.0], [1.0, 2.0]], "whole": [[1], [2]]}
    pq.write_table(pa.table(table), file)
    with pytest.raises(SluiceError, match=r"a.parquet: has no column 'uid'; it has url, words, ragged, whole"):
        load_precomputed(_config(tmp_path, key="uid", image="v"))
    with pytest.raises(SluiceError, match=r"has no column 'v' \(it has url, .*\), and no a.npz beside it"):
        load_precomputed(_config(tmp_path, key="url", image="v"))
    for column in ("words", "whole"):
        with pytest.raises(SluiceError, match=f"the column '{column}' is .*, not lists of floating-point numbers"):
            load_precomputed(_config(tmp_path, key="url", image=column))
    loaded = load_precomputed(_config(tmp_path, key="url", image="ragged"))
    with pytest.raises(SluiceError, match=r"the lists of 'ragged' have different lengths: \[1, 2\]"):
        loaded.image_vectors(["a", "b"])
    np.savez(tmp_path / "a.npz", v=np.zeros((3, DIM), np.float32), n=np.zeros((2, DIM), np.int64))
    with pytest.raises(SluiceError, match=r"a.npz: has no array 'w'; it has v, n"):
        load_precomputed(_config(tmp_path, key="url", image="w"))
    for name in "vn":
        with pytest.raises(SluiceError, match=r"a.parquet has 2 rows, each of which needs a row"):
            load_precomputed(_config(tmp_path, key="url", image=name))
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(SluiceError, match=r"a.npz: cannot be read"):
        load_precomputed(_config(tmp_path, key="url", image="v"))
    file.write_bytes(b"PAR1 no")
    with pytest.raises(SluiceError, match=r"a.parquet: the keys cannot be read"):
        load_precomputed(_config(tmp_path, key="url", image="v"))


@given(st.lists(st.lists(st.none() | st.sampled_from("abcdefgh"), max_size=6), min_size=1, max_size=4))
def test_the_index_finds_the_first_row_of_every_key(files: list[list[str | None]]) -> None:
    index = _Index(files)
    truth: dict[str, tuple[int, int]] = {}
    stated = 0
    for number, keys in enumerate(files):
        for row, key in enumerate(keys):
            if key is not None:
                stated += 1
                truth.setdefault(key, (number, row))
    found = zip(*index.find(list("abcdefghij")), strict=True)
    assert {k: (int(f), int(r)) for k, (f, r) in zip("abcdefghij", found, strict=True) if f >= 0} == truth
    assert index.count == len(truth) and index.repeated == stated - len(truth)


def test_keys_whose_digests_begin_alike_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def alike(keys: list[str]) -> np.ndarray:
        return np.array([(1, ord(key)) for key in keys], np.dtype([("high", "<u8"), ("low", "<u8")]))

    monkeypatch.setattr("sluice.models.precomputed._digests", alike)
    index = _Index([["a", "b"], ["c", "a"]])
    files, rows = index.find(["c", "x", "a", "b"])
    assert (files.tolist(), rows.tolist()) == ([1, -1, 0, 0], [0, -1, 0, 1])
