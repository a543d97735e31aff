"""img2dataset output, tar and Parquet: what was fetched, what was not, and all that was noted of either."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import webdataset

from sluice.errors import SourceError
from sluice.sources.detect import detect

# As img2dataset 1.47.0 writes them, run over a server on loopback that lacks some images, breaks some and forbids some
# (`X-Robots-Tag: noai`): the columns that the user asked to keep, then its own; rows in the order in which downloads
# ended; keys of five digits of the shard and as many as its samples need; the image column, where there is one, last.
SCHEMA = pa.schema(
    [("LICENSE", pa.string()), ("opt_out", pa.bool_()), ("tags", pa.list_(pa.string()))]
    + [(name, pa.string()) for name in ("caption", "url", "key", "status", "error_message")]
    + [(name, pa.int32()) for name in ("width", "height", "original_width", "original_height")]
    + [(name, pa.string()) for name in ("exif", "sha256")]
)
LOST = {
    1: ("failed_to_download", "HTTP Error 404: Not Found"),
    3: ("failed_to_resize", "Image decoding error"),
    4: ("failed_to_download", "Use of image disallowed by X-Robots-Tag directive"),
}
ORDER = (2, 0, 1, 5, 4, 3)


def rows(shard: int = 0) -> list[dict]:
    """The table of a shard: rows 1, 3 and 4 could not be had, row 5 has no caption."""
    noted = []
    for at in ORDER:
        status, message = LOST.get(at, ("success", None))
        lost = at in LOST
        noted.append(
            {
                "LICENSE": "MIT",
                "opt_out": at == 4,
                "tags": ["a", "b"],
                "caption": f"kite {at} é" if at != 5 else None,
                "url": f"http://x/{at}.jpg",
                "key": f"{shard:05d}{at:02d}",
                "status": status,
                "error_message": message,
                "width": None if lost else 8,
                "height": None if lost else 8,
                "original_width": None if lost else 16,
                "original_height": None if lost else 9,
                "exif": None if lost else '{"Image Make": "x"}',
                "sha256": None if lost else f"{at:064d}",
            }
        )
    return noted


def fetched(shard: int) -> list[tuple[int, dict]]:
    return [(at, row) for at, row in zip(ORDER, rows(shard), strict=True) if row["status"] == "success"]


def note(out: Path, shard: int, noted: list[dict], schema: pa.Schema = SCHEMA) -> None:
    pq.write_table(pa.Table.from_pylist(noted, schema), out / f"{shard:05d}.parquet")
    (out / f"{shard:05d}_stats.json").write_text(json.dumps({"count": 6, "successes": 3, "failed_to_download": 2}))


@pytest.fixture
def tars(tmp_path: Path, image) -> Path:
    (tmp_path / "out").mkdir()
    for shard in range(2):
        with webdataset.TarWriter(str(tmp_path / f"out/{shard:05d}.tar")) as writer:
            for at, row in fetched(shard):
                described = json.dumps(row, indent=4)
                sample = {"__key__": row["key"], "jpg": image(at), "txt": row["caption"] or "", "json": described}
                writer.write(sample)
        note(tmp_path / "out", shard, rows(shard))
    return tmp_path


@pytest.fixture
def parquets(tmp_path: Path, image) -> Path:
    (tmp_path / "out").mkdir()
    for shard in range(2):
        held = [image(at) if at not in LOST else None for at in ORDER]
        noted = [{**row, "jpg": data} for row, data in zip(rows(shard), held, strict=True)]
        note(tmp_path / "out", shard, noted, SCHEMA.append(pa.field("jpg", pa.binary())))
    return tmp_path


@pytest.fixture
def files(tmp_path: Path, image) -> Path:
    for shard in range(2):
        folder = tmp_path / f"out/{shard:05d}"
        folder.mkdir(parents=True)
        for at, row in fetched(shard):
            (folder / f"{row['key']}.jpg").write_bytes(image(at))
            (folder / f"{row['key']}.txt").write_text(row["caption"] or "")
            (folder / f"{row['key']}.json").write_text(json.dumps(row, indent=4))
        note(tmp_path / "out", shard, rows(shard))
    return tmp_path


@pytest.mark.parametrize("layout", ["tars", "parquets", "files"])
def test_every_url_that_was_asked_for_is_accounted_for(request, layout: str, samples, pixels, texts, image) -> None:
    request.getfixturevalue(layout)
    found = samples("img2dataset", "out")
    assert list(found) == [f"{shard:05d}/{row['key']}" for shard in range(2) for row in rows(shard)]
    for place, sample in enumerate(found.values()):
        at = ORDER[place % 6]
        row = rows(place // 6)[place % 6]
        assert (sample.rights.source_url, sample.rights.licence) == (row["url"], "MIT")
        assert texts(sample) == ([row["caption"]] if row["caption"] else [])
        used = ("LICENSE", "caption", "url", "key", "error_message")
        assert sample.meta == {name: value for name, value in row.items() if name not in used}
        if row["status"] == "success":
            assert sample.failure is None
            assert pixels(sample) == [image(at)]
        else:
            said = f"{row['url']}: img2dataset says {row['status']}: {row['error_message']}"
            assert sample.failure == ("io", said)


def test_the_images_of_the_files_layout_are_watched_for_changes(files: Path, source) -> None:
    names = {file.uri.rpartition("/")[2] for file in source("img2dataset", "out").files()}
    assert names == {"00000.parquet", "00001.parquet"} | {
        f"0000{shard}0{at}.jpg" for shard in (0, 1) for at in (0, 2, 5)
    }


def test_an_image_of_the_files_layout_that_is_gone_or_has_no_row_is_accounted_for(files: Path, samples, image) -> None:
    (files / "out/00000/0000000.jpg").unlink()
    (files / "out/00001/0000177.jpg").write_bytes(image(7))
    found = samples("img2dataset", "out")
    assert "its folder does not hold its image" in found["00000/0000000"].failure[1]
    assert "has no row in" in found["00001/0000177"].failure[1]
    assert len(found) == 13


def test_a_shard_without_its_table_is_an_error(tars: Path, source) -> None:
    (tars / "out/00001.parquet").unlink()
    with pytest.raises(SourceError, match=r"00001\.tar: expected img2dataset's table .*`type: webdataset`"):
        list(source("img2dataset", "out").samples())


def test_a_table_of_another_making_is_an_error(tmp_path: Path, source) -> None:
    pq.write_table(pa.table({"jpg": [b"x"], "a": [1]}), tmp_path / "a.parquet")
    with pytest.raises(SourceError, match=r"a\.parquet: no column 'key', so img2dataset did not write it"):
        list(source("img2dataset", "a.parquet").samples())


def test_rows_and_members_that_do_not_meet_are_accounted_for(tars: Path, samples, image) -> None:
    with webdataset.TarWriter(str(tars / "out/00000.tar")) as writer:
        writer.write({"__key__": "0000000", "jpg": image(0)})
        writer.write({"__key__": "0000077", "jpg": image(7)})
    (tars / "out/00001.tar").unlink()
    found = samples("img2dataset", "out")
    assert found["00000/0000000"].failure is None
    assert "does not hold its image" in found["00000/0000002"].failure[1]
    assert "has no row in" in found["00000/0000077"].failure[1]
    assert "its shard does not hold its image" in found["00001/0000100"].failure[1]
    assert len(found) == 13


def test_the_files_layout_is_told_from_a_folder_of_images(files: Path) -> None:
    [found] = detect(str(files / "out"))
    assert found.config == {"type": "img2dataset", "path": f"{files}/out"}
