"""What lies in folders, local or behind an fsspec URL, in one order: a folder's files by name, then its folders."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from stat import S_ISDIR
from typing import Any, Final

from sluice.errors import SourceError
from sluice.sources.base import SourceFile
from sluice.table import remote
from sluice.table.refs import local_path, local_uri

_PIECE: Final = 2**14  # bytes read at a time: most sidecars are smaller


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder with the names of its files, sorted; `file` gives one of them with size and stamp.

    Names alone are held, because a flat folder may have millions of files.
    """

    uri: str
    names: list[str]
    file: Callable[[str], SourceFile]
    uri_of: Callable[[str], str]  # of a file, without asking for its size


def folders(root: str) -> Iterator[Folder]:
    """Every folder from `root` on down, what is hidden left out; none where `root` is no folder."""
    return _remote_folders(root) if "://" in root else _local_folders(root)


def walk(root: str) -> Iterator[SourceFile]:
    """Every file below the folder `root`."""
    return (folder.file(name) for folder in folders(root) for name in folder.names)


def grouped(files: list[SourceFile]) -> Iterator[Folder]:
    """Files that are listed already, by their folders."""
    for uri, group in groupby(files, key=lambda file: file.uri.rpartition("/")[0]):
        known = {file.uri.rpartition("/")[2]: file for file in group}
        yield Folder(uri, list(known), known.__getitem__, lambda name, known=known: known[name].uri)


def _local_folders(root: str) -> Iterator[Folder]:
    seen: set[tuple[int, int]] = set()  # a link back up would otherwise be walked for ever
    pending = [root]
    while pending:
        uri = pending.pop()
        names: list[str] = []
        inner: list[str] = []
        try:
            facts = os.stat(uri)  # noqa: PTH116 - as in stat_file
            if (facts.st_dev, facts.st_ino) in seen:
                continue
            seen.add((facts.st_dev, facts.st_ino))
            with os.scandir(uri) as entries:
                for entry in entries:
                    if entry.name[0] != ".":
                        (inner if entry.is_dir() else names).append(entry.name)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise SourceError(f"{uri}: cannot be listed: {error.strerror}") from error
        names.sort()
        start = uri if uri.endswith("/") else f"{uri}/"
        yield Folder(
            uri,
            names,
            lambda name, start=start: _local_file(start + name),
            lambda name, start=start: local_uri(start + name),
        )
        pending += [start + name for name in sorted(inner, reverse=True)]


def _local_file(path: str) -> SourceFile:
    # a dangling link is a file that cannot be read, not one that is not there
    return stat_file(path) or SourceFile(local_uri(path), None, "")


def _remote_folders(root: str) -> Iterator[Folder]:
    try:
        _, path = remote.filesystem(root)
        listing = remote.find(root)
    except OSError as error:
        raise SourceError(f"{root}: cannot be listed: {error}") from error
    cut = len(path.rstrip("/")) + 1
    parts = {name: name[cut:].split("/") for name in listing}
    shown = [name for name in listing if name[cut:] and not any(part.startswith(".") for part in parts[name])]
    ordered = sorted(shown, key=lambda name: [*((True, part) for part in parts[name][:-1]), (False, parts[name][-1])])
    start = root.rstrip("/")
    for inner, group in groupby(ordered, key=lambda name: name[:cut] + name[cut:].rpartition("/")[0]):
        known = {name.rpartition("/")[2]: name for name in group}
        uri = f"{start}/{inner[cut:]}".rstrip("/")

        def file(name: str, uri: str = uri, known: dict[str, str] = known) -> SourceFile:
            facts = listing[known[name]]
            if facts.get("size") is None:  # an index page names files, and says nothing of them
                return stat_file(f"{uri}/{name}") or SourceFile(f"{uri}/{name}", None, "")
            return _remote_file(f"{uri}/{name}", facts)

        yield Folder(uri, list(known), file, lambda name, uri=uri: f"{uri}/{name}")


def stat_file(uri: str) -> SourceFile | None:
    """The file `uri` with size and stamp, or None when there is no such file."""
    if "://" in uri and not uri.startswith("file://"):
        try:
            facts = remote.info(uri)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SourceError(f"{uri}: {error}") from error
        # on the web everything is a file; a folder's page is one at whose end the server puts a slash
        is_file = facts.get("type") == "file" and not str(facts.get("url", uri)).endswith("/")
        return _remote_file(uri, facts) if is_file else None
    try:
        facts = os.stat(uri)  # noqa: PTH116 - a million Path objects cost more than their listing
    except (OSError, ValueError):
        return None
    return None if S_ISDIR(facts.st_mode) else SourceFile(local_uri(uri), facts.st_size, str(facts.st_mtime_ns))


def read_small(uri: str, most: int) -> bytes:
    """The first `most` bytes of a file: sidecars and other small things that become part of a sample."""
    if "://" in uri and not uri.startswith("file://"):
        return remote.read_start(uri, most)
    descriptor = os.open(local_path(uri) or uri, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = b""  # not `most` at once: room for a megabyte would be made, and cleared
        while len(data) < most and (more := os.read(descriptor, min(most - len(data), _PIECE))):
            data += more
        return data
    finally:
        os.close(descriptor)


def _remote_file(uri: str, facts: dict[str, Any]) -> SourceFile:
    size = facts.get("size")
    return SourceFile(uri, size if isinstance(size, int) else None, remote.stamp(facts))
