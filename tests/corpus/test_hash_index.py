"""A stored index: what days put together is what they would be at once, and a kill leaves the day before."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.cli import main
from sluice.corpus.against import load_hashes
from sluice.corpus.hash_index import add_to_index, nearest, open_index
from sluice.errors import SourceError
from sluice.run.dedup_command import deduplicate

Hashes = npt.NDArray[np.uint64]


def crowded(rng: np.random.Generator, count: int, words: int) -> Hashes:
    """Hashes with many equal and near ones."""
    hashes = rng.integers(0, 2**64, (count, words), dtype=np.uint64) & np.uint64(0x0101_0101_0303_0101)
    return hashes[:, 0] if words == 1 else hashes


def named(count: int, day: str) -> list[str]:
    return [f"{day}-{place}" for place in range(count)]


@pytest.mark.parametrize("words", [1, 4])
def test_days_give_the_bytes_that_one_day_would(words: int, tmp_path: Path) -> None:
    hashes, keys = crowded(np.random.default_rng(0), 900, words), named(900, "a")
    add_to_index(tmp_path / "once.arrow", hashes, keys, "phash")
    for start in range(0, 900, 300):
        add_to_index(tmp_path / "days.arrow", hashes[start : start + 300], keys[start : start + 300], "phash")
    assert (tmp_path / "once.arrow").read_bytes() == (tmp_path / "days.arrow").read_bytes()
    grown = open_index(tmp_path / "days.arrow")
    assert len(grown) == len(np.unique(hashes, axis=0))
    first = keys.index(grown.keys[5].as_py())
    assert np.array_equal(hashes[first], grown.hashes[5])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([1, 2, 4]), st.integers(0, 60), st.integers(0, 60), st.integers(0, 10))
def test_each_new_hash_learns_its_nearest(seed: int, words: int, old: int, new: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    index_hashes, hashes = crowded(rng, old, words), crowded(rng, new, words)
    with tempfile.TemporaryDirectory() as folder:
        index = add_to_index(Path(folder) / "i.arrow", index_hashes, named(old, "old"), "phash")
    found = nearest(index, hashes, k)

    def apart(ones: Hashes, other: Hashes) -> npt.NDArray[np.int64]:
        bits = np.bitwise_count(ones ^ other)
        return (bits if bits.ndim == 1 else bits.sum(axis=1)).astype(np.int64)

    for place in range(new):
        for others, at, bits in (
            (index.hashes, found.indexed, found.indexed_bits),
            (hashes[:place], found.earlier, found.earlier_bits),
        ):
            distances = apart(others, hashes[place])
            if distances.size and distances.min() <= k:
                assert (at[place], bits[place]) == (distances.argmin(), distances.min())
            else:
                assert at[place] == -1


def test_the_command_finds_adds_and_tells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "monday.csv").write_text("id,phash\nm1,00000000000000ff\nm2,ffff000000000000\n")
    (tmp_path / "tuesday.csv").write_text(
        "id,phash\nt1,00000000000000fe\nt1,00000000000000fe\nt2,1234567812345678\nt3,1234567812345679\nt4,00000000000000ff\n"
    )
    command = ["dedup", str(tmp_path / "monday.csv"), "--against", str(tmp_path / "seen.arrow"), "--distance", "4"]
    with pytest.raises(SystemExit) as refused:
        main(command)
    assert refused.value.code == 2
    assert "--add makes one" in capsys.readouterr().err
    with pytest.raises(SystemExit) as done:
        main([*command, "--add"])
    assert done.value.code == 0
    out = tmp_path / "near.parquet"
    command[1] = str(tmp_path / "tuesday.csv")
    with pytest.raises(SystemExit):
        main([*command, "--add", "--out", str(out), "--json"])
    told = json.loads(capsys.readouterr().out.split("\n", 2)[2])
    assert told == {"hashes": 4, "near_index": 2, "near_earlier": 1, "new": 1, "index": 5}
    assert [tuple(row.values()) for row in pq.read_table(out).to_pylist()] == [
        ("t1", "m1", "index", 1),
        ("t2", None, None, None),
        ("t3", "t2", "earlier", 1),
        ("t4", "m1", "index", 0),
    ]


@pytest.mark.parametrize("more", [[], ["--add"]])
def test_a_file_that_is_not_there_is_named_before_an_index_that_is_not_there(
    more: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = tmp_path / "monday.csv"
    with pytest.raises(SystemExit) as refused:
        main(["dedup", str(new), "--against", str(tmp_path / "seen.arrow"), *more])
    assert refused.value.code == 2
    assert capsys.readouterr().err == f"sluice: {new}: there is no such file of hashes\n"
    assert not list(tmp_path.iterdir())


def test_an_index_is_a_reference_set(tmp_path: Path) -> None:
    add_to_index(tmp_path / "seen.arrow", np.array([3, 1], np.uint64), ["three", "one"], "phash")
    hashes, keys = load_hashes(tmp_path / "seen.arrow")
    assert (hashes.tolist(), keys) == ([1, 3], ["one", "three"])


def test_pdq_hashes_are_read_from_their_digits(tmp_path: Path) -> None:
    digits = f"{1 << 200 | 5:064x}"
    (tmp_path / "pdq.csv").write_text(f"key,pdq\na,{digits}\nb,{'f' * 64}\n")
    hashes, _ = load_hashes(tmp_path / "pdq.csv", "pdq", bits=None)
    assert hashes.tolist() == [[5, 0, 0, 1 << 8], [2**64 - 1] * 4]
    with pytest.raises(SourceError, match="expected hashes of 64 bits, found 256"):
        load_hashes(tmp_path / "pdq.csv", "pdq")
    found = deduplicate(tmp_path / "pdq.csv", tmp_path / "i.arrow", column="pdq", distance=31, add=True)
    assert (found.new, open_index(tmp_path / "i.arrow").bits) == (2, 256)
    (tmp_path / "odd.csv").write_text(f"key,pdq\na,{digits}\nb,{'f' * 63}\n")
    with pytest.raises(SourceError, match="64 hexadecimal digits throughout"):
        load_hashes(tmp_path / "odd.csv", "pdq", bits=None)


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "seen.arrow"
    add_to_index(path, np.array([1], np.uint64), ["one"], "phash")
    with pytest.raises(SourceError, match="not dhash of 64"):
        add_to_index(path, np.array([1], np.uint64), ["one"], "dhash")
    with pytest.raises(SourceError, match="not phash of 256"):
        add_to_index(path, np.zeros((1, 4), np.uint64), ["one"], "phash")
    (tmp_path / "new.csv").write_text("dhash\n00000000000000ff\n")
    with pytest.raises(SourceError, match="dhash of 64 bits, the index"):
        deduplicate(tmp_path / "new.csv", path, column="dhash")
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, pa.schema([("a", pa.int8())])):
        pass
    with pytest.raises(SourceError, match="no index of hashes that"):
        open_index(path)
    path.write_bytes(b"ARROW1")
    with pytest.raises(SourceError, match="can be read"):
        open_index(path)


_KILLED = """
import os, sys
from pathlib import Path
import numpy as np
import pyarrow as pa
from sluice.corpus import hash_index
from sluice.table import commit
step = sys.argv[2]
if step == "writing":
    pa.OSFile = lambda *a, **k: os.kill(os.getpid(), 9)
