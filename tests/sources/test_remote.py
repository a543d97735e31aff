"""Sources behind URLs against the same data on a disk: S3 from moto's server, HTTP from a server with ranges."""

from __future__ import annotations

import io
import json
import random
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.errors import MissingExtraError, SampleFailure, SourceError
from sluice.sources import RawSample
from sluice.sources.tar import members, open_tar
from sluice.table import remote
from sluice.table.refs import Ref, RefReader
from support.formats import CAPTIONS, IMAGES, SOURCES, SUFFIX, loose
from support.s3 import BUCKET, Service
from support.web import Site, website


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    (tmp_path / "site").mkdir()
    with website(tmp_path / "site") as served:
        yield served


def csv_table(base: Path) -> dict[str, Any]:
    loose(base / "images")
    lines = [f"images/{key}{SUFFIX[key]},{CAPTIONS[key]!r}" for key in IMAGES]
    (base / "captions.csv").write_text(
        "path,caption\n" + "\n".join(f"{line.replace(chr(39), chr(34))}" for line in lines)
    )
    return {"type": "table", "path": "captions.csv"}


def parquet_table(base: Path) -> dict[str, Any]:
    loose(base / "images")
    names = [f"{key}{SUFFIX[key]}" for key in IMAGES]
    pq.write_table(
        pa.table({"path": [*names[:-2], "none.jpg"], "caption": list(CAPTIONS.values())[:-1]}), base / "t.parquet"
    )
    return {"type": "table", "path": "t.parquet", "images": "images"}


def described_folder(base: Path) -> dict[str, Any]:
    loose(base / "images/below")
    for key in IMAGES:
        facts = {"caption": CAPTIONS[key], "license": "CC0-1.0", "shot": key}
        (base / f"images/below/{key}.json").write_text(json.dumps(facts))
    (base / "images/below/000.txt").write_text("")  # an object of no bytes has no first byte
    (base / "images/below/lone.txt").write_text("of no image")
    return {"type": "folder", "path": "images"}


def globbed_folder(base: Path) -> dict[str, Any]:
    return {**described_folder(base), "path": "images/**/*.[jp][pn]g"}


