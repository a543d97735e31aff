"""img2dataset output, tar and Parquet: what was fetched, what was not, and all that was noted of either."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import webdataset

from sluice.errors import SourceError

SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("url", "caption", "key", "status", "error_message", "exif", "sha256", "LICENSE")]
    + [("width", pa.int32()), ("opt_out", pa.bool_())]
)


def rows() -> list[dict]:
    """As img2dataset notes them: rows 1 and 3 could not be had."""
    noted = []
    for at in range(5):
        lost = at in (1, 3)
        noted.append(
            {
                "url": f"http://x/{at}.jpg",
                "caption": f"kite {at}",
                "key": f"{at:09d}",
                "status": "failed_to_download" if at == 1 else "failed_to_resize" if at == 3 else "success",
                "error_message": "HTTP Error 404: Not Found" if at == 1 else "too small" if at == 3 else None,
                "exif": None if lost else '{"Make": "x"}',
                "sha256": None if lost else f"{at:064d}",
                "LICENSE": "MIT",
                "width": None if lost else 8,
                "opt_out": at == 4,
            }
        )
    return noted


@pytest.fixture
def tars(tmp_path: Path, image) -> Path:
    (tmp_path / "out").mkdir()
    for shard in range(2):
        with webdataset.TarWriter(str(tmp_path / f"out/{shard:05d}.tar")) as writer:
            for at, row in enumerate(rows()):
                if row["status"] == "success":
                    writer.write({"__key__": row["key"], "jpg": image(at), "txt": row["caption"], "json": row})
        pq.write_table(pa.Table.from_pylist(rows(), SCHEMA), tmp_path / f"out/{shard:05d}.parquet")
        (tmp_path / f"out/{shard:05d}_stats.json").write_text(json.dumps({"count": 5}))
    return tmp_path


@pytest.fixture
def parquets(tmp_path: Path, image) -> Path:
    (tmp_path / "out").mkdir()
    noted = [{**row, "jpg": image(at) if row["status"] == "success" else None} for at, row in enumerate(rows())]
    schema = SCHEMA.append(pa.field("jpg", pa.binary()))
    for shard in range(2):
        pq.write_table(pa.Table.from_pylist(noted, schema), tmp_path / f"out/{shard:05d}.parquet")
    return tmp_path


@pytest.mark.parametrize("layout", ["tars", "parquets"])
def test_every_url_that_was_asked_for_is_accounted_for(request, layout: str, samples, pixels, texts, image) -> None:
    request.getfixturevalue(layout)
    found = samples("img2dataset", "out")
    assert list(found) == [f"{shard:05d}/{at:09d}" for shard in range(2) for at in range(5)]
    for place, sample in enumerate(found.values()):
        at = place % 5
        row = rows()[at]
        assert (sample.rights.source_url, sample.rights.licence) == (row["url"], "MIT")
        assert texts(sample) == [row["caption"]]
        assert {name: sample.meta[name] for name in ("status", "exif", "sha256", "width", "opt_out")} == {
            name: row[name] for name in ("status", "exif", "sha256", "width", "opt_out")
        }
        if row["status"] == "success":
            assert sample.failure is None
            assert pixels(sample) == [image(at)]
        else:
            said = f"{row['url']}: img2dataset says {row['status']}: {row['error_message']}"
            assert sample.failure == ("io", said)


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
        writer.write({"__key__": "000000000", "jpg": image(0)})
        writer.write({"__key__": "000000077", "jpg": image(7)})
    (tars / "out/00001.tar").unlink()
    found = samples("img2dataset", "out")
    assert found["00000/000000000"].failure is None
    assert "does not hold its image" in found["00000/000000002"].failure[1]
    assert "has no row in" in found["00000/000000077"].failure[1]
    assert "its shard does not hold its image" in found["00001/000000000"].failure[1]
    assert len(found) == 11