elif step == "flushing":
    commit._flush = lambda path: os.kill(os.getpid(), 9)
else:
    Path.replace = lambda *a: os.kill(os.getpid(), 9)
hash_index.add_to_index(Path(sys.argv[1]), np.arange(9, dtype=np.uint64), [str(i) for i in range(9)], "phash")
"""


@pytest.mark.parametrize("step", ["writing", "flushing", "renaming"])
def test_a_killed_addition_leaves_the_index_as_it_was(step: str, tmp_path: Path) -> None:
    path = tmp_path / "seen.arrow"
    add_to_index(path, np.array([1, 2], np.uint64), ["one", "two"], "phash")
    before = path.read_bytes()
    killed = subprocess.run([sys.executable, "-c", _KILLED, str(path), step], check=False, capture_output=True)
    assert killed.returncode == -9, killed.stderr.decode()
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 2, "what it had begun to write"
    assert len(add_to_index(path, np.arange(9, dtype=np.uint64), [str(place) for place in range(9)], "phash")) == 9
    assert [left.name for left in tmp_path.iterdir()] == ["seen.arrow"]


def test_what_an_addition_that_lives_has_begun_to_write_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "seen.arrow"
    one, other = (np.array([number], np.uint64) for number in (1, 2))
    plain = pa.ipc.new_file

    def another_adds(file: pa.OSFile, schema: pa.Schema) -> pa.RecordBatchFileWriter:
        monkeypatch.setattr(pa.ipc, "new_file", plain)
        assert len(add_to_index(path, other, ["two"], "phash")) == 1
        return plain(file, schema)

    monkeypatch.setattr(pa.ipc, "new_file", another_adds)
    assert len(add_to_index(path, one, ["one"], "phash")) == 1
    assert [left.name for left in tmp_path.iterdir()] == ["seen.arrow"]
