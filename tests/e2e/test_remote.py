"""Whole runs over S3 and HTTP, through the command line: the same ids and the same bytes as from a disk."""

from __future__ import annotations

import hashlib
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from support.commands import Done, Launcher
from support.formats import IMAGES, SOURCES, SUFFIX
from support.s3 import BUCKET, Service, s3_service
from support.web import website


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Service, Launcher]]:
    """The service, and a launcher whose commands know of it from the environment alone."""
    with s3_service() as service:
        launcher = Launcher()
        yield service, launcher
        launcher.close()


@pytest.fixture
def s3(running: tuple[Service, Launcher]) -> Iterator[Service]:
    service = running[0]
    service.requests.clear()
    yield service
    service.trouble = lambda environ: None


@pytest.fixture
def commands(running: tuple[Service, Launcher]) -> Launcher:
    return running[1]


def run(commands: Launcher, folder: Path, *sources: dict[str, Any]) -> Done:
    """Run a recipe over `sources` in `folder`; what it came to."""
    folder.mkdir(parents=True, exist_ok=True)
    values = {
        "name": "moved",
        "run": "run",
        "sources": [{"name": source["type"], **source} for source in sources],
        "unit": 10,
        "measures": ["image.header", "image.phash", "image.content_hash", "text.basic", "text.content_hash"],
        "filter": {"reject": {"even": "bytes % 2 = 0"}, "duplicates": {"near": None, "bytes": False}},
        "pack": [{"format": "webdataset", "shard_samples": 20}],
        "engine": {"workers": 2},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(values))
    return commands.run("run", folder / "recipe.yaml")


@dataclass(frozen=True)
class Local:
    """A run over a disk, and the same sources on the service."""

    folder: Path
    sources: list[dict[str, Any]]


def verdicts(folder: Path) -> list[dict[str, Any]]:
    return pq.read_table(folder / "run/01_filtered/verdicts.parquet").to_pylist()


def packed(folder: Path) -> dict[str, str]:
    """The hash of every shard."""
    final = folder / "run/04_final"
    return {str(p.relative_to(final)): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(final.rglob("*.tar"))}


def moved(config: dict[str, Any], url: str) -> dict[str, Any]:
    """The source `config` with its data behind `url`."""
    places = {name: f"{url}/{config[name]}" for name in ("path", "images", "annotations") if name in config}
    return {**config, **places}


@pytest.fixture(scope="module")
def local(running: tuple[Service, Launcher], tmp_path_factory: pytest.TempPathFactory) -> Local:
    """Every format at once from a disk, which is then gone: what a later run reads is on the service, or nowhere."""
    folder = tmp_path_factory.mktemp("local")
    sources: list[dict[str, Any]] = []
    for kind, write in SOURCES.items():
        data = folder / "data" / kind
        data.mkdir(parents=True)
        sources.append(write(data))
    done = run(running[1], folder, *(moved(source, f"{folder}/data/{source['type']}") for source in sources))
    assert done.code == 0, done.err
    url = running[0].upload(folder / "data", "all")
    (folder / "data").rename(folder / "away")
    return Local(folder, [moved(source, f"{url}/{source['type']}") for source in sources])


def test_a_run_over_s3_gives_the_bytes_of_a_run_over_a_disk(
    tmp_path: Path, s3: Service, commands, local: Local
) -> None:
    done = run(commands, tmp_path, *local.sources)
    assert done.code == 0, done.err
    assert verdicts(tmp_path) == verdicts(local.folder)
    assert packed(tmp_path) == packed(local.folder)
    kept = [row for row in verdicts(tmp_path) if row["verdict"] == "kept"]
    assert len(SOURCES) < len(kept) < len(SOURCES) * len(IMAGES)
    originals = {hashlib.sha256(data).hexdigest() for data in IMAGES.values()}
    found: list[str] = []
    for path in (tmp_path / "run/04_final").rglob("*.tar"):
        with tarfile.open(path) as tar:
            images = [member for member in tar if member.name.endswith((".jpg", ".png", ".webp"))]
            found += [hashlib.sha256(tar.extractfile(member).read()).hexdigest() for member in images]
    assert set(found) <= originals
    assert len(found) == len(kept)
    s3.requests.clear()
    again = commands.run("run", tmp_path / "recipe.yaml")
    assert again.code == 0, again.err
    assert not [request for request in s3.requests if request.range]  # nothing has changed, so nothing is read


