"""Packs behind URLs: the epoch of the same pack on a disk, whatever the store, the cache and other processes do."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from pack.making import pair
from pack.packing import pack
from sluice.errors import RunError
from sluice.load.ahead import Downloads
from sluice.load.cache import DiskCache
from sluice.load.epoch import Epoch
from sluice.load.folder import PackFolder
from sluice.load.loader import Loader
from sluice.load.mixture import Mixture, Phase
from sluice.load.reading import ShardReader
from sluice.load.receipt import odd_ones
from sluice.pack.manifest import CHECKSUMS_FILE, read_manifest
from sluice.table import remote
from sluice.table.refs import RefReader
from support.s3 import BUCKET, Service
from support.waiting import until
from support.web import website


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 samples in shards of 3, in both formats. Read only."""
    images, final = tmp_path_factory.mktemp("images"), tmp_path_factory.mktemp("many")
    with RefReader(max_bytes=2**27) as reader:
        pack(final, [pair(images, seed) for seed in range(120)], reader.read, max_samples=3)
    return final


@pytest.fixture
def in_memory(many: Path) -> Iterator[str]:
    files = fsspec.filesystem("memory")
    files.put(str(many), "/many", recursive=True)
    yield "memory://many"
    files.rm("/many", recursive=True)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses between rounds of tries."""
    monkeypatch.setattr(remote, "_ROUNDS", (0.0, 0.0))


def loader(source: Any, cache: Path | None = None, **settings: Any) -> Loader:
    return Loader(source, 8, seed=3, window=24, cache=cache, **settings)


def content(batches: Iterable[Any]) -> list[tuple[str | None, Any]]:
    return [
        (id, sample and (sample.images, sample.caption))
        for batch in batches
        for id, sample in zip(batch.ids, batch.values, strict=True)
    ]


def ids_of(final: Path) -> list[str]:
    return [row["id"] for row in read_manifest(final).to_pylist() if row["format"] == "webdataset"]


def cached(folder: Path) -> list[Path]:
    return [path for path in (folder / "files").iterdir() if path.suffix in (".tar", ".parquet", ".partial")]


@pytest.mark.parametrize("format", ["webdataset", "parquet"])
def test_a_pack_on_s3_is_the_pack_on_the_disk(many: Path, s3: Service, tmp_path: Path, format: str) -> None:
    url = s3.upload(many, "run/04_final")
    here, there = loader(many, format=format), loader(url.removesuffix("/04_final"), tmp_path, format=format)
    batches = iter(here)
    for _ in range(3):
        next(batches)
    there.load_state_dict(here.state_dict())  # a state of one is a state of the other
    assert content(there) == content(batches)
    s3.requests.clear()
    again = loader(url, tmp_path, format=format)
    assert content(again) == content(loader(many, format=format))
    fetched = [request.path for request in s3.requests if request.method == "GET"]
    assert len(fetched) <= 1 + 3 * 8 // 3  # the checksums; else only what the first three batches alone would need
    third = loader(url, tmp_path, format=format)
    s3.requests.clear()
    assert odd_ones([_receipt(third)], ids_of(many)) == {}
    assert not [request for request in s3.requests if request.method == "GET"]


def _receipt(one: Loader) -> Any:
    for _ in one:
        pass
    return one.receipt()


@pytest.mark.parametrize("format", ["webdataset", "parquet"])
def test_a_store_that_fails_and_truncates_costs_nothing_but_time(
    many: Path, s3: Service, tmp_path: Path, format: str
) -> None:
    url = s3.upload(many, f"faulty-{format}")
    lock, counts = threading.Lock(), Counter[str]()

    def each(kind: str, every: int) -> bool:
        with lock:
            counts[kind] += 1
            return counts[kind] % every == every // 4

    def trouble(environ: dict[str, Any]) -> int | None:
        return 503 if each("asked", 20) else None

    def spoil(environ: dict[str, Any], data: bytes) -> bytes:
        return data[: len(data) // 2] if environ["REQUEST_METHOD"] == "GET" and each("read", 100) else data

    s3.trouble, s3.spoil = trouble, spoil
    one = loader(url, tmp_path, format=format)
    assert content(one) == content(loader(many, format=format))
    assert odd_ones([one.receipt()], ids_of(many)) == {} and one.quarantine == ()
    assert counts["asked"] > 80 and counts["read"] > 40  # so four failed at least, and one was truncated
    assert not list((tmp_path / "files").glob("*.partial"))


def test_a_shard_that_cannot_be_had_is_recorded_and_the_loader_goes_on(
    many: Path, in_memory: str, tmp_path: Path, quick: None
) -> None:
    files, rows = fsspec.filesystem("memory"), read_manifest(many).to_pylist()
    shards = sorted({row["shard"] for row in rows if row["format"] == "webdataset"})
    files.rm(f"/many/{shards[4]}")
    whole = files.cat(f"/many/{shards[7]}")
    files.pipe(f"/many/{shards[7]}", whole[:600] + bytes([whole[600] ^ 1]) + whole[601:])  # one bit is another
    files.pipe(f"/many/{shards[9]}", whole[:600])
    bad = {row["id"]: row["shard"] for row in rows if row["shard"] in (shards[4], shards[7], shards[9])}
    one = loader(in_memory, tmp_path)
    served = [id for batch in one for id in batch.ids]
    assert served == [None if id in bad else id for id, _ in content(loader(many))]
    assert {entry.id for entry in one.quarantine} == set(bad)
    for entry in one.quarantine:
        expected = "no such file" if bad[entry.id] == shards[4] else f"not those that {CHECKSUMS_FILE} names"
        assert entry.failure_class == "io" and expected in entry.message and bad[entry.id] in entry.message


@pytest.mark.parametrize("format", ["webdataset", "parquet"])
@pytest.mark.parametrize("shards", [1, 3, 12])
def test_a_cache_smaller_than_the_pack_or_the_window_serves_the_same(
    many: Path, in_memory: str, tmp_path: Path, format: str, shards: int
) -> None:
    sizes = [path.stat().st_size for path in many.glob(f"{format}/**/*") if path.is_file()]
    most = max(*sizes, (many / "manifest.parquet").stat().st_size) + (shards - 1) * max(sizes)
    one = loader(in_memory, tmp_path, format=format, cache_bytes=most)
    got: list[Any] = []
    disk = DiskCache(tmp_path, most)
    for batch in one:
        got.append(batch)
        with disk._alone():
            assert disk._all_but("")[1] <= most
    assert content(got) == content(loader(many, format=format))
    assert one.quarantine == ()


def test_a_reader_holds_at_most_one_shard_that_the_cache_let_go(many: Path, in_memory: str, tmp_path: Path) -> None:
    folder = PackFolder(in_memory, format="webdataset", cache=DiskCache(tmp_path, 25_000))  # room for one
    reader = ShardReader(folder)
    for number, block in enumerate(folder.blocks[:6]):
        row = folder.rows(number).slice(0, 1).to_pylist()[0]
        assert reader.read(block, 0, row["id"], row["offset"], row["size"]).id == row["id"]
        assert sum(not os.fstat(file).st_nlink for file in reader._files.values()) <= 1
    reader.close()


def test_a_cache_smaller_than_a_shard_is_said(many: Path, in_memory: str, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"does not fit into the cache .* of 2,000: give the loader more cache_bytes"):
        loader(in_memory, tmp_path, cache_bytes=2_000)  # the manifest alone is larger
    most = (many / "manifest.parquet").stat().st_size
    shutil.copytree(many, tmp_path / "large")
    shard = next((tmp_path / "large").glob("webdataset/**/*.tar"))
    shard.write_bytes(shard.read_bytes() + bytes(most))
    fsspec.filesystem("memory").put(str(shard), f"/many/{shard.relative_to(tmp_path / 'large')}")
    with pytest.raises(RunError, match="does not fit"):
        list(loader(in_memory, tmp_path / "cache", cache_bytes=most))


def test_a_changed_pack_is_another_entry(many: Path, packs: tuple[Path, Path], in_memory: str, tmp_path: Path) -> None:
    assert content(loader(in_memory, tmp_path)) == content(loader(many))
    files = fsspec.filesystem("memory")
    files.rm("/many", recursive=True)
    files.put(str(packs[0]), "/many", recursive=True)
    assert content(loader(in_memory, tmp_path)) == content(loader(packs[0]))


def test_a_pack_without_checksums_is_known_by_size_and_stamp(many: Path, in_memory: str, tmp_path: Path) -> None:
    fsspec.filesystem("memory").rm(f"/many/{CHECKSUMS_FILE}")
    assert content(loader(in_memory, tmp_path)) == content(loader(many))


def test_no_pack_and_no_store_are_said(s3: Service, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=f"s3://{BUCKET}/none has no manifest.parquet: give a run"):
        loader(f"s3://{BUCKET}/none", tmp_path)
    with pytest.raises(RunError, match=r"s3://elsewhere/none.*(no such bucket|has no manifest)"):
        loader("s3://elsewhere/none", tmp_path)


@pytest.mark.parametrize("threads", [1, 3])
def test_what_is_needed_first_is_fetched_first_as_far_as_there_is_room(
    many: Path, in_memory: str, tmp_path: Path, threads: int
) -> None:
    sizes = {path.stat().st_size for path in many.glob("webdataset/**/*.tar")}
    assert len(sizes) == 1
    folder = PackFolder(in_memory, format="webdataset", cache=DiskCache(tmp_path, 7 * max(sizes) - 1))

    def epoch_of(number: int) -> Epoch:
        return Epoch([folder], Mixture([120], [Phase(0, (1.0,))]), 3, number, 24)

    def needed(position: int) -> list[str]:
        blocks = dict.fromkeys(epoch_of(0).locate(position, 120).blocks.tolist())
        return [folder.store.cached_as(folder.blocks[block].shard) for block in blocks]  # type: ignore[union-attr]

    def settled(position: int) -> bool:
        there = {path.name for path in cached(tmp_path) if path.suffix != ".parquet"}
        # threads may each have begun one too many before a sooner one has taken its room
        first, last = needed(position)[: 7 - threads], needed(position)[: 5 + threads]
        return set(first) <= there <= set(last) and len(there) == 6

    downloads = Downloads([folder], epoch_of, 0, 24, threads)
    try:
        for position in (0, 48, 60):
            downloads._look_at = 0  # else it looks anew a few thousand samples later at the soonest
            downloads.reached(position)
            until(lambda position=position: settled(position), "what is needed soon, and no more", 20)
            time.sleep(0.1)  # what should not come has the time to
            assert settled(position)
    finally:
        downloads.close()


_EIGHT = """
import hashlib, os, sys
from sluice.load.loader import Loader
url, cache, out = sys.argv[1:]
loader = Loader(url, 8, seed=3, window=24, cache=cache)  # opened before the fork, as under torch's DataLoader

