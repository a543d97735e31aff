"""Where a pack lies: in a folder, or behind a URL with its files in a cache on this machine's disk.

A shard is brought whole, in pieces that are each tried three times, in up to five rounds with growing pauses between;
it counts when its SHA-256 is that of the pack's checksums file. Cached files are named by that checksum, so a changed
shard is another file, and two packs that share a shard share its copy.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Final, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from sluice.errors import RunError
from sluice.load.cache import DiskCache, Needs, Slot, touch
from sluice.pack.manifest import AUGMENT_FILE, CHECKSUMS_FILE, MANIFEST_FILE, parse_checksums
from sluice.table import remote
from sluice.table.refs import local_path
from sluice.table.remote import MissingRemoteError, Positioned, RemoteError, RemoteFile, in_rounds

_FINAL: Final = "04_final"
_PIECE: Final = 8 * 2**20  # bytes a request: enough that its latency does not count, few enough to hold
_TOUCH_EVERY: Final = 5.0  # seconds
_FOOTERS: Final = 16  # read at once


class StoppedError(Exception):
    """A download was given up on because nobody wants it any more."""


class LocalStore:
    """A pack in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.where = str(folder)
        self.address = str(folder.absolute())

    def identity(self, *, of_manifest: bool) -> bytes:
        """What another pack has otherwise: the checksums, or where there are none (of ours) the manifest."""
        sums = b"" if of_manifest else self.small(CHECKSUMS_FILE) or b""
        return _of_samples(sums) or (self._folder / MANIFEST_FILE).read_bytes()

    def small(self, name: str) -> bytes | None:
        """A small file of the pack, None where it has none."""
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None

    def open(self, name: str) -> int:
        """A descriptor of a file of the pack."""
        return os.open(self._folder / name, os.O_RDONLY)

    def table(self, name: str) -> Path:
        """What pyarrow reads a Parquet file of the pack from."""
        return self._folder / name

    def row_groups(self, shards: Sequence[str]) -> list[list[int]]:
        """The rows of each row group of each shard."""
        return [_local_rows(self._folder / shard) for shard in shards]

    def used(self, name: str, descriptor: int) -> None:
        """An open file was read: nothing follows from it."""


class RemoteStore:
    """A pack behind an fsspec URL; its checksums are asked for anew, all else comes through the cache."""

    def __init__(self, url: str, cache: DiskCache) -> None:
        self._cache = cache
        self.where, self._manifest = _with_manifest(url.rstrip("/"))
        self.address = self.where
        try:
            self._sums = remote_bytes(f"{self.where}/{CHECKSUMS_FILE}")
        except MissingRemoteError:
            self._sums = b""
        except RemoteError as error:
            raise RunError(f"{self.where}/{CHECKSUMS_FILE}: {error}") from error
        self._checksums = parse_checksums(self._sums, f"{self.where}/{CHECKSUMS_FILE}")
        self._names: dict[str, str] = {}
        self._used: dict[str, float] = {}

    def identity(self, *, of_manifest: bool) -> bytes:
        """What another pack has otherwise: the checksums, or where there are none (of ours) the manifest."""
        if self._sums and not of_manifest:
            return _of_samples(self._sums)
        with OpenedFile(self.open(MANIFEST_FILE)) as file:
            return file.read()

    def open(self, name: str) -> int:
        """A descriptor of a file of the pack, which is brought first; RemoteError where it cannot be had."""
        return self._cache.open(self.cached_as(name), partial(self._download, name, lambda: False))

    def small(self, name: str) -> bytes | None:
        """A small file of the pack, None where it has none."""
        try:
            with OpenedFile(self.open(name)) as file:
                return file.read()
        except MissingRemoteError:
            return None

    def fetch_ahead(self, name: str, needs: Needs, stopped: Callable[[], bool]) -> None:
        """Bring a file before it is asked for; NoRoomError where one that is needed sooner would have to go."""
        self._cache.fetch_ahead(self.cached_as(name), partial(self._download, name, stopped), needs)

    def table(self, name: str) -> OpenedFile:
        """What pyarrow reads a Parquet file of the pack from."""
        return OpenedFile(self.open(name))

    def row_groups(self, shards: Sequence[str]) -> list[list[int]]:
        """The rows of each row group of each shard: from their footers alone, which one process reads for all."""
        if shards and shards[0].endswith(".arrow"):  # only the whole file tells how many rows its batches have
            raise RunError(f"{self.where}: Arrow files are read from a disk alone: copy them, or export Parquet")
        names = "\n".join(["row groups", *map(self.cached_as, shards)])
        with OpenedFile(self._cache.open(f"{_sha256(names)}.json", partial(self._footers, shards))) as file:
            return json.loads(file.read())

    def used(self, name: str, descriptor: int) -> None:
        """An open file was read: it is not among the first to go from the cache."""
        now = time.monotonic()
        if now - self._used.get(name, -_TOUCH_EVERY) >= _TOUCH_EVERY:
            self._used[name] = now
            touch(descriptor)

    def cached_as(self, name: str) -> str:
        """The name of a file in the cache: its checksum, or that of its address, size and stamp where it has none."""
        if name not in self._names:
            digest = self._checksums.get(name)
            if digest is None:
                uri = f"{self.where}/{name}"
                facts = self._manifest if name == MANIFEST_FILE else in_rounds(uri, partial(remote.info, uri))
                sums = _sha256(self._sums)
                digest = _sha256("\n".join([uri, str(facts.get("size")), remote.stamp(facts), sums]))
            self._names[name] = f"{digest}{PurePosixPath(name).suffix}"
        return self._names[name]

    def _download(self, name: str, stopped: Callable[[], bool], slot: Slot) -> None:
        """Write a file of the pack, whole and as its checksum says."""
        uri, expected = f"{self.where}/{name}", self._checksums.get(name)
        done, digest = 0, hashlib.sha256()

        def round_of_tries() -> None:  # the next one goes on where this one ended
            nonlocal done, digest
            with RemoteFile(uri) as file:
                slot.reserve(file.size)
                while done < file.size:
                    if stopped():
                        raise StoppedError
                    data = file.at(done, _PIECE)
                    slot.write(data, done)
                    digest.update(data)
                    done += len(data)
                whole = done == file.size and digest.hexdigest() == (expected or digest.hexdigest())
            if not whole:
                done, digest = 0, hashlib.sha256()
                raise RemoteError(f"its bytes are not those that {CHECKSUMS_FILE} names")

        in_rounds(uri, round_of_tries)

    def _footers(self, shards: Sequence[str], slot: Slot) -> None:
        """Write the rows of the row groups of `shards`."""

        def of(shard: str) -> list[int]:
            return in_rounds(f"{self.where}/{shard}", partial(_remote_rows, f"{self.where}/{shard}"))

        with ThreadPoolExecutor(_FOOTERS) as pool:
            data = json.dumps(list(pool.map(of, shards))).encode()
        slot.reserve(len(data))
        slot.write(data, 0)