def test_what_is_wrong_with_a_url_ends_a_run_with_a_sentence(tmp_path: Path, s3: Service, commands) -> None:
    s3.put("there/a.tar", b"x")
    wrong = {
        "s3://nosuchbucket/x/*.tar": "no such bucket; check its name, and AWS_ENDPOINT_URL",
        f"s3://{BUCKET}/nothing.tar": "nothing found there",
        f"s3://{BUCKET}/there/{{a,b}}.tar": "b.tar: no such file",
        "http://127.0.0.1:9/a.tar": "127.0.0.1:9",
    }
    for url, sentence in wrong.items():
        assert_mendable(
            run(commands, tmp_path, {"type": "webdataset", "path": url}), re.split(r"/[*{]", url)[0], sentence
        )
    with s3.only_known_users():
        url = f"s3://{BUCKET}/there/a.tar"
        assert_mendable(run(commands, tmp_path, {"type": "webdataset", "path": url}), url, "access denied")


def assert_mendable(done: Done, *said: str) -> None:
    """Exit code 2 and one line that says it all."""
    assert done.code == 2, done.err
    lines = [line for line in done.err.splitlines() if line.startswith("sluice: ")]
    assert len(lines) == 1, done.err
    assert all(part in lines[0] for part in said), done.err
    assert "Traceback" not in done.err


def test_what_vanishes_or_shrinks_during_a_run_is_a_failure_of_io_and_the_run_goes_on(
    tmp_path: Path, s3: Service, commands
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    SOURCES["folder"](data)
    url = s3.upload(data, "shrinks")
    gone, cut = f"/images/000{SUFFIX['000']}", f"/images/003{SUFFIX['003']}"

    def trouble(environ: dict[str, Any]) -> None:
        if environ["REQUEST_METHOD"] == "GET" and environ["PATH_INFO"].endswith((gone, cut)):
            s3.delete(f"shrinks{gone}")
            s3.put(f"shrinks{cut}", IMAGES["003"][:1000])

    s3.trouble = trouble
    done = run(commands, tmp_path, {"type": "folder", "path": f"{url}/images"})
    assert done.code == 0, done.err
    failed = [row["reasons"][0] for row in verdicts(tmp_path) if row["verdict"] == "failed"]
    assert [reason["rule"] for reason in failed] == ["io", "io"]
    said = sorted(reason["values"] for reason in failed)
    assert "000.jpg: no such file" in said[0] + said[1]
    assert f"had {len(IMAGES['003']):,} bytes when it was listed, now has 1,000 bytes" in said[0] + said[1]
    assert len(verdicts(tmp_path)) == len(IMAGES)


def test_a_service_that_fails_now_and_then_changes_nothing(tmp_path: Path, s3: Service, commands, local: Local) -> None:
    asked = iter(range(10**6))
    s3.trouble = lambda environ: 503 if environ["REQUEST_METHOD"] == "GET" and next(asked) % 30 == 7 else None
    done = run(commands, tmp_path, *local.sources)
    assert done.code == 0, done.err
    assert any(request.status == 503 for request in s3.requests)
    assert verdicts(tmp_path) == verdicts(local.folder)
    assert packed(tmp_path) == packed(local.folder)


def test_a_run_over_the_web_gives_the_bytes_of_a_run_over_a_disk(tmp_path: Path, commands) -> None:
    data = tmp_path / "data"
    data.mkdir()
    config = SOURCES["webdataset"](data)
    assert run(commands, tmp_path / "here", {**config, "path": f"{data}/{config['path']}"}).code == 0
    with website(data) as site:
        done = run(commands, tmp_path / "there", {**config, "path": f"{site.url}/{config['path']}"})
        assert done.code == 0, done.err
    assert verdicts(tmp_path / "there") == verdicts(tmp_path / "here")
    assert packed(tmp_path / "there") == packed(tmp_path / "here")
