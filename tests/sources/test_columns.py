"""Parquet and Arrow files that hold the images: as `datasets` and pyarrow write them, at ingest unread."""

from __future__ import annotations

import datetime
from pathlib import Path

import datasets
import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sluice.errors import SourceError

datasets.disable_progress_bars()


@pytest.fixture
def dataset(image) -> datasets.Dataset:
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "captions": [datasets.Value("string")],
            "lang": datasets.Value("string"),
            "license": datasets.Value("string"),
            "score": datasets.Value("float32"),
        }
    )
    rows = {
        "image": [{"bytes": image(row), "path": f"{row}.jpg"} for row in range(30)],
        "captions": [[f"kite {row}", f"two {row}"] for row in range(30)],
        "lang": ["en", None, "de"] * 10,
        "license": ["MIT", ""] * 15,
        "score": [0.5, float("nan"), None] * 10,
    }
    return datasets.Dataset.from_dict(rows, features=features)


def test_what_datasets_writes_is_read(tmp_path: Path, dataset, samples, pixels, texts, image) -> None:
    dataset.to_parquet(tmp_path / "data.parquet", batch_size=7)
    dataset.save_to_disk(tmp_path / "saved", num_shards=2)
    for kind, path in (("parquet", "data.parquet"), ("arrow", "saved")):
        found = samples(kind, path)
        assert len(found) == 30
        for row, sample in enumerate(found.values()):
            assert sample.failure is None
            assert pixels(sample) == [image(row)]
            assert texts(sample) == [f"kite {row}", f"two {row}"]
            assert sample.items[1].language == ["en", None, "de"][row % 3]
            assert sample.rights.licence == ["MIT", None][row % 2]
            assert sample.meta == {"score": [0.5, None, None][row % 3]}
            assert sample.items[0].meta == {"path": f"{row}.jpg"}
    assert next(iter(samples("parquet", "data.parquet"))) == "data/00000000"


def test_remote_files_read_the_same(tmp_path: Path, dataset, samples, pixels) -> None:
    dataset.to_parquet(tmp_path / "data.parquet")
    dataset.save_to_disk(tmp_path / "saved")
    [arrow] = (tmp_path / "saved").glob("*.arrow")
    for kind, path in (("parquet", tmp_path / "data.parquet"), ("arrow", arrow)):
        with fsspec.open(f"memory://columns/{path.name}", "wb") as file:
            file.write(path.read_bytes())
        local, remote = samples(kind, str(path)), samples(kind, f"memory://columns/{path.name}")
        assert list(local) == list(remote)
        assert [pixels(sample) for sample in local.values()] == [pixels(sample) for sample in remote.values()]