def long_range(base: Path) -> dict[str, Any]:
    for number, (key, data) in enumerate(IMAGES.items()):
        with tarfile.open(base / f"{number:02d}.tar", "w") as tar:
            info = tarfile.TarInfo(f"{key}{SUFFIX[key]}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return {"type": "webdataset", "path": "{00..11}.tar"}


def paths_without_bytes(base: Path) -> dict[str, Any]:
    loose(base / "images")
    images = [{"bytes": None, "path": f"images/{key}{SUFFIX[key]}"} for key in IMAGES] + [
        {"bytes": None, "path": "x.jpg"}
    ]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pq.write_table(pa.table({"image": pa.array(images, kind)}), base / "data.parquet")
    return {"type": "parquet", "path": "*.parquet"}


LAYOUTS = SOURCES | {
    "csv table": csv_table,
    "parquet table": parquet_table,
    "folder with JSON": described_folder,
    "glob of images": globbed_folder,
    "range of twelve shards": long_range,
    "parquet of paths": paths_without_bytes,
}


def moved(config: dict[str, Any], url: str) -> dict[str, Any]:
    """The source `config` with its data behind `url`."""
    places = {name: f"{url}/{config[name]}" for name in ("path", "images", "annotations") if name in config}
    return {**config, **places, "name": "moved"}


def opened(source, config: dict[str, Any]):
    return source(config["type"], **{name: value for name, value in config.items() if name != "type"})


def contents(samples: list[RawSample]) -> list[list[bytes]]:
    """The bytes of the images of each sample, read by ref."""
    with RefReader(2**24) as reader:
        return [
            [reader.read(item.ref) for item in sample.items if item.ref] for sample in samples if not sample.failure
        ]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_source_on_s3_gives_what_it_gives_on_a_disk(tmp_path: Path, s3: Service, source, layout: str) -> None:
    config = {**LAYOUTS[layout](tmp_path), "name": "moved"}
    url = s3.upload(tmp_path, layout.replace(" ", "-"))
    here, there = opened(source, config), opened(source, moved(config, url))
    kept, found = list(here.samples()), list(there.samples())
    # places alone may differ, and whole they may not
    assert repr(found).replace(url, "@") == repr(kept).replace(str(tmp_path), "@")
    assert contents(found) == contents(kept)
    listed = [(file.uri.removeprefix(url), file.size) for file in there.files()]
    assert listed == [(file.uri.removeprefix(str(tmp_path)), file.size) for file in here.files()]
    assert all(file.stamp for file in there.files())


def test_globs_and_ranges_mean_on_s3_what_they_mean_on_a_disk(tmp_path: Path, s3: Service, source) -> None:
    for name in ("a/1.tar", "a/2.tar", "a/b/3.tar", "b/1.tar", "b/[x] #+ é.tar", ".hidden/4.tar"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(path, "w") as tar:
            tar.addfile(tarfile.TarInfo(f"{path.stem}.jpg"))
    url = s3.upload(tmp_path, "globs")
    s3.put("globs/a/", b"")  # how consoles make a folder
    for pattern in ("**/*.tar", "*/?.tar", "a/[12].tar", "{a,b}/1.tar", "a/{1..2}.tar", "b", "b/*"):
        here = [file.uri.removeprefix(str(tmp_path)) for file in source("webdataset", pattern).files()]
        there = [file.uri.removeprefix(url) for file in source("webdataset", f"{url}/{pattern}").files()]
        assert here == there
        assert here


def test_a_long_range_costs_a_listing_and_not_a_request_a_name(tmp_path: Path, s3: Service, source) -> None:
    url = s3.upload(tmp_path, "range")
    for number in range(40):
        s3.put(f"range/{number:02d}.tar", bytes(10240))
    s3.requests.clear()
    assert len(source("webdataset", url + "/{00..39}.tar").files()) == 40
    assert len(s3.requests) == 1
    with pytest.raises(SourceError, match=r"range/40\.tar: no such file"):
        source("webdataset", url + "/{00..40}.tar").files()


def test_what_a_wrong_url_needs_is_said(s3: Service, source) -> None:
    for kind, path in (("folder", "s3://nosuchbucket/x"), ("parquet", "s3://nosuchbucket/x.parquet")):
        with pytest.raises(
            SourceError, match=r"s3://nosuchbucket/x.*no such bucket; check its name, and AWS_ENDPOINT_URL"
        ):
            list(source(kind, path).samples())
    with pytest.raises(SourceError, match=rf"s3://{BUCKET}/none\.tar: nothing found there"):
        list(source("webdataset", f"s3://{BUCKET}/none.tar").samples())
    s3.put("coco.json", b'{"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": []}')
    with pytest.raises(SourceError, match="nothing lies below this folder of images"):
        list(source("coco", f"s3://{BUCKET}/coco.json", images=f"s3://{BUCKET}/nowhere").samples())


def test_denied_credentials_are_an_error_that_names_them(s3: Service, source) -> None:
    s3.put("denied/a.jpg", b"x")
    with s3.only_known_users():
        for kind in ("folder", "webdataset"):
            with pytest.raises(SourceError, match=r"s3://corpus/denied.*access denied.*check that the credentials may"):
                list(source(kind, f"s3://{BUCKET}/denied").samples())
    missing = r"s3://corpus/denied.*no credentials found; set AWS_ACCESS_KEY_ID"
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.delenv(name)
        afresh()
        with pytest.raises(SourceError, match=missing):
            list(source("folder", f"s3://{BUCKET}/denied").samples())
    afresh()


def afresh() -> None:
    """Forget the clients made so far: they keep the environment in which they were made."""
    import s3fs

    remote._system_of.cache_clear()
    s3fs.S3FileSystem.clear_instance_cache()


def test_an_object_that_vanishes_or_changes_its_length_is_a_failure_of_io(s3: Service) -> None:
    s3.put("gone.jpg", b"12345678")
    s3.put("gone.tar", bytes(10240))
    file, member = (
        Ref("file", f"s3://{BUCKET}/gone.jpg", None, None, 8),
        Ref("tar", f"s3://{BUCKET}/gone.tar", "a", 512, 9000),
    )

    def said(ref: Ref) -> str:
        with RefReader(2**20) as reader, pytest.raises(SampleFailure) as failure:
            reader.read(ref)
        assert failure.value.failure_class == "io"
        return failure.value.message

    s3.put("gone.jpg", b"1234")
    assert said(file) == "s3://corpus/gone.jpg: had 8 bytes when it was listed, now has 4 bytes"
    s3.put("gone.jpg", b"1234567890")
    assert said(file) == "s3://corpus/gone.jpg: had 8 bytes when it was listed, now is longer"
    s3.put("gone.tar", bytes(1024))
    assert said(member) == "s3://corpus/gone.tar (a): ends after 512 of 9,000 bytes"
    s3.delete("gone.jpg")
    s3.delete("gone.tar")
    assert said(file) == "s3://corpus/gone.jpg: no such file"
    assert said(member) == "s3://corpus/gone.tar (a): no such file"
    assert said(Ref("file", "s3://nosuchbucket/a.jpg")).startswith("s3://nosuchbucket/a.jpg: there is no such bucket")


def test_no_read_takes_more_than_it_may(s3: Service) -> None:
    s3.put("large.jpg", bytes(2**20))
    s3.requests.clear()
    with RefReader(1000) as reader, pytest.raises(SampleFailure, match=r"too_large: .*the limit is 1,000"):
        reader.read(Ref("file", f"s3://{BUCKET}/large.jpg"))
    assert sum(request.bytes for request in s3.requests) == 1001


def test_a_server_that_fails_for_a_moment_is_asked_again(tmp_path: Path, s3: Service, site: Site) -> None:
    data = bytes(range(256)) * 100
    s3.put("flaky.jpg", data)
    (site.folder / "flaky.jpg").write_bytes(data)
    left = {"s3": 2, "site": 2}

    def s3_trouble(environ: dict[str, Any]) -> int | None:
        left["s3"] -= 1
        return 503 if left["s3"] >= 0 else None

    def site_trouble(path: str) -> int | None:
        left["site"] -= 1
        return 503 if left["site"] >= 0 else None

    s3.trouble, site.trouble = s3_trouble, site_trouble
    with RefReader(2**20) as reader:
        assert reader.read(Ref("file", f"s3://{BUCKET}/flaky.jpg", None, None, len(data))) == data
        assert reader.read(Ref("file", f"{site.url}/flaky.jpg")) == data
    assert site.answers == {("GET", 503): 2, ("GET", 200): 1}


def test_a_server_that_goes_on_failing_is_given_up_after_three_tries(site: Site) -> None:
    site.trouble = lambda path: 503
    started = time.perf_counter()
    with RefReader(2**20) as reader, pytest.raises(SampleFailure, match=r"io: .*a\.jpg: the server answers HTTP 503"):
        reader.read(Ref("file", f"{site.url}/a.jpg"))
    assert site.answers == {("GET", 503): 3}
    assert time.perf_counter() - started < 5


def test_reading_a_tar_in_order_costs_a_request_every_few_megabytes(tmp_path: Path, s3: Service, source) -> None:
    path = tmp_path / "big.tar"
    with tarfile.open(path, "w") as tar:
        for number in range(200):
            info = tarfile.TarInfo(f"{number:04d}.jpg")
            info.size = 50_000 + number
            tar.addfile(info, io.BytesIO(bytes([number]) * info.size))
    url = s3.upload(tmp_path, "big")
    s3.requests.clear()
    samples = list(source("webdataset", f"{url}/big.tar").samples())
    asked = [request for request in s3.requests if request.method == "GET"]
    assert len(asked) < 12
    assert sum(request.bytes for request in asked) <= path.stat().st_size
    s3.requests.clear()
    for at, (data,) in enumerate(contents(samples)):
        assert data == bytes([at]) * (50_000 + at)
    asked = [request for request in s3.requests if request.method == "GET"]
    assert len(asked) < 12
    assert sum(request.bytes for request in asked) <= path.stat().st_size  # no byte comes twice
    s3.requests.clear()
    contents(samples[100:101])
    assert sum(request.bytes for request in s3.requests) <= 2**16  # a lone member costs little more than itself


def test_large_members_are_passed_over_when_headers_are_read(tmp_path: Path, s3: Service) -> None:
    path = tmp_path / "large.tar"
    with tarfile.open(path, "w") as tar:
        for number in range(4):
            info = tarfile.TarInfo(f"{number}.jpg")
            info.size = 5 * 2**20
            tar.addfile(info, io.BytesIO(bytes(info.size)))
    url = s3.upload(tmp_path, "large")
    s3.requests.clear()
    with open_tar(f"{url}/large.tar") as tar:
        assert [member.name for member in members(tar)] == ["0.jpg", "1.jpg", "2.jpg", "3.jpg"]
    assert sum(request.bytes for request in s3.requests) < 5 * 2**16 + 1


def test_the_footer_and_the_texts_of_a_parquet_are_read_and_not_its_images(tmp_path: Path, s3: Service, source) -> None:
    images = [bytes([number]) * 200_000 for number in range(40)]
    table = pa.table({"image": images, "caption": [f"caption {number}" for number in range(40)]})
    pq.write_table(table, tmp_path / "data.parquet", compression="none", row_group_size=20, use_dictionary=False)
    url = s3.upload(tmp_path, "parquet")
    s3.requests.clear()
    samples = list(source("parquet", f"{url}/data.parquet").samples())
    assert sum(request.bytes for request in s3.requests) < 300_000
    assert contents(samples) == [[data] for data in images]


_BYTES = random.Random(7).randbytes(700_000)
_place = st.integers(0, len(_BYTES) + 1000)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(_place, st.one_of(st.integers(0, 3000), _place)), max_size=12), st.booleans())
def test_any_reads_in_any_order_give_the_bytes_that_lie_there(reads: list[tuple[int, int]], small: bool) -> None:
    fsspec.filesystem("memory").pipe("/any/bytes", _BYTES)
    limits = {"_LEAST_AHEAD": 512, "_MOST_AHEAD": 8192, "_GAP": 2048} if small else {}
    with pytest.MonkeyPatch.context() as patch, remote.RemoteFile("memory://any/bytes") as file:
        for name, value in limits.items():
            patch.setattr(remote, name, value)
        for offset, count in reads:
            assert file.at(offset, count) == _BYTES[offset : offset + count]
            assert len(file._window) <= sum(limits.values()) or not small
        assert file.seek(600_000) == 600_000
        assert file.read(7) + b"".join(iter(lambda: file.read1(999), b"")) == _BYTES[600_000:]
        assert file.readline() == b""


