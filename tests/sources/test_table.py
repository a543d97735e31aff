"""Tables of image paths: every row and every image accounted for, captions kept apart and in order."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.errors import SourceError
from sluice.sources.rows import BadRow, rows

ROWS = [
    {"image_path": "im/a.jpg", "caption": 'a, "quoted"\nkite', "language": "en", "license": "MIT", "width": "8"},
    {"image_path": "im/b.jpg", "caption": "ein Hund", "language": "de", "license": "", "width": "9"},
    {"image_path": "im/none.jpg", "caption": "lost", "language": "", "license": "MIT", "width": ""},
]


@pytest.fixture
def corpus(tmp_path: Path, image) -> Path:
    (tmp_path / "im").mkdir()
    for number, name in enumerate(("a", "b", "unlisted")):
        (tmp_path / f"im/{name}.jpg").write_bytes(image(number))
    for name, delimiter in (("t.csv", ","), ("t.tsv", "\t")):
        with open(tmp_path / name, "w", newline="") as file:
            writer = csv.DictWriter(file, list(ROWS[0]), delimiter=delimiter)
            writer.writeheader()
            writer.writerows(ROWS)
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "t.parquet", row_group_size=2)
    return tmp_path


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.jsonl", "t.parquet"])
def test_every_format_of_table_gives_the_same_samples(corpus: Path, samples, texts, pixels, image, name: str) -> None:
    found = samples("table", name)
    assert list(found) == ["im/a.jpg", "im/b.jpg", "im/none.jpg", "im/unlisted.jpg"]
    assert [texts(sample) for sample in found.values()] == [['a, "quoted"\nkite'], ["ein Hund"], ["lost"], []]
    first, second, third, last = found.values()
    assert pixels(first) == [image(0)]
    assert (first.items[1].language, second.items[1].language, third.items[1].language) == ("en", "de", None)
    assert (first.rights.licence, second.rights.licence, first.meta) == ("MIT", None, {"width": "8"})
    assert third.failure is not None and third.failure[0] == "io"
    assert "no such file" in third.failure[1] and name in third.failure[1]
    assert last.failure is None
    assert list(samples("table", name, unlisted="ignore")) == ["im/a.jpg", "im/b.jpg", "im/none.jpg"]


def test_rows_in_succession_that_name_one_image_are_one_sample(corpus: Path, samples, texts) -> None:
    lines = ["im/a.jpg,one", "im/a.jpg,two", "./im/a.jpg,three", "im/b.jpg,x", "im/a.jpg,later"]
    (corpus / "f.csv").write_text("image,caption\n" + "\n".join(lines))
    found = samples("table", "f.csv", unlisted="ignore")
    assert {key: texts(sample) for key, sample in found.items()} == {
        "im/a.jpg": ["one", "two", "three"],
        "im/b.jpg": ["x"],
        "im/a.jpg#2": ["later"],
    }


def test_lists_and_numbered_columns_are_captions_in_order(corpus: Path, samples, texts) -> None:
    row = {"file_name": "im/a.jpg", "captions": ["one", "two"], "caption_2": "three", "title": "not one"}
    (corpus / "l.jsonl").write_text(json.dumps(row))
    sample = samples("table", "l.jsonl", unlisted="ignore")["im/a.jpg"]
    assert texts(sample) == ["one", "two", "three"]
    assert sample.meta == {"title": "not one"}
    chosen = samples("table", "l.jsonl", unlisted="ignore", caption_columns=["title"])["im/a.jpg"]
    assert texts(chosen) == ["not one"]
    assert chosen.meta == {"captions": ["one", "two"], "caption_2": "three"}


def test_bad_rows_fail_alone(corpus: Path, samples) -> None:
    (corpus / "bad.csv").write_bytes(
        b'path,caption\nim/a.jpg,x\nim/b.jpg\n,y\nim/b.jpg,"a" stray\nim/b.jpg,caf\xe9\nim/b.jpg,z\n'
    )
    found = samples("table", "bad.csv", unlisted="ignore")
    assert {key: sample.failure and sample.failure[0] for key, sample in found.items()} == {
        "im/a.jpg": None,
        "bad.csv:2": "decode",
        "bad.csv:3": "io",
        "bad.csv:4": "decode",
        "bad.csv:5": "decode",
        "im/b.jpg": None,
    }
    assert "bad.csv:6: not UTF-8" in found["bad.csv:5"].failure[1]
    assert "bad.csv:3: 1 columns, the header names 2" in found["bad.csv:2"].failure[1]


def test_a_row_that_cannot_be_read_does_not_spoil_another_of_its_image(corpus: Path, samples) -> None:
    (corpus / "bad.jsonl").write_bytes(
        b'{"path": "im/a.jpg", "text": "x"}\n{oops\n[1]\n\n{"path": 5}\n{"text": "y"}\n'
        b'{"path": "im/b.jpg", "text": "\xe9"}\n'
    )
    found = samples("table", "bad.jsonl", unlisted="ignore")
    failures = {key: sample.failure and sample.failure[0] for key, sample in found.items()}
    assert failures == {
        "im/a.jpg": None,
        "bad.jsonl:2": "decode",
        "bad.jsonl:3": "decode",
        "bad.jsonl:5": "io",
        "bad.jsonl:6": "io",
        "bad.jsonl:7": "decode",
    }
    assert "bad.jsonl:2: malformed JSON" in found["bad.jsonl:2"].failure[1]


def test_a_quote_that_is_never_closed_is_told(corpus: Path, samples) -> None:
    (corpus / "q.csv").write_text('path,caption\nim/a.jpg,x\nim/b.jpg,"open\n' + "im/b.jpg,y\n" * 5)
    found = samples("table", "q.csv", unlisted="ignore")
    assert found["q.csv:2"].failure is not None


def test_lone_surrogates_fail_their_sample(corpus: Path, samples) -> None:
    lines = [
        '{"path": "im/a.jpg", "text": "\\ud83d\\ude00", "other": {"deep": ["\\ud83d\\ude00"]}}',
        '{"path": "im/b.jpg", "text": "\\ud800"}',
        '{"path": "\\uDFFF.jpg", "text": "x"}',
        '{"path": "im/b.jpg", "text": "x", "other": {"deep": ["\\ud800"]}}',
    ]
    (corpus / "s.jsonl").write_text("\n".join(lines))
    found = samples("table", "s.jsonl", unlisted="ignore")
    assert [sample.failure and sample.failure[0] for sample in found.values()] == [None, "decode", "decode", "decode"]
    assert found["im/a.jpg"].items[1].text == "😀"
    for key, sample in found.items():
        (key + str(sample.failure)).encode()


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("a,b\n1,2\n", {}, r"t2\.csv: no column with the path of the image .*columns are a, b.*path_column"),
        ("path,b\n1,2\n", {"path_column": "where"}, r"no column called 'where'; its columns are path, b"),
        ("path,b\n1,2\n", {"caption_columns": ["c"]}, r"no column called 'c'.*its columns are path, b"),
        ("", {}, "empty; expected a header line"),
        ("a,a\n1,2\n", {}, "a different name for each column"),
    ],
)
def test_a_table_that_is_not_as_the_recipe_says_is_an_error(corpus: Path, source, text, options, message) -> None:
    (corpus / "t2.csv").write_text(text)
    with pytest.raises(SourceError, match=message):
        list(source("table", "t2.csv", **options).samples())


def test_a_table_of_another_format_is_an_error(corpus: Path, source) -> None:
    (corpus / "x.parquet").write_text("path,caption\n")
    with pytest.raises(SourceError, match=r"x\.parquet: expected a Parquet file"):
        list(source("table", "x.parquet").samples())
    (corpus / "x.xlsx").write_text("x")
    with pytest.raises(SourceError, match=r"x\.xlsx: expected a table that ends in \.csv"):
        list(source("table", "x.xlsx").samples())


def test_what_the_recipe_says_fills_what_the_rows_leave_open(corpus: Path, samples) -> None:
    found = samples(
        "table", "t.csv", licence="CC0-1.0", dataset="mine", language="fr", author="Ann", fetched="2024-01-01"
    )
    first, second, third, _ = found.values()
    assert (first.rights.licence, second.rights.licence, second.rights.dataset) == ("MIT", "CC0-1.0", "mine")
    assert (second.items[1].language, third.items[1].language, third.items[0].language) == ("de", "fr", None)


def test_images_may_lie_elsewhere_or_be_urls(corpus: Path, samples, pixels, image) -> None:
    with fsspec.open("memory://far/z.jpg", "wb") as file:
        file.write(image(9))
    (corpus / "lists").mkdir()
    (corpus / "lists/t.csv").write_text(f"path,caption\na.jpg,x\nmemory://far/z.jpg,y\n{corpus}/im/b.jpg,z\n")
    found = samples("table", "lists/t.csv", images="im", unlisted="ignore")
    assert [pixels(sample) for sample in found.values()] == [[image(0)], [image(9)], [image(1)]]
    assert list(found) == ["a.jpg", "memory://far/z.jpg", "b.jpg"]


def test_another_delimiter_may_part_the_columns(corpus: Path, samples, texts, source) -> None:
    (corpus / "f.csv").write_text("image_name| comment_number| comment\nim/a.jpg| 0| a kite, red\nim/a.jpg| 1| two\n")
    found = samples("table", "f.csv", delimiter="|", unlisted="ignore")
    assert {key: texts(sample) for key, sample in found.items()} == {"im/a.jpg": [" a kite, red", " two"]}
    with pytest.raises(SourceError, match=r"its columns are image_name\| comment_number\| comment"):
        list(source("table", "f.csv").samples())


def test_several_tables_are_one_source(corpus: Path, samples) -> None:
    for number, name in enumerate(("a", "b")):
        (corpus / f"part-{number}.csv").write_text(f"path,caption\nim/{name}.jpg,x\nbad\n")
    found = samples("table", "part-{0..1}.csv", unlisted="ignore")
    assert list(found) == ["im/a.jpg", "part-0.csv:2", "im/b.jpg", "part-1.csv:2"]


@settings(deadline=None)
@given(st.lists(st.tuples(st.text("ab,\"\n\r é'", max_size=5), st.text(max_size=5)), max_size=8))
def test_csv_is_read_as_the_csv_module_writes_it(tmp_path_factory, written) -> None:
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    rows_written = [pair for pair in written if all(text.encode("utf-8", "ignore").decode() == text for text in pair)]
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["x", "y"])
        writer.writerows(rows_written)
    assert [values for _, _, values in rows(str(path)) if not isinstance(values, BadRow)] == rows_written