def write(folder: Path, table: pa.Table, kind: str) -> str:
    if kind == "parquet":
        pq.write_table(table, folder / "t.parquet", row_group_size=3)
        return "t.parquet"
    with pa.ipc.new_file(folder / "t.arrow", table.schema) as writer:
        writer.write_table(table, max_chunksize=3)
    return "t.arrow"


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_missing_images_fail_their_row_alone(tmp_path: Path, samples, pixels, kind: str) -> None:
    (tmp_path / "there.jpg").write_bytes(b"from the file")
    cells = [
        {"bytes": b"1", "path": None},
        None,
        {"bytes": None, "path": "there.jpg"},
        {"bytes": None, "path": "gone.jpg"},
        {"bytes": None, "path": None},
        {"bytes": b"6", "path": "x.jpg"},
    ]
    found = samples(kind, write(tmp_path, pa.table({"image": cells, "text": list("abcdef")}), kind))
    failures = [sample.failure and sample.failure[0] for sample in found.values()]
    assert failures == [None, "io", None, "io", "io", None]
    first, _, third, fourth, _, last = found.values()
    assert (pixels(first), pixels(third), pixels(last)) == ([b"1"], [b"from the file"], [b"6"])
    assert "gone.jpg: no such file" in fourth.failure[1]


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
@pytest.mark.parametrize("form", ["binary", "struct"])
def test_several_images_a_row_are_several_items(tmp_path: Path, samples, pixels, texts, kind: str, form: str) -> None:
    lists = [[b"a", b"b"], [], None, [b"c"]] * 3
    if form == "struct":
        lists = [cell and [{"bytes": data, "path": None} for data in cell] for cell in lists]
    chat = [
        [{"role": "user", "content": "<image><image> compare"}, {"role": "assistant", "content": "same"}],
        [{"role": "system", "content": "be kind"}],
        None,
        [{"role": "user", "content": "<image> and <image>"}],
    ] * 3
    kinds = {"images": pa.array(lists), "messages": pa.array(chat)}
    if form == "binary":
        kinds["images"] = pa.array(lists, pa.list_(pa.large_binary()))
    found = list(samples(kind, write(tmp_path, pa.table(kinds), kind)).values())
    assert len(found) == 12
    for start in range(0, 12, 4):
        two, none, empty, wrong = found[start : start + 4]
        assert pixels(two) == [b"a", b"b"]
        assert texts(two, "human") == ["<image><image> compare"] and texts(two, "gpt") == ["same"]
        assert texts(none) == ["be kind"] and none.failure is None
        assert "neither image nor text" in empty.failure[1]
        assert "1 images, its turns call for 2" in wrong.failure[1]


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_other_columns_are_kept_as_json(tmp_path: Path, samples, kind: str) -> None:
    table = pa.table(
        {
            "jpg": [b"x"],
            "mask": [b"y"],
            "when": [datetime.datetime(2024, 5, 1, 12)],
            "boxes": [[{"x": 1, "y": 2.5}]],
            "ok": [True],
            "url": ["http://x"],
        }
    )
    [sample] = samples(kind, write(tmp_path, table, kind)).values()
    assert sample.meta == {
        "when": "2024-05-01T12:00:00",
        "boxes": [{"x": 1, "y": 2.5}],
        "ok": True,
        "other_image_columns": ["mask"],
    }
    assert sample.rights.source_url == "http://x"
    [chosen] = samples(kind, write(tmp_path, table, kind), image_column="mask", caption_columns=["url"]).values()
    assert chosen.items[0].ref.member == "mask"
    assert chosen.items[1].text == "http://x"


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_a_file_without_images_is_an_error_that_says_what_it_has(tmp_path: Path, source, kind: str) -> None:
    path = write(tmp_path, pa.table({"path": ["a.jpg"], "n": [1]}), kind)
    for options, message in (
        ({}, r"no column of images .*it has path \(string\), n \(int64\).*type: table"),
        ({"image_column": "n"}, "column 'n' is int64; expected binary"),
        ({"image_column": "x"}, "no column called 'x'"),
    ):
        with pytest.raises(SourceError, match=message):
            list(source(kind, path, **options).samples())


def test_files_of_another_format_are_an_error(tmp_path: Path, source) -> None:
    for kind in ("parquet", "arrow"):
        (tmp_path / f"no.{kind}").write_bytes(b"\x89PNG and more of it, but no table")
        with pytest.raises(SourceError, match=rf"no\.{kind}: expected"):
            list(source(kind, f"no.{kind}").samples())


def test_a_damaged_row_group_fails_its_rows_and_no_others(tmp_path: Path, samples) -> None:
    table = pa.table({"jpg": [b"x"] * 40, "text": [f"kite number {row}" for row in range(40)]})
    path = tmp_path / "t.parquet"
    pq.write_table(table, path, row_group_size=10, compression="zstd", use_dictionary=False)
    place = pq.ParquetFile(path).metadata.row_group(1).column(1).data_page_offset
    data = bytearray(path.read_bytes())
    data[place : place + 60] = b"\xff" * 60
    path.write_bytes(data)
    found = samples("parquet", "t.parquet")
    assert [row for row, sample in enumerate(found.values()) if sample.failure] == list(range(10, 20))
    assert "row group 1 is damaged" in found["t/00000012"].failure[1]


def test_a_cut_arrow_stream_is_an_error_that_says_where(tmp_path: Path, source) -> None:
    table = pa.table({"jpg": [b"x" * 1000] * 100})
    with pa.ipc.new_stream(tmp_path / "t.arrow", table.schema) as writer:
        writer.write_table(table, max_chunksize=10)
    data = (tmp_path / "t.arrow").read_bytes()
    (tmp_path / "t.arrow").write_bytes(data[: len(data) // 2])
    with pytest.raises(SourceError, match=r"t\.arrow: damaged after row \d+"):
        list(source("arrow", "t.arrow").samples())
