"""Writing behind a URL, through fsspec: small files in one request, large ones in parts, and files that are made once.

Nothing is held but one part. What fails is tried as in `sluice.table.remote`; what was sent in part is taken back.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from sluice.table.remote import (
    MissingRemoteError,
    RemoteError,
    RemoteFile,
    code_of,
    filesystem,
    in_rounds,
    info,
    read_start,
    stamp,
    tried,
)

PART: Final = 16 * 2**20  # bytes a request: 10,000 of them are the largest shard that S3 takes, 156 GiB
_ALL: Final = 2**40
_MANY: Final = 1_000  # removed by one request
_EXISTS: Final = ("PreconditionFailed", "412")
_FLAT: Final = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss")  # stores of names: a folder is a part of them


class TakenError(RemoteError):
    """Another has made the file already, and says something else in it."""


def put(uri: str, data: bytes) -> None:
    """Write a small file in one request, in place of another."""
    system, path = _place(uri)
    in_rounds(uri, lambda: tried(lambda: system.pipe_file(path, data)))


def create(uri: str, data: bytes) -> None:
    """Write a small file that is not there yet; TakenError where there is one that is not this.

    A request whose answer was lost is sent again and finds what it made itself: so the content decides, and it has to
    name its writer.
    """
    system, path = _place(uri)

    def made() -> bool:
        try:
            system.pipe_file(path, data, mode="create")
        except FileExistsError:
            return False
        except OSError as error:
            if code_of(error) in _EXISTS:
                return False
            raise
        return True

    if not in_rounds(uri, lambda: tried(made)) and in_rounds(uri, partial(read, uri)) != data:
        raise TakenError(f"{uri}: there is one already")


def _place(uri: str) -> tuple[Any, str]:
    """The file system and the path in it, whose folder is made where the store has folders."""
    system, path = filesystem(uri)
    if uri.partition("://")[0] not in _FLAT:
        tried(lambda: system.makedirs(path.rpartition("/")[0], exist_ok=True))
    return system, path


def read(uri: str) -> bytes:
    """All of a small file, in one request."""
    return read_start(uri, _ALL)


def upload(uri: str, path: Path) -> str:
    """Write the file at `path` behind `uri`, in parts where it is large; what the store calls this version of it."""
    if path.stat().st_size <= PART:
        put(uri, path.read_bytes())
    else:
        in_rounds(uri, partial(_in_one_round, uri, path))
    found = in_rounds(uri, partial(info, uri))
    if found.get("size") != path.stat().st_size:
        raise RemoteError(f"{uri}: {found.get('size')} bytes arrived of {path.stat().st_size:,}")
    return stamp(found)


def _in_one_round(uri: str, path: Path) -> None:
    try:
        tried(partial(_in_parts, uri, path))
    except MissingRemoteError as error:  # of the upload: it was finished, the answer was lost, and it is asked again
        raise RemoteError("the store does not know the upload any more") from error


def _in_parts(uri: str, path: Path) -> None:
    system, where = _place(uri)
    # with autocommit its `close` would finish a file that was cut short
    target = system.open(where, "wb", block_size=PART, autocommit=False)
    try:
        with path.open("rb") as source:
            while part := source.read(PART):
                target.write(part)
        target.close()
        target.commit()
    except BaseException:
        target.closed = True
        with suppress(Exception):  # what cannot be taken back now is let go of by the next run
            target.discard()
        raise


def download(uri: str, path: Path) -> None:
    """Bring a file, a part after the other; begun anew where it was cut."""

    def whole() -> None:
        with RemoteFile(uri) as source, path.open("wb") as target:
            while source.tell() < source.size:
                target.write(source.read(PART // 2))

    in_rounds(uri, whole)


def abandon_parts(url: str) -> None:
    """Let go of what was sent in part below `url` by who was killed: a store that bills it keeps it otherwise."""
    system, path = filesystem(url)
    if hasattr(system, "call_s3"):
        bucket, _, prefix = path.partition("/")
        found = tried(lambda: system.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=f"{prefix}/"))
        for upload in found.get("Uploads", ()):
            each = partial(system.call_s3, "abort_multipart_upload", Bucket=bucket, Key=upload["Key"])
            tried(partial(each, UploadId=upload["UploadId"]))


def remove(uris: Iterable[str]) -> None:
    """Remove files that are there."""
    listed = list(uris)
    for start in range(0, len(listed), _MANY):
        some = listed[start : start + _MANY]
        system, _ = filesystem(some[0])
        paths = [filesystem(uri)[1] for uri in some]
        in_rounds(some[0], partial(tried, partial(_remove, system, paths)))


def _remove(system: Any, paths: list[str]) -> None:
    try:
        system.rm(paths)
    except FileNotFoundError:  # an earlier try that was cut off, or another process: one by one then
        for path in paths:
            if system.exists(path):
                system.rm_file(path)
