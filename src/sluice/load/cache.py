"""Files on a disk that all processes of a machine share, within a bound: what was used least lately goes first.

| name in `files/` | is |
| --- | --- |
| `NAME` | a whole file, always; when it was used last is its mtime |
| `NAME.partial` | one on its way, as long as it will be, locked by who writes it |
| `NAME.failed` | why the last try came to nothing: for half a minute nobody tries again |

A killed process leaves a partial file without a lock, which the next removes. What is removed stays whole for those who
have it open: a file is handed out as a descriptor, never as a path.
"""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Final, TypeAlias

from sluice.errors import RecipeError, RunError
from sluice.table.file_lock import is_open_at, lock, remove_if_left, unlock
from sluice.table.remote import RemoteError

Fill: TypeAlias = "Callable[[Slot], None]"
Needs: TypeAlias = Mapping[str, int]  # names of files that are needed soon, by how soon: 0 is first

MOST: Final = "100 GB"
_NAME: Final = re.compile(r"[0-9a-f]{64}(\.[a-z0-9]+)?$")  # nothing else is ever counted or removed
_PARTIAL: Final = ".partial"
_FAILED: Final = ".failed"
_FAILS_FOR: Final = 30.0  # seconds in which a file that could not be had is not asked for again
_NEVER: Final = 2**62
_POLL: Final = 0.05  # seconds between looks for room that others' downloads take
_UNITS: Final = {
    "": 1,
    **{f"{unit}B": 1000**power for power, unit in enumerate("KMGT", 1)},
    **{f"{unit}iB": 1024**power for power, unit in enumerate("KMGT", 1)},
}
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT)


class NoRoomError(Exception):
    """There is no room but that of files that are needed sooner."""


