"""The files of a pack beside its shards: images of a shard, and what lists the shards of a format."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from sluice.pack.documents import image_files
from sluice.pack.formats import index_of
from sluice.pack.listed import IndexFile, Listed
from sluice.pack.manifest import write_checksums, write_manifest
from sluice.table.commit import commit


def files_beside(folder: Path, shard: str) -> Iterator[tuple[str, str]]:
    """The files that a shard has beside it, by path below `folder`, each with its SHA-256."""
    if shard.endswith(".jsonl"):
        parent = shard.rpartition("/")[0]
        for name, sha256 in image_files(folder / shard):
            yield f"{parent}/{name}", sha256


def index_files(folder: Path, format: str, shards: Sequence[Listed]) -> Iterator[IndexFile]:
    """The files that list the `shards` of a format, as they must be."""
    index = index_of(format)
    if index is not None:
        yield from index(folder, shards)


def write_indexes(folder: Path, format: str, shards: Sequence[Listed]) -> dict[str, str]:
    """Commit the files that list the shards of a format, SHA-256 by path; one that is there already is not touched."""
    checksums: dict[str, str] = {}
    for file in index_files(folder, format, shards):
        digest = hashlib.sha256()
        with commit(folder / file.name, keep_equal=True) as partial, partial.open("wb") as sink:
            for piece in file.pieces:
                digest.update(piece)
                sink.write(piece)
        checksums[file.name] = digest.hexdigest()
    return checksums


def finish_pack(folder: Path, shards: Sequence[Listed], others: Mapping[str, str]) -> dict[str, str]:
    """Write what lists the finished `shards`, in order: indexes, manifest, checksums; returns SHA-256 by path.

    `others` are further files of the pack with their SHA-256.

    A format is listed by itself, so one that is added to a pack changes no file of another.
    """
    checksums = {**others, **{shard.name: shard.sha256 for shard in shards}}
    for shard in shards:
        checksums.update(files_beside(folder, shard.name))
    for format, listed in groupby(shards, key=lambda shard: shard.name.partition("/")[0]):
        checksums |= write_indexes(folder, format, list(listed))
    write_manifest(folder, (shard.rows() for shard in shards))
    write_checksums(folder, checksums)
    return checksums


def index_problems(folder: Path, format: str, shards: Sequence[Listed]) -> Iterator[tuple[str, str]]:
    """Files that list the shards of a format and are not as they must be: path and what is wrong."""
    for file in index_files(folder, format, shards):
        try:
            with (folder / file.name).open("rb") as found:
                same = (
                    file.same(folder / file.name)
                    if file.same
                    else all(found.read(len(piece)) == piece for piece in file.pieces) and not found.read(1)
                )
        except FileNotFoundError:
            yield file.name, "the file is missing"
            continue
        if not same:
            yield file.name, f"it is not what the {format} shards make it"