def test_lines_are_read_as_from_a_disk() -> None:
    text = b"".join(b"line %d " % number + b"x" * (number * 37 % 2000) + b"\n" for number in range(500)) + b"no end"
    fsspec.filesystem("memory").pipe("/any/lines", text)
    with remote.RemoteFile("memory://any/lines") as file:
        assert list(file) == list(io.BytesIO(text))


@pytest.mark.parametrize("layout", ["webdataset", "parquet", "arrow", "long_range", "table"])
def test_a_source_on_the_web_gives_what_it_gives_on_a_disk(tmp_path: Path, site: Site, source, layout: str) -> None:
    config = {**(LAYOUTS | {"long_range": long_range})[layout](site.folder), "name": "moved"}
    here = opened(source, {**config, "path": f"{site.folder}/{config['path']}"})
    there = opened(source, moved(config, site.url))
    kept, found = list(here.samples()), list(there.samples())
    said = repr(kept).replace(str(site.folder), "@")
    if layout == "table":  # nothing on the web is asked for its length, file by file, before it is read
        for key, data in IMAGES.items():
            said = said.replace(
                f"{key}{SUFFIX[key]}', member=None, offset=None, size={len(data)}",
                f"{key}{SUFFIX[key]}', member=None, offset=None, size=None",
            )
    assert repr(found).replace(site.url, "@") == said
    assert contents(found) == contents(kept)
    assert all(file.stamp for file in there.files())


