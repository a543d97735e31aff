"""Writing to S3: whole or not at all, once where it is to be once, whatever the service answers."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sluice.table import remote, remote_write
from sluice.table.remote import RefusedError, RemoteError
from sluice.table.remote_write import TakenError, abandon_parts, create, download, put, read, remove, upload
from support.s3 import BUCKET, Faults, Service

PART = 5 * 2**20  # the least that S3 takes


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_write, "PART", PART)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large"
    path.write_bytes(random.Random(1).randbytes(3 * PART + 7))
    return path


def kinds(s3: Service) -> list[str]:
    return [request.method for request in s3.requests]


def unfinished(s3: Service) -> int:
    return len(s3.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", ()))


def test_a_large_file_is_sent_in_parts_and_comes_back(s3: Service, large: Path, tmp_path: Path) -> None:
    url = f"s3://{BUCKET}/parts/large"
    version = upload(url, large)
    assert kinds(s3) == ["POST", *["PUT"] * 4, "POST", "HEAD"]
    assert version == remote.stamp(remote.info(url))
    download(url, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == large.read_bytes()


@pytest.mark.parametrize("size", [0, 1, PART, PART + 1])
def test_a_file_of_any_size_arrives_whole(s3: Service, tmp_path: Path, size: int) -> None:
    url, path = f"s3://{BUCKET}/sizes/{size}", tmp_path / "file"
    path.write_bytes(bytes(size))
    upload(url, path)
    assert read(url) == bytes(size)
    download(url, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == bytes(size)


@pytest.mark.parametrize("seed", range(1, 4))
def test_faults_cost_time_and_nothing_else(
    s3: Service, large: Path, tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "_ROUNDS", (0.01,) * 4)
    s3.faults = Faults(0.2, seed)
    upload(f"s3://{BUCKET}/faults/large", large)
    download(f"s3://{BUCKET}/faults/large", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == large.read_bytes()
    assert sum(s3.faults.kinds.values()) > 0


def test_an_upload_that_was_finished_and_not_told_so_is_made_again(
    s3: Service, large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "_ROUNDS", (0.01,))
    unknown = [True]

    def forgotten(environ: dict[str, Any]) -> int | None:
        last = environ["REQUEST_METHOD"] == "POST" and "uploadId" in environ["QUERY_STRING"]
        return 404 if last and unknown and unknown.pop() else None

    s3.trouble = forgotten
    upload(f"s3://{BUCKET}/forgotten/large", large)
    assert not unknown and remote.info(f"s3://{BUCKET}/forgotten/large")["size"] == large.stat().st_size


def test_a_file_is_made_once_though_the_answer_was_lost(s3: Service) -> None:
    url, lost = f"s3://{BUCKET}/once/a", [True]
    s3.faults = Faults(0, 0)
    s3.faults.draw = lambda method: "lost" if method == "PUT" and lost and lost.pop() else None  # type: ignore[method-assign]
    create(url, b"mine")  # done, answered by a 500, tried again: what is there is its own
    with pytest.raises(TakenError):
        create(url, b"another's")
    assert read(url) == b"mine"


def test_of_many_who_make_a_file_at_once_one_does(s3: Service) -> None:
    def make(number: int) -> bool:
        try:
            create(f"s3://{BUCKET}/race/a", f"{number}".encode())
        except TakenError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(make, range(8)))
    assert sum(made) == 1
    assert read(f"s3://{BUCKET}/race/a") == str(made.index(True)).encode()


def test_a_service_that_asks_to_slow_down_is_waited_for(s3: Service) -> None:
    left = [6]  # more than botocore tries alone

    def slow_down(environ: dict[str, Any]) -> int | None:
        left[0] -= 1
        return 503 if left[0] >= 0 else None

    s3.trouble = slow_down
    put(f"s3://{BUCKET}/slow/a", b"data")
    assert [request.status for request in s3.requests] == [503] * 6 + [200]


def test_pauses_differ_so_that_processes_do_not_try_in_step(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(remote.time, "sleep", slept.append)

    def fails() -> None:
        raise RemoteError("for a moment")

    for _ in range(5):
        with pytest.raises(RemoteError, match=r"memory://a: for a moment \(after 5 rounds\)"):
            remote.in_rounds("memory://a", fails)
    rounds = [slept[start : start + 4] for start in range(0, 20, 4)]
    assert len({tuple(one) for one in rounds}) == 5
    for one in rounds:
        assert all(base <= pause <= 1.5 * base for base, pause in zip((0.5, 1, 2, 4), one, strict=True))


def test_what_was_sent_in_part_is_taken_back(s3: Service, large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_ROUNDS", ())
    monkeypatch.setattr(remote, "_WAITS", ())
    s3.trouble = lambda environ: 400 if "partNumber=3" in environ["QUERY_STRING"] else None
    with pytest.raises(RemoteError):
        upload(f"s3://{BUCKET}/cut/large", large)
    assert unfinished(s3) == 0
    with pytest.raises(FileNotFoundError):
        remote.info(f"s3://{BUCKET}/cut/large")
    # and of a process that was killed, by the next
    s3.client.create_multipart_upload(Bucket=BUCKET, Key="cut/killed")
    s3.client.create_multipart_upload(Bucket=BUCKET, Key="cute")
    abandon_parts(f"s3://{BUCKET}/cut")
    assert unfinished(s3) == 1


def test_what_is_refused_is_not_tried_again(s3: Service) -> None:
    with pytest.raises(RefusedError, match=r"s3://nosuchbucket/a: there is no such bucket"):
        put("s3://nosuchbucket/a", b"")


def test_files_are_removed_a_thousand_at_once_though_some_are_gone(s3: Service) -> None:
    urls = [f"s3://{BUCKET}/many/{number}" for number in range(30)]
    for url in urls[:20]:
        put(url, b"x")
    s3.requests.clear()
    remove(urls)
    assert len(s3.requests) == 1 and not s3.objects("many")
