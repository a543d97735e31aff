"""A folder and its mirror in a store: what readers see is always one commit, whoever writes and whenever it is cut."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sluice.errors import RunError
from sluice.table import mirror
from sluice.table.commit_log import COMMITS, read_log
from sluice.table.mirror import Mirror

FILES = ("a/one.parquet", "a/stage.json", "two.parquet")


def everything(name: str) -> bool:
    return not name.startswith(".state")


def at(here: Path, url: str) -> Mirror:
    return Mirror(here, url, here / ".state/store.json", everything)


def held(folder: Path) -> dict[str, bytes]:
    names = [path for path in folder.rglob("*") if path.is_file()]
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in names}
    return {name: data for name, data in found.items() if everything(name)}


def write(folder: Path, name: str, data: bytes | None) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if data is None:
        path.unlink(missing_ok=True)
    else:
        path.with_name("new").write_bytes(data)
        path.with_name("new").replace(path)


def seen_by_another(url: str) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        assert at(Path(folder), url).bring(lambda name: True) == []
        return held(Path(folder))


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror, "QUIET", 0.0)


_changes = st.tuples(st.integers(0, 1), st.sampled_from(FILES), st.one_of(st.none(), st.binary(max_size=4)))
_step = st.one_of(_changes, st.tuples(st.integers(0, 1), st.sampled_from(("take", "send", "send", "restart", "wiped"))))


@settings(max_examples=80)
@given(st.lists(_step, max_size=40))
@example(
    [(1, "take"), (0, "take"), (0, "take"), (1, "send")]
)  # the second takes the record away that would tell the first
def test_whoever_took_the_folder_last_commits_and_nobody_else_does(steps: list[tuple[Any, ...]]) -> None:
    url = "memory://mirror/any"
    files = fsspec.filesystem("memory")
    if files.exists("/mirror"):
        files.rm("/mirror", recursive=True)
    with tempfile.TemporaryDirectory() as folder:
        places = [Path(folder, str(number)) for number in range(2)]
        mirrors: dict[int, Mirror] = {}
        holder: int | None = None
        committed: dict[str, bytes] | None = None
        for who, what, *data in steps:
            here = places[who]
            if what == "take":
                mirrors[who] = at(here, url)
                mine = held(here) if holder == who or committed is None else None
                assert mirrors[who].take() == []
                if mine is None:
                    assert held(here) == committed  # what another committed is here now, and nothing else
                holder, committed = who, committed if committed is not None else {}
            elif what == "send" and who in mirrors:
                if holder == who:
                    mirrors[who].send()
                    committed = held(here)
                else:
                    with pytest.raises(RunError, match="has gone on with it since"):
                        mirrors[who].send(released=True)
            elif what == "restart":  # a process that was killed: nothing but its disk is left
                mirrors.pop(who, None)
            elif what == "wiped":
                mirrors.pop(who, None)
                for path in sorted(here.rglob("*"), reverse=True):
                    path.rmdir() if path.is_dir() else path.unlink()
                holder = None if holder == who else holder
            elif data:
                write(here, what, data[0])
            if committed is not None:
                assert seen_by_another(url) == committed


def test_a_commit_that_is_cut_off_leaves_the_one_before_and_is_made_again(tmp_path: Path) -> None:
    here, url = tmp_path / "here", "memory://mirror/cut"
    first = at(here, url)
    write(here, "a/one.parquet", b"1")
    first.take()
    first.send()
    write(here, "a/one.parquet", b"2")
    write(here, "a/two.parquet", b"2")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):

        def killed(*_: object) -> None:
            raise KeyboardInterrupt

        patch.setattr(mirror, "commit_record", killed)
        first.send()
    other = tmp_path / "other"
    assert at(other, url).bring(lambda name: True) == ["a/one.parquet"]  # is there, but not as committed
    second = at(here, url)  # the same machine, started again
    second.take()
    second.send()
    assert seen_by_another(url) == held(here) == {"a/one.parquet": b"2", "a/two.parquet": b"2"}


def test_a_file_that_is_gone_here_is_gone_there(tmp_path: Path) -> None:
    url = "memory://mirror/gone"
    one = at(tmp_path, url)
    one.take()
    for name in FILES:
        write(tmp_path, name, b"x")
    one.send()
    write(tmp_path, "two.parquet", None)
    write(tmp_path, "a/stage.json", None)
    one.send()
    assert seen_by_another(url) == {"a/one.parquet": b"x"}
    there = fsspec.filesystem("memory").find("/mirror/gone")
    assert [name for name in there if COMMITS not in name] == ["/mirror/gone/a/one.parquet"]


def test_what_is_half_written_is_not_sent(tmp_path: Path) -> None:
    url = "memory://mirror/half"
    one = at(tmp_path, url)
    one.take()
    write(tmp_path, "a/one.parquet", b"x")
    write(tmp_path, "a/two.parquet.123.partial", b"x")
    write(tmp_path, "a/verify-1.partial/two.parquet", b"x")
    one.send()
    assert seen_by_another(url) == {"a/one.parquet": b"x"}


def test_who_was_replaced_changes_nothing(tmp_path: Path) -> None:
    url = "memory://mirror/replaced"
    first, second = at(tmp_path / "one", url), at(tmp_path / "two", url)
    first.take()
    write(tmp_path / "one", "two.parquet", b"of the first")
    first.send()
    second.take()
    write(tmp_path / "one", "two.parquet", b"of the first, later")
    with pytest.raises(RunError, match="has gone on with it since; this process ends, and has changed nothing there"):
        first.send()
    assert first.lost
    assert seen_by_another(url) == {"two.parquet": b"of the first"}


def test_what_another_machine_cannot_have_is_named_so_that_it_is_made_again(tmp_path: Path) -> None:
    here, there, url = tmp_path / "here", tmp_path / "there", "memory://mirror/lost"
    first = at(here, url)
    first.take()
    write(here, "a/one.parquet", b"1")
    write(here, "a/two.parquet", b"2")
    first.send(released=True)
    fsspec.filesystem("memory").pipe_file("/mirror/lost/a/two.parquet", b"spoilt")
    second = at(there, url)
    assert second.take() == ["a/two.parquet"]
    second.send()
    assert seen_by_another(url) == {"a/one.parquet": b"1"}


def test_a_process_that_is_heard_of_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror, "QUIET", 60.0)
    url = "memory://mirror/busy"
    first = at(tmp_path / "one", url)
    first.take()
    with pytest.raises(RunError, match=r"process \d+ on .* worked in it 0 s ago; wait for it or end it, and if it was"):
        at(tmp_path / "two", url).take()
    at(tmp_path / "one", url).take()  # the same folder: whoever holds its lock knows that the other is gone
    first = at(tmp_path / "one", url)
    first.take()
    first.send(released=True)
    at(tmp_path / "two", url).take()


def test_old_commits_do_not_pile_up(tmp_path: Path) -> None:
    url = "memory://mirror/many"
    for number in range(4):
        one = at(tmp_path, url)
        one.take()
        for data in (b"x", b"y"):
            write(tmp_path, "a/one.parquet", data + bytes([number]))
            one.send()
    records = fsspec.filesystem("memory").ls(f"/mirror/many/{COMMITS}", detail=False)
    last = read_log(url)
    assert last is not None and len(records) == 3 and last.number == 12


def test_a_damaged_log_is_told(tmp_path: Path) -> None:
    fsspec.filesystem("memory").pipe_file(f"/mirror/damaged/{COMMITS}/00000001.json", b"{")
    with pytest.raises(RunError, match=r"memory://mirror/damaged/\.commits is damaged"):
        at(tmp_path, "memory://mirror/damaged").take()
