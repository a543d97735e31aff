"""Reading single samples back from the shards, as a trainer would get them: by the manifest, and nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from sluice.pack.tar import BLOCK, TarError, read_members

_END: Final = bytes(2 * BLOCK)
_COLUMNS: Final = ("id", "caption", "captions", "conversations", "image", "images")


@dataclass(frozen=True)
class Packed:
    """A sample as its shard holds it; `problem` says what is not as the manifest says."""

    id: str
    images: tuple[tuple[str, bytes], ...] = ()  # the extension and the bytes of each
    captions: tuple[str, ...] = ()  # best first
    turns: tuple[tuple[str, str], ...] = ()  # role and text of what is no caption
    problem: str | None = None


def read_packed(folder: Path, rows: Sequence[dict[str, Any]]) -> Iterator[Packed]:
    """The samples that the manifest's `rows` name, shard by shard; what cannot be read is a `Packed` with a problem."""
    ordered = sorted(rows, key=lambda row: (row["shard"], row["index"]))
    for shard, named in groupby(ordered, key=lambda row: row["shard"]):
        path, wanted = folder / shard, list(named)
        yield from _from_tar(path, wanted) if path.suffix == ".tar" else _from_parquet(path, wanted)


def _from_tar(path: Path, rows: Sequence[dict[str, Any]]) -> Iterator[Packed]:
    for row in rows:
        try:
            with path.open("rb") as file:
                file.seek(row["offset"])
                part = BytesIO(file.read(row["size"]) + _END)
            yield _checked(_tar_sample(part, row["id"]), row)
        except (OSError, TarError, KeyError, TypeError, ValueError) as error:
            yield Packed(row["id"], problem=_unreadable(error))


def _tar_sample(part: BytesIO, id: str) -> Packed:
    images: list[tuple[str, bytes]] = []
    document: dict[str, Any] = {}
    for member in list(read_members(part)):
        part.seek(member.offset)
        data = part.read(member.size)
        owner, _, extension = member.name.partition(".")
        if owner != id:
            raise ValueError(f"there lies a member of sample {owner}")
        if extension == "json":
            document = json.loads(data)
        elif extension != "txt":
            images.append((extension.rpartition(".")[2], data))
    captions = tuple(caption["text"] for caption in document["captions"])
    turns = tuple((text["role"], text["text"]) for text in document["texts"])
    return Packed(document["id"], tuple(images), captions, turns)


def _from_parquet(path: Path, rows: Sequence[dict[str, Any]]) -> Iterator[Packed]:
    left = list(rows)
    try:
        with pq.ParquetFile(path) as file:
            names = [name for name in _COLUMNS if name in file.schema_arrow.names]
            start = 0
            for group in range(file.num_row_groups):
                size = file.metadata.row_group(group).num_rows
                here = [row for row in left if start <= row["index"] < start + size]
                if here:
                    table = file.read_row_group(group, names)
                    for row in here:
                        (found,) = table.slice(row["index"] - start, 1).to_pylist()
                        left.remove(row)
                        yield _checked(_parquet_sample(found), row)
                start += size
        problem = "the shard has no such row"
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
        problem = _unreadable(error)
    for row in left:
        yield Packed(row["id"], problem=problem)


def _parquet_sample(row: dict[str, Any]) -> Packed:
    held = row["images"] if "images" in row else [row["image"]] if row["image"] else []
    images = tuple(((one["path"] or "").rpartition(".")[2], one["bytes"] or b"") for one in held or [])
    turns = tuple((turn["from"], turn["value"]) for turn in row.get("conversations") or [])
    return Packed(row["id"], images, tuple(row["captions"] or ()), turns)


def _checked(found: Packed, row: dict[str, Any]) -> Packed:
    """`found`, with what is not as the manifest's `row` says; never under another sample's id."""
    problem = None
    digest = hashlib.sha256(found.images[0][1]).hexdigest() if found.images else None
    if found.id != row["id"]:
        problem = f"there lies sample {found.id}"
    elif digest != row["sha256"]:
        problem = "its image is not the one that the manifest names"
    elif len(found.captions) != row["captions"]:
        problem = f"it has {len(found.captions)} captions, the manifest says {row['captions']}"
    return Packed(row["id"], found.images, found.captions, found.turns, problem)


def _unreadable(error: Exception) -> str:
    return f"cannot be read from its shard: {error or type(error).__name__}"
