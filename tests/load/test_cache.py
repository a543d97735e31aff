"""The cache of shards: bounded, least lately used first, each file written once, whoever is killed meanwhile."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import OrderedDict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.errors import RecipeError, RunError
from sluice.load import cache
from sluice.load.cache import DiskCache, Fill, NoRoomError, Slot
from sluice.table.file_lock import lock, unlock
from sluice.table.remote import RemoteError
from support.disks import small_disk


def name_of(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest() + ".tar"


def filled(number: int, size: int) -> Fill:
    def fill(slot: Slot) -> None:
        slot.reserve(size)
        slot.write(bytes([number]) * size, 0)

    return fill


def never(slot: Slot) -> None:
    raise AssertionError("it is there already")


def content(descriptor: int) -> bytes:
    try:
        return os.pread(descriptor, 10**6, 0)
    finally:
        os.close(descriptor)


def held(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in (folder / "files").iterdir()}


@settings(max_examples=60)
@given(
    sizes=st.lists(st.integers(1, 40), min_size=6, max_size=6),
    most=st.integers(40, 130),
    asked=st.lists(st.integers(0, 5), max_size=30),
)
def test_it_holds_what_was_used_last_and_never_more_than_its_bound(
    sizes: list[int], most: int, asked: list[int]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        disk = DiskCache(folder, most)
        expected: OrderedDict[int, int] = OrderedDict()
        for number in asked:
            there = number in expected
            assert content(disk.open(name_of(number), never if there else filled(number, sizes[number]))) == (
                bytes([number]) * sizes[number]
            )
            if not there:
                while sum(expected.values()) + sizes[number] > most:
                    expected.popitem(last=False)
            expected[number] = sizes[number]
            expected.move_to_end(number)
            assert held(Path(folder)) == {name_of(one): size for one, size in expected.items()}


def test_what_is_fetched_ahead_takes_no_room_of_what_is_needed_sooner(tmp_path: Path) -> None:
    disk = DiskCache(tmp_path, 100)
    for number in (1, 2):
        os.close(disk.open(name_of(number), filled(number, 40)))
    with pytest.raises(NoRoomError):
        disk.fetch_ahead(name_of(3), filled(3, 40), {name_of(2): 0, name_of(1): 1, name_of(3): 2})
    assert set(held(tmp_path)) == {name_of(1), name_of(2)}
    disk.fetch_ahead(name_of(3), filled(3, 40), {name_of(1): 0, name_of(3): 1})  # nobody needs 2
    assert set(held(tmp_path)) == {name_of(1), name_of(3)}
    order = {name_of(4): 0, name_of(1): 1, name_of(3): 2}
    disk.fetch_ahead(name_of(4), filled(4, 40), order)  # 1 was used longer ago, and is needed sooner
    assert set(held(tmp_path)) == {name_of(1), name_of(4)}


def test_an_open_file_stays_whole_when_it_goes(tmp_path: Path) -> None:
    disk = DiskCache(tmp_path, 100)
    first = disk.open(name_of(1), filled(1, 90))
    os.close(disk.open(name_of(2), filled(2, 90)))
    assert set(held(tmp_path)) == {name_of(2)}
    assert content(first) == bytes([1]) * 90


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "photo.tar").write_bytes(bytes(1000))
    disk = DiskCache(tmp_path, 100)
    for number in range(4):
        os.close(disk.open(name_of(number), filled(number, 60)))
    assert set(held(tmp_path)) == {"photo.tar", name_of(3)}


def test_what_failed_is_not_tried_by_everyone_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = DiskCache(tmp_path, 100)
    tries: list[str] = []

    def failing(slot: Slot) -> None:
        tries.append("")
        time.sleep(0.2)
        slot.reserve(50)
        raise RemoteError("the server is down")

    def ask() -> None:
        with pytest.raises(RemoteError, match="the server is down"):
            disk.open(name_of(1), failing)

    threads = [threading.Thread(target=ask) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tries) == 1
    monkeypatch.setattr(cache, "_FAILS_FOR", 0.0)
    os.close(disk.open(name_of(1), filled(1, 50)))
    os.close(disk.open(name_of(2), filled(2, 60)))
    assert set(held(tmp_path)) == {name_of(2)}


def test_threads_in_a_cache_of_one_file_take_turns(tmp_path: Path) -> None:
    disk = DiskCache(tmp_path, 100)
    seen: list[bool] = []

    def ask(number: int) -> None:
        for turn in range(5):
            which = (number + turn) % 3
            seen.append(content(disk.open(name_of(which), filled(which, 80))) == bytes([which]) * 80)

    threads = [threading.Thread(target=ask, args=[number]) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert seen == [True] * 30
    assert sum(held(tmp_path).values()) == 80


def test_what_a_killed_process_left_is_no_use_and_goes(tmp_path: Path) -> None:
    disk = DiskCache(tmp_path, 100)
    (tmp_path / "files").mkdir()
    for number in (1, 2):
        (tmp_path / "files" / f"{name_of(number)}.partial").write_bytes(bytes(90))
    assert content(disk.open(name_of(1), filled(1, 80))) == bytes([1]) * 80
    assert set(held(tmp_path)) == {name_of(1)}


def test_a_forked_child_does_not_keep_the_lock_of_a_killed_parent(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys, time; from sluice.table.file_lock import lock\n"
        "lock(os.open(sys.argv[1], os.O_RDWR | os.O_CREAT), wait=True)\n"
        "child = os.fork()\n"
        "if child: print(child, flush=True); os.kill(os.getpid(), signal.SIGKILL)\n"
        "os.close(1); os.close(2); time.sleep(60)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, tmp_path / "file"], capture_output=True, check=False)
    child = int(done.stdout)
    descriptor = os.open(tmp_path / "file", os.O_RDWR)
    try:
        os.kill(child, 0)  # it lives
        deadline = time.monotonic() + 10
        while not (got := lock(descriptor, wait=False)) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert got
    finally:
        unlock(descriptor)
        os.close(descriptor)
        os.kill(child, 9)


def test_too_small_a_bound_and_a_folder_that_is_none_are_said(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"a file of 101 bytes does not fit into the cache .* of 100: .* cache_bytes"):
        DiskCache(tmp_path, 100).open(name_of(1), filled(1, 101))
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="another folder as cache"):
        DiskCache(tmp_path / "file", 100).open(name_of(1), filled(1, 10))
    with pytest.raises(RecipeError, match="'100 GB'"):
        DiskCache(tmp_path, "a lot")


def test_a_full_disk_is_said_and_leaves_nothing_half(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "64k"):
        disk = DiskCache(tmp_path / "disk", "1 MB")
        with pytest.raises(RunError, match=r"no room left on the disk of the cache .* fewer cache_bytes"):
            disk.open(name_of(1), filled(1, 200_000))
        assert held(tmp_path / "disk") == {}
        assert content(disk.open(name_of(1), filled(1, 20_000))) == bytes([1]) * 20_000


@pytest.mark.parametrize(("text", "size"), [(17, 17), ("17", 17), ("2 KB", 2_000), ("0.5GiB", 2**29), ("1TB", 10**12)])
def test_bytes_as_people_write_them(text: int | str, size: int) -> None:
    assert DiskCache("x", text).most == size