Store: TypeAlias = LocalStore | RemoteStore


def open_store(source: Path | str, cache: DiskCache) -> Store:
    """Where the manifest of `source` lies: in it, or in its `04_final`; RunError where there is none."""
    path = local_path(str(source))
    if path is None:
        return RemoteStore(str(source), cache)
    path = Path(os.fsdecode(path))
    for folder in (path, path / _FINAL):
        if (folder / MANIFEST_FILE).is_file():
            return LocalStore(folder)
    raise _no_manifest(path)


class OpenedFile(Positioned, io.RawIOBase):
    """A file by its descriptor, closed with it. It may be removed meanwhile, and forked processes may share it."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self.size = os.fstat(descriptor).st_size

    def readinto(self, buffer: Any, /) -> int:
        """Fill `buffer` from here on, as far as the file goes."""
        count = os.preadv(self._descriptor, [buffer], self._at)
        self._at += count
        return count

    def close(self) -> None:
        """Close the descriptor."""
        if not self.closed:
            os.close(self._descriptor)
        super().close()


def remote_bytes(uri: str) -> bytes:
    """All of a small file, as long as the store says that it is."""
    with RemoteFile(uri) as file:
        return file.read()


def _with_manifest(url: str) -> tuple[str, dict[str, Any]]:
    """The folder at `url` that has a manifest, and what the store says of that."""
    for folder in (url, f"{url}/{_FINAL}"):
        try:
            return folder, remote.info(f"{folder}/{MANIFEST_FILE}")
        except MissingRemoteError:
            continue
        except RemoteError as error:
            raise RunError(f"{folder}/{MANIFEST_FILE}: {error}") from error
    raise _no_manifest(url)


def _of_samples(sums: bytes) -> bytes:
    """Checksums without that of the steps of augmentation: these change no sample and no order."""
    return b"".join(line for line in sums.splitlines(True) if not line.endswith(f"  {AUGMENT_FILE}\n".encode()))


def _no_manifest(where: Path | str) -> RunError:
    return RunError(
        f"{where} has no {MANIFEST_FILE}: give a run, its {_FINAL}, or a folder that `sluice export` wrote; "
        f"for WebDataset tars of others run `sluice index` on their folder first"
    )


def _local_rows(path: Path) -> list[int]:
    """The rows of each row group or record batch of a table."""
    try:
        if path.suffix == ".arrow":
            with pa.memory_map(str(path)) as file, pa.ipc.open_file(file) as reader:
                return [reader.get_batch(at).num_rows for at in range(reader.num_record_batches)]
        return _rows(pq.read_metadata(path))
    except (OSError, pa.ArrowException) as error:
        raise RunError(f"{path} is no whole shard ({error}): `sluice verify` says more") from error


def _remote_rows(uri: str) -> list[int]:
    with RemoteFile(uri) as file:
        try:
            return _rows(pq.read_metadata(file))
        except pa.ArrowException as error:
            raise RemoteError(str(error)) from error


def _rows(metadata: Any) -> list[int]:
    return [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]


def _sha256(text: str | bytes) -> str:
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()
