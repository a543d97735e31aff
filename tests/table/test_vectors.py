"""Vectors on disk and their cosines, against NumPy's own conversions."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.table.vectors import VECTOR, cosines, read_vectors, vector_type, write_vectors


def test_cosines_are_those_of_the_vectors_in_single_precision():
    rng = np.random.default_rng(0)
    one, other = (rng.standard_normal((600, 64)).astype(np.float16) for _ in range(2))
    one[17, 3] = np.nan
    expected = np.einsum("ij,ij->i", one.astype(np.float32), other.astype(np.float32))
    assert np.array_equal(cosines(one, other), expected, equal_nan=True)
    assert np.array_equal(cosines(one[::2].astype(np.float32), other[::2]), expected[::2], equal_nan=True)


def test_every_half_counts_for_what_it_is():
    every = np.arange(2**16, dtype=np.uint16).view(np.float16)
    finite = every[np.isfinite(every)][:, None]
    assert np.array_equal(cosines(finite, np.ones_like(finite)), finite[:, 0].astype(np.float32))


def test_vectors_come_back_as_they_were_and_a_missing_one_is_nan(tmp_path):
    vectors = np.random.default_rng(1).standard_normal((5, 8)).astype(np.float16)
    column = pa.array([*vectors[:4], None, vectors[4]], vector_type(8))
    path = tmp_path / "unit.parquet"
    write_vectors(path, pa.table({"id": list("abcdef"), VECTOR: column}))
    keys, found = read_vectors(path)
    assert keys.column("id").to_pylist() == list("abcdef")
    assert np.array_equal(found[[0, 1, 2, 3, 5]], vectors)
    assert np.isnan(found[4]).all()
    assert pq.read_table(path).column(VECTOR)[4].as_py() is None