def child(number):
    pid = os.fork()
    if pid:
        return pid
    try:
        digest = hashlib.sha256()
        for batch in loader:
            for sample in batch.values:
                digest.update(sample.id.encode() + sample.images[0])
        open(f"{out}/{number}", "w").write(digest.hexdigest())
        os._exit(0)
    finally:
        os._exit(1)

print(child(0), flush=True)
input()
others = [child(number) for number in range(1, 8)]
print("all", flush=True)
for pid in others:
    os.waitpid(pid, 0)
"""


def test_eight_processes_share_a_cache_and_one_is_killed_in_a_download(many: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    disk, gate, begun = tmp_path / "cache", threading.Event(), Counter[str]()

    def slow(path: str) -> int | None:
        begun[path] += path.endswith(".tar")
        if begun[path] > 1:  # first its size is asked for
            gate.wait(30)
        return None

    with website(many) as site:
        site.trouble = slow
        command = [sys.executable, "-c", _EIGHT, site.url, str(disk), str(tmp_path / "out")]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as script:
            assert script.stdin and script.stdout
            victim = int(script.stdout.readline())
            until(
                lambda: any(path.suffix == ".partial" and path.stat().st_size for path in cached(disk)),
                "a download begun",
                20,
            )
            script.stdin.write("go\n")
            script.stdin.flush()
            assert script.stdout.readline() == "all\n"
            time.sleep(0.3)  # the others wait for what the first one is bringing
            os.kill(victim, signal.SIGKILL)
            half = {path.name.removesuffix(".partial") for path in cached(disk) if path.suffix == ".partial"}
            gate.set()
            assert script.wait(60) == 0
    digest = hashlib.sha256()
    for id, sample in content(loader(many)):
        digest.update((id or "").encode() + sample[0][0])
    assert {path.name: path.read_text() for path in (tmp_path / "out").iterdir()} == {
        str(number): digest.hexdigest() for number in range(1, 8)
    }
    shards = {f"/{path.relative_to(many)}": path.read_bytes() for path in many.glob("webdataset/**/*.tar")}
    stored = {path.name: path.read_bytes() for path in cached(disk) if path.suffix == ".tar"}
    assert stored == {f"{hashlib.sha256(data).hexdigest()}.tar": data for data in shards.values()}
    assert not list(disk.glob("**/*.partial"))
    asked = {path: site.asked["GET", path] for path in shards}
    twice = {path for path, count in asked.items() if count > 1}
    assert set(asked.values()) == {1, 2}
    assert {f"{hashlib.sha256(shards[path]).hexdigest()}.tar" for path in twice} <= half