def test_a_table_of_absolute_urls_is_read_from_where_they_lead(tmp_path: Path, site: Site, s3: Service, source) -> None:
    loose(site.folder / "images")
    lines = [
        json.dumps({"url_of_image": f"{site.url}/images/{key}{SUFFIX[key]}?v=1", "caption": key}) for key in IMAGES
    ]
    (tmp_path / "table").mkdir()
    (tmp_path / "table/t.jsonl").write_text("\n".join(lines))
    samples = list(source("table", "table/t.jsonl", path_column="url_of_image").samples())
    assert contents(samples) == [[data] for data in IMAGES.values()]
    url = s3.upload(site.folder, "absolute")
    rows = [json.dumps({"path": f"{url}/images/{key}{SUFFIX[key]}", "caption": key}) for key in IMAGES]
    s3.put("absolute/t.jsonl", "\n".join(rows).encode())
    samples = list(source("table", f"{url}/t.jsonl", images=f"{url}/images").samples())
    assert [sample.key for sample in samples] == [f"{key}{SUFFIX[key]}" for key in IMAGES]  # named once, not twice
    assert contents(samples) == [[data] for data in IMAGES.values()]


def test_what_a_web_server_refuses_or_lacks_is_said(tmp_path: Path, site: Site, source) -> None:
    with pytest.raises(SourceError, match=rf"{site.url}/none\.tar.*no such file"):
        list(source("webdataset", f"{site.url}/none.tar").samples())
    site.trouble = lambda path: 403
    with pytest.raises(SourceError, match=rf"{site.url}/a\.tar: the server refuses it \(HTTP 403\); give a URL"):
        list(source("webdataset", f"{site.url}/a.tar").samples())
    site.trouble = lambda path: None
    webdataset = SOURCES["webdataset"](site.folder)
    for site.ranges in ("refused", "unknown"):
        with pytest.raises(SourceError, match=r"shards-000\.tar: cannot be .*the server gives no part of a file"):
            list(source("webdataset", f"{site.url}/{webdataset['path']}").samples())
    loose(site.folder / "images")
    with RefReader(2**20) as reader:  # a whole file needs no ranges
        assert reader.read(Ref("file", f"{site.url}/images/000{SUFFIX['000']}")) == IMAGES["000"]
    with pytest.raises(SourceError, match=r"127\.0\.0\.1:9"):
        list(source("webdataset", "http://127.0.0.1:9/a.tar").samples())


@pytest.mark.parametrize(("url", "extra"), [("s3://bucket/a.tar", "s3"), ("https://e.example/a.tar", "http")])
def test_a_missing_extra_is_one_sentence_with_the_command(monkeypatch, source, url: str, extra: str) -> None:
    def lacking(*_: object, **__: object) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("fsspec.core.url_to_fs", lacking)
    remote._system_of.cache_clear()
    sentence = rf"^{extra}s?:// needs an optional package: pip install 'sluice\[{extra}\]'$"
    with pytest.raises(MissingExtraError, match=sentence):
        list(source("webdataset", url).samples())
    for ref in (Ref("file", url), Ref("tar", url, "a", 0, 1), Ref("parquet", url, "a", 0)):
        with RefReader(10) as reader, pytest.raises(MissingExtraError, match=sentence):
            reader.read(ref)
    remote._system_of.cache_clear()
