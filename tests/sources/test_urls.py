"""Lists of URLs in the layouts that are published: which column is the URL, which the caption, and what is kept."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sluice.errors import SourceError

URL = "https://example.org/a%20b.jpg"
LISTS = {
    "laion": {
        "SAMPLE_ID": [1.0],
        "URL": [URL],
        "TEXT": ["a kite"],
        "WIDTH": [9],
        "LICENSE": ["?"],
        "similarity": [0.3],
    },
    "coyo": {"id": [1], "url": [URL], "text": ["a kite"], "width": [9], "clip_similarity_vitb32": [0.3]},
    "datacomp": {"uid": ["f0"], "url": [URL], "text": ["a kite"], "original_width": [9], "sha256": ["00"]},
}


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("layout", LISTS)
def test_a_published_table_is_known_by_name_and_by_its_columns(layout, named, tmp_path, samples):
    pq.write_table(pa.table(LISTS[layout]), tmp_path / "part-0.parquet")
    [sample] = samples("urls", "part-0.parquet", **({"layout": layout} if named else {})).values()
    assert (sample.key, sample.rights.source_url, sample.rights.licence) == ("part-0/00000000", URL, None)
    assert [item.text for item in sample.items] == ["a kite"]
    used = {"URL", "url", "TEXT", "text", "LICENSE"}
    assert set(sample.meta) == set(LISTS[layout]) - used
    assert sample.failure == ("io", f"{URL}: has not been fetched")


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize(("layout", "line"), [("cc12m", f'{URL}\ta "kite'), ("cc3m", f'a "kite\t{URL}')])
def test_a_list_without_a_header_is_known_too(layout, line, named, tmp_path, samples):
    (tmp_path / "list.tsv").write_text(f"{line}\n{line}\n\nno url here\n")
    found = samples("urls", "list.tsv", **({"layout": layout} if named else {}))
    assert list(found) == ["list/00000000", "list/00000001", "list/00000003"]
    *good, bad = found.values()
    assert all(sample.rights.source_url == URL and sample.items[0].text == 'a "kite' for sample in good)
    assert bad.failure is not None and bad.failure[0] == "decode"


def test_other_columns_are_named(tmp_path, samples, source):
    row = {"photo": URL, "de": "ein Drachen", "url": "https://example.org/page", "n": 4}
    (tmp_path / "list.jsonl").write_text(json.dumps(row) + '\n{"n": 5}\n')
    found = samples("urls", "list.jsonl", url_column="photo", caption_columns=["de"])
    first, second = found.values()
    assert first.rights.source_url == URL and first.items[0].text == "ein Drachen"
    assert first.meta == {"n": 4, "page_url": "https://example.org/page"}
    assert second.failure == ("io", f"{tmp_path}/list.jsonl: row 2 names no URL")


def test_a_list_without_a_url_column_says_so(tmp_path, source):
    (tmp_path / "list.csv").write_text("path,caption\na.jpg,x\n")
    with pytest.raises(SourceError, match=r"no column with a URL .* its columns are path, caption. Name it"):
        list(source("urls", "list.csv").samples())
    with pytest.raises(SourceError, match=r"called URL or url, as `layout: laion` has"):
        list(source("urls", "list.csv", layout="laion").samples())


def test_init_finds_a_list(tmp_path):
    from sluice.sources.detect import detect

    (tmp_path / "list.csv").write_text(f"url,caption\n{URL},x\n")
    [found] = detect(str(tmp_path))
    assert found.config == {"type": "urls", "path": f"{tmp_path}/list.csv"}