class DiskCache:
    """Up to `most` bytes of files in `folder`, which is made when the first is asked for.

    >>> DiskCache("shards", "1.5 GiB").most
    1610612736
    """

    def __init__(self, folder: Path | str | None = None, most: int | str = MOST) -> None:
        self._folder = folder
        self.most = _bytes(most)

    @cached_property
    def folder(self) -> Path:
        """Where it lies: by default in the user's own cache."""
        given = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "sluice/shards")
        try:
            return (given if self._folder is None else Path(self._folder)).expanduser().absolute()
        except RuntimeError as error:
            raise RunError(f"{error} Give the loader a folder as cache") from error

    @property
    def _files(self) -> Path:
        return self.folder / "files"

    def open(self, name: str, fill: Fill) -> int:
        """A descriptor of the file `name`, which `fill` writes where it is not there: once, whoever else asks.

        RemoteError where it cannot be had; RunError where the disk or the bound is too small.
        """
        with self._told():
            while (found := self._found(name)) is None:
                if failure := self._failure(name):
                    raise RemoteError(failure)
                if (found := self._filled(name, fill, None)) is not None:
                    break
            return found

    def fetch_ahead(self, name: str, fill: Fill, needs: Needs) -> None:
        """Have the file `name` there before it is asked for; NoRoomError where one needed sooner would have to go.

        Returns at once where another is writing it, or where it could not be had just now.
        """
        with self._told():
            found = self._found(name)
            if found is None and not self._failure(name):
                found = self._filled(name, fill, needs)
            if found is not None:
                os.close(found)

    def make_room(self, descriptor: int, size: int, name: str, needs: Needs | None) -> bool:
        """Let the partial file of `name` take `size` bytes, and others go for it: those that nobody is known to need,
        least lately used first, then what is needed last. False, and none goes for nothing, where that is not enough.
        """
        if size > self.most:
            raise RunError(
                f"a file of {size:,} bytes does not fit into the cache {self.folder} of {self.most:,}: "
                "give the loader more cache_bytes, room for two windows at best"
            )
        with self._alone():
            whole, used = self._all_but(f"{name}{_PARTIAL}")
            need = needs or {}
            going: list[str] = []
            for _, file_size, file in sorted(whole, key=lambda one: (-need.get(one[2], _NEVER), one[0])):
                if used + size <= self.most or need.get(file, _NEVER) < need.get(name, 0):
                    break
                going.append(file)
                used -= file_size
            if used + size > self.most:
                return False
            for file in going:
                (self._files / file).unlink(missing_ok=True)
            os.ftruncate(descriptor, size)  # counted as used from now on, written or not
        return True

    def _found(self, name: str) -> int | None:
        """A descriptor of a whole file, which counts as used now."""
        try:
            descriptor = os.open(self._files / name, os.O_RDONLY)
        except FileNotFoundError:
            return None
        touch(descriptor)
        return descriptor

    def _filled(self, name: str, fill: Fill, needs: Needs | None) -> int | None:
        """The file written by `fill`; None where another was at it, so that it is to be looked for again."""
        path, partial = self._files / name, self._files / f"{name}{_PARTIAL}"
        self._files.mkdir(parents=True, exist_ok=True)
        with self._alone():  # who counts would take a file that is not locked yet for one that was left
            descriptor = os.open(partial, os.O_RDWR | os.O_CREAT, 0o644)
            ours = lock(descriptor, wait=False)
        handed_on = False
        try:
            if not ours and (needs is not None or not lock(descriptor, wait=True)):
                return None
            if not is_open_at(partial, descriptor):
                return None
            if path.exists() or self._failure(name):
                partial.unlink()
                return None
            try:
                os.ftruncate(descriptor, 0)  # what a killed process left
                fill(Slot(self, descriptor, name, needs))
                os.fsync(descriptor)
                touch(descriptor)
                with self._alone():  # who counts sees it under one of its names
                    partial.rename(path)
            except BaseException as error:
                if isinstance(error, RemoteError):
                    with suppress(OSError):
                        (self._files / f"{name}{_FAILED}").write_text(str(error))
                partial.unlink(missing_ok=True)
                raise
            handed_on = True
            return descriptor
        finally:
            unlock(descriptor)
            if not handed_on:
                os.close(descriptor)

    def _all_but(self, own: str) -> tuple[list[tuple[int, int, str]], int]:
        """The whole files (last use, bytes, name), and the bytes of all; partial files that nobody writes are gone."""
        whole: list[tuple[int, int, str]] = []
        used = 0
        with os.scandir(self._files) as entries:
            for entry in entries:
                name = entry.name.removesuffix(_PARTIAL).removesuffix(_FAILED)
                if not _NAME.match(name) or entry.name == own:
                    continue
                with suppress(FileNotFoundError):  # what others remove meanwhile
                    facts = entry.stat()
                    if entry.name == name:
                        whole.append((facts.st_mtime_ns, facts.st_size, name))
                        used += facts.st_size
                    elif entry.name.endswith(_PARTIAL):
                        used += 0 if remove_if_left(Path(entry.path)) else facts.st_size
                    elif time.time() - facts.st_mtime > _FAILS_FOR:
                        Path(entry.path).unlink()
        return whole, used

    @contextmanager
    def _alone(self) -> Generator[None]:
        """Nobody else counts, removes or renames files meanwhile."""
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            lock(descriptor, wait=True)
            yield
        finally:
            unlock(descriptor)
            os.close(descriptor)

    def _failure(self, name: str) -> str:
        """Why a file could not be had just now, if that is so."""
        note = self._files / f"{name}{_FAILED}"
        try:
            return note.read_text() if time.time() - note.stat().st_mtime < _FAILS_FOR else ""
        except FileNotFoundError:
            return ""

    @contextmanager
    def _told(self) -> Generator[None]:
        """What the disk refuses, in words."""
        try:
            yield
        except RemoteError:
            raise
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise RunError(
                    f"no room left on the disk of the cache {self.folder}: free some, "
                    "or give the loader fewer cache_bytes or a cache on another disk"
                ) from error
            raise RunError(
                f"the cache {self.folder} cannot be used ({error}): give the loader another folder as cache"
            ) from error


class Slot:
    """The place of a file that is being written."""

    def __init__(self, cache: DiskCache, descriptor: int, name: str, needs: Needs | None) -> None:
        self._cache, self._descriptor, self._name, self._needs = cache, descriptor, name, needs

    def reserve(self, size: int) -> None:
        """Wait for so many bytes of room; NoRoomError where none may be had."""
        while not self._cache.make_room(self._descriptor, size, self._name, self._needs):
            if self._needs is not None:
                raise NoRoomError
            time.sleep(_POLL)  # others' downloads end, and then their files may go

    def write(self, data: bytes, at: int) -> None:
        """Write `data` from byte `at` on."""
        view = memoryview(data)
        while view:
            written = os.pwrite(self._descriptor, view, at)
            view, at = view[written:], at + written


def touch(descriptor: int) -> None:
    """Count a file of the cache as used now."""
    now = time.time_ns()
    with suppress(OSError):  # a cache that is read-only serves what it has
        os.utime(descriptor, ns=(now, now))


def _bytes(size: int | str) -> int:
    """A number of bytes as people write it."""
    if isinstance(size, int):
        return size
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]i?B|)\s*", size)
    if found is None:
        raise RecipeError(f"cache_bytes is a number of bytes or a text such as '100 GB' or '64 GiB', not {size!r}")
    return int(float(found[1]) * _UNITS[found[2]])
