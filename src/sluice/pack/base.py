"""What a packer is: it copies kept samples, in order, into one shard and says what it wrote.

A packer moves bytes and never re-encodes them. A sample whose bytes cannot be read any more, or are not those
that were measured, is left out whole and becomes a failure in the receipt; there is no half sample in a shard.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeAlias

import pyarrow as pa

from sluice.table.refs import Ref

Scalar: TypeAlias = str | int | float | bool | None
Read: TypeAlias = Callable[[Ref], bytes]

FORMATS = ("webdataset", "parquet")
CAPTION = "caption"


@dataclass(frozen=True)
class PackImage:
    """An image of a sample to pack; width and height in px as a viewer shows it."""

    item: int
    ref: Ref
    extension: str  # of the sniffed format: jpg png webp gif bmp tif avif heic
    width: int | None = None
    height: int | None = None
    sha256: str | None = None  # of the bytes that were measured; null: taken as they are


@dataclass(frozen=True)
class PackText:
    """A text of a sample to pack."""

    item: int
    role: str
    text: str
    language: str | None = None
    weight: float | None = None  # soft label of an answer


@dataclass(frozen=True)
class PackSample:
    """A kept sample, ready to be copied into a shard."""

    id: str
    key: str
    source: str
    split: str
    images: tuple[PackImage, ...]
    texts: tuple[PackText, ...]  # captions best first
    rights: Mapping[str, str | None]  # licence, spdx, author, source_url, fetched, dataset
    columns: Mapping[str, Scalar]  # measured values to carry along
    cluster: str | None = None
    weight: float = 1.0
    repeats: int = 1  # how often an epoch takes it

    @property
    def captions(self) -> tuple[PackText, ...]:
        """The alternatives, best first."""
        return tuple(text for text in self.texts if text.role == CAPTION)

    @property
    def turns(self) -> tuple[PackText, ...]:
        """The texts that are parts: turns of a conversation, a question and its answers, running text."""
        return tuple(text for text in self.texts if text.role != CAPTION)


@dataclass(frozen=True)
class ShardReceipt:
    """What one shard holds: its manifest rows, who is missing and why, its size and checksum."""

    rows: pa.Table  # MANIFEST
    failures: tuple[tuple[str, str, str], ...]  # id, class, message
    bytes: int
    sha256: str  # of the shard file


@dataclass(frozen=True)
class Contents:
    """What the samples of a whole pack may hold: the same for each of its shards, so all have one schema."""

    images: int = 1  # most images in one sample
    turns: bool = False  # whether any sample has texts that are no captions
    weights: bool = False  # whether any of those carries a weight
    columns: Mapping[str, pa.DataType] = field(default_factory=dict[str, pa.DataType])  # measured values carried


class Packer(Protocol):
    """Writes shards of one format."""

    format: str
    suffix: str  # of the shard's file, with the dot

    def write_shard(self, path: Path, name: str, samples: Iterable[PackSample], read: Read) -> ShardReceipt:
        """Commit one shard as `path`; `name` is what the manifest calls it. Memory is bounded, bytes are fixed."""
        ...
