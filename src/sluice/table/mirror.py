"""A folder of this machine and the same folder in a store: what is committed here is sent there, as one commit.

The folder here is for working in; large files that a store alone is to hold go there by themselves. One process at a
time sends: who comes later takes the folder over, and the earlier one is told at its next commit, before it has written
anything there.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import time
import uuid
from collections.abc import Callable, Generator, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from sluice.errors import RunError
from sluice.table import remote
from sluice.table.commit import PARTIAL, commit, write_json
from sluice.table.commit_log import (
    Content,
    Snapshot,
    check_commits,
    forget_before,
    is_last,
    read_log,
)
from sluice.table.commit_log import commit as commit_record
from sluice.table.remote import MissingRemoteError, RemoteError, in_rounds
from sluice.table.remote_write import PART, TakenError, download, put, remove, upload

QUIET: Final = 120.0  # seconds without a commit after which a process counts as gone
_AT_ONCE: Final = 8
_EVERY: Final = 15.0  # seconds between commits while work goes on, and more where a commit takes long
_STAY_ALIVE: Final = QUIET / 3
_SEALS: Final = ("stage.json", "SHA256SUMS")  # say of others that they are there: written after, removed before them
_CHATTER: Final = {"events.jsonl"}  # grows with every word that is said: no news by itself
_TRIES: Final = 5

Stamp = tuple[int, int, int]  # size, time of change, inode: another file has another one


@dataclass
class _Known:
    """What the last commit knew of the folder here; kept beside it."""

    owner: str
    number: int = 0
    files: dict[str, tuple[Content, Stamp]] = field(default_factory=dict[str, tuple[Content, Stamp]])


class Mirror:
    """The folder `here` and `url`; `state` is a file that remembers, `is_ours` says which files are sent at all."""

    def __init__(self, here: Path, url: str, state: Path, is_ours: Callable[[str], bool]) -> None:
        self.url = url
        self._here, self._state, self._is_ours = here, state, is_ours
        self._known = _remembered(state, url)
        self._files: dict[str, Content] = {}
        self._due = self._alive_until = 0.0
        self.lost = False  # whether another process has taken the folder over

    def take(self) -> list[str]:
        """Take the folder over, and bring what another machine committed; what of that could not be had.

        RunError where another process is working in it.
        """
        with _told():
            return self._take()

    def _take(self) -> list[str]:
        self._remember()  # a process that is killed in its first instant is known again
        last = read_log(self.url)
        lost: list[str] = []
        if last is None:
            _must_be_empty(self.url)
            self._commit(Snapshot(1, self._known.owner, _who(), False, None, {}), None)
            check_commits(self.url, 1)
        else:
            if last.owner != self._known.owner:
                _must_be_quiet(self.url, last)
                lost = self._bring(lambda name: True, last)
                self._remove_others(last.files)
            self._files = dict(last.files)
            self._commit(
                replace(last, number=last.number + 1, owner=self._known.owner, who=_who(), released=False), None
            )
            forget_before(self.url, self._known.number)
        self._remember()
        return lost

    def send_if_due(self) -> None:
        """Send what has changed, if the last time is long enough ago."""
        now = time.monotonic()
        if now >= self._due:
            self.send()
            self._due = time.monotonic() + max(_EVERY, 20 * (time.monotonic() - now))

    def send(self, *, released: bool = False) -> None:
        """Send what has changed and commit it; RunError where another process has taken the folder over."""
        with _told():
            self._send(released)

    def _send(self, released: bool) -> None:
        found = dict(self._scan())
        changed = [
            name
            for name, stamp in found.items()
            if name not in self._known.files or self._known.files[name][1] != stamp
        ]
        gone = [name for name in self._known.files.keys() | self._files.keys() if name not in found]
        idle = not gone and not released and set(changed) <= _CHATTER
        if idle and time.monotonic() < self._alive_until:
            return
        if not is_last(self.url, self._known.number):
            raise self._taken()
        remove(f"{self.url}/{name}" for name in gone if _is_seal(name))
        changes: dict[str, Content | None] = dict.fromkeys(gone)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for seals in (False, True):
                some = [name for name in changed if _is_seal(name) == seals]
                for name, content in zip(some, pool.map(self._send_one, some), strict=True):
                    if content is None:
                        continue
                    self._known.files[name] = content, found[name]
                    if self._files.get(name) != content:
                        changes[name] = content
        for name, content in changes.items():
            if content is None:
                self._files.pop(name, None)
                self._known.files.pop(name, None)
            else:
                self._files[name] = content
        snapshot = Snapshot(self._known.number + 1, self._known.owner, _who(), released, None, self._files)
        self._commit(snapshot, None if released else changes)  # a last one is whole: who reads it reads no other
        remove(f"{self.url}/{name}" for name in gone if not _is_seal(name))
        self._remember()

    def _send_one(self, name: str) -> Content | None:
        """Send a file that the store does not hold yet; None where it went while it was looked at."""
        try:
            return self._sent(self._here / name, name)
        except FileNotFoundError as error:
            if isinstance(error, RemoteError):
                raise
            return None

    def _sent(self, path: Path, name: str) -> Content:
        uri = f"{self.url}/{name}"
        if path.stat().st_size > PART:
            with path.open("rb") as file:
                content = Content(path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())
            if self._files.get(name) != content:
                upload(uri, path)
            return content
        data = path.read_bytes()  # once: a file that is appended to is sent as far as it was hashed
        content = Content(len(data), hashlib.sha256(data).hexdigest())
        if self._files.get(name) != content:
            put(uri, data)
        return content

    def bring(self, wanted: Callable[[str], bool], last: Snapshot | None = None) -> list[str]:
        """Bring the files `wanted` as of the last commit; the names of those that could not be had as committed."""
        with _told():
            return self._bring(wanted, last)

    def _bring(self, wanted: Callable[[str], bool], last: Snapshot | None) -> list[str]:
        lost: list[str] = []
        for _ in range(_TRIES):
            last = last or read_log(self.url)
            if last is None:
                raise RunError(f"{self.url}: nothing was ever committed there; give the URL that a recipe has as `run`")
            if last.owner == self._known.owner:
                return []  # it was committed from here: what lies here is that, or newer
            names = [name for name in last.files if self._is_ours(name) and wanted(name)]
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                had = list(pool.map(partial(self._bring_one, last.files), names))
            lost = [name for name, came in zip(names, had, strict=True) if not came]
            if not lost:
                break
            again = read_log(self.url)
            if again is None or again.number == last.number:
                break  # nobody is at it: what is not there will not come
            last = again
        self._remember()
        return lost

    def _bring_one(self, files: Mapping[str, Content], name: str) -> bool:
        content, path = files[name], self._here / name
        known = self._known.files.get(name)
        if known and known[0] == content and _stamp(path) == known[1]:
            return True
        try:
            with commit(path) as partial_path:
                _bring_bytes(f"{self.url}/{name}", partial_path, content)
        except MissingRemoteError:
            return False
        stamp = _stamp(path)
        if stamp:
            self._known.files[name] = content, stamp
        return True

    def _remove_others(self, files: Mapping[str, Content]) -> None:
        for name, _ in list(self._scan()):
            if name not in files:
                (self._here / name).unlink(missing_ok=True)

    def _scan(self) -> Iterable[tuple[str, Stamp]]:
        """Every file of the folder here that is to be there too."""
        for folder, below, names in os.walk(self._here):
            below[:] = [name for name in below if not name.endswith(PARTIAL)]
            for each in names:
                path = Path(folder, each)
                name = path.relative_to(self._here).as_posix()
                if not each.endswith(PARTIAL) and path != self._state and self._is_ours(name):
                    stamp = _stamp(path)
                    if stamp:
                        yield name, stamp

    def _commit(self, snapshot: Snapshot, changes: Mapping[str, Content | None] | None) -> None:
        try:
            commit_record(self.url, snapshot, changes)
        except TakenError as error:
            raise self._taken() from error
        self._known.number = snapshot.number
        self._alive_until = time.monotonic() + _STAY_ALIVE

    def _taken(self) -> RunError:
        self.lost = True
        last = read_log(self.url)
        who = last.who if last else "another process"
        return RunError(
            f"{self.url}: {who} has gone on with it since; this process ends, and has changed nothing there"
        )

    def _remember(self) -> None:
        files = {name: [*vars(content).values(), *stamp] for name, (content, stamp) in self._known.files.items()}
        plain = {"url": self.url, "owner": self._known.owner, "number": self._known.number, "files": files}
        write_json(self._state, plain)


@contextmanager
def _told() -> Generator[None]:
    """What a store refuses is for the person who started the run."""
    try:
        yield
    except RemoteError as error:
        raise RunError(str(error)) from error


def heard_of(url: str) -> bool:
    """Whether a process works in the folder at `url`, or did a moment ago and has not said that it ended."""
    last = read_log(url)
    return last is not None and not last.released and last.made is not None and time.time() - last.made < QUIET


def _bring_bytes(uri: str, path: Path, content: Content) -> None:
    """Write the file as it was committed to `path`; MissingRemoteError where the store holds another."""
    if content.size <= PART:
        path.write_bytes(in_rounds(uri, lambda: remote.read_start(uri, content.size + 1)))
    else:
        download(uri, path)
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != content.sha256:
            raise MissingRemoteError("its bytes are not those that were committed")


def _remembered(state: Path, url: str) -> _Known:
    try:
        plain: dict[str, Any] = json.loads(state.read_bytes())
        if plain["url"] == url:
            files = {name: (Content(*row[:2]), (row[2], row[3], row[4])) for name, row in plain["files"].items()}
            return _Known(plain["owner"], plain["number"], files)
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        pass  # none yet, or none of ours: all is looked at anew
    return _Known(uuid.uuid4().hex)


def _must_be_empty(url: str) -> None:
    system, path = remote.filesystem(url)
    try:
        found = in_rounds(url, lambda: remote.tried(lambda: system.ls(path, detail=False)))
    except MissingRemoteError:
        return
    if found:
        raise RunError(f"{url}: something lies there already that no run of ours committed; choose another place")


def _must_be_quiet(url: str, last: Snapshot) -> None:
    if last.released or last.made is None:
        return
    quiet = max(0.0, time.time() - last.made)
    if quiet < QUIET:
        raise RunError(
            f"{url}: {last.who} worked in it {quiet:.0f} s ago; wait for it or end it, and if it was killed run again "
            f"in {QUIET - quiet:.0f} s"
        )


def _stamp(path: Path) -> Stamp | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino


def _is_seal(name: str) -> bool:
    return name.rpartition("/")[2] in _SEALS


def _who() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"
