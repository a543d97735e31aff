"""What a packer is: it opens a shard, which takes kept samples in order and says what was written.

A packer moves bytes, and writes an image anew only to cover parts of it, where a recipe says so. A sample whose
bytes cannot be read any more, or are not those that were measured, is left out whole and becomes a failure in the
receipt; there is no half sample in a shard.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol, TypeAlias

import pyarrow as pa

from sluice.errors import SampleFailure
from sluice.media.redact import Covering, Redaction
from sluice.table.refs import Ref

Scalar: TypeAlias = str | int | float | bool | None
Read: TypeAlias = Callable[[Ref], bytes]

SHARD_NAMES: Final[Mapping[str, str]] = {  # by format; numbers of six digits, so that names sort as numbers do
    "webdataset": "shard-{:06d}.tar",
    "parquet": "shard-{:06d}.parquet",
    "arrow": "shard-{:06d}.arrow",
    "tfrecord": "shard-{:06d}.tfrecord",
    "mds": "shard-{:06d}.mds",
    "litdata": "chunk-{:06d}.bin",  # litdata counts files of this name in its cache
    "energon": "shard-{:06d}.tar",
    "llava": "shard-{:06d}.jsonl",
    "coco": "shard-{:06d}.jsonl",
    "obelics": "shard-{:06d}.parquet",
}
FORMATS: Final = tuple(SHARD_NAMES)
_SHARDS: Final = {
    format: re.compile("[^/]+/" + re.escape(name).replace(re.escape("{:06d}"), "[0-9]{6,}"))
    for format, name in SHARD_NAMES.items()
}
CAPTION = "caption"


def is_shard(name: str) -> bool:
    """Whether `name`, below `04_final/`, names a shard.

    >>> is_shard("webdataset/train/shard-000000.tar"), is_shard("mds/train/index.json"), is_shard("manifest.parquet")
    (True, False, False)
    """
    format, _, rest = name.partition("/")
    return format in _SHARDS and _SHARDS[format].fullmatch(rest) is not None


@dataclass(frozen=True)
class PackImage:
    """An image of a sample to pack; width and height in px as a viewer shows it."""

    item: int
    ref: Ref
    extension: str  # of the sniffed format: jpg png webp gif bmp tif avif heic
    width: int | None = None
    height: int | None = None
    sha256: str | None = None  # of the bytes that were measured; null: taken as they are
    covering: Covering | None = None  # what to make unrecognisable; None: the bytes stay as they are


@dataclass(frozen=True)
class PackText:
    """A text of a sample to pack."""

    item: int
    role: str
    text: str
    language: str | None = None
    weight: float | None = None  # soft label of an answer; of a caption, its share among those of its sample
    origin: str | None = None  # the captioner or variation that wrote it; null: its source
    tokens: int | None = None  # as `text.tokens` counted them, if it did


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

    @property
    def text_tokens(self) -> int | None:
        """Tokens of what a model reads of it: all turns, and the best caption; None where one was not counted."""
        counts = [text.tokens for text in (*self.turns, *self.captions[:1])]
        known = [count for count in counts if count is not None]
        return sum(known) if len(known) == len(counts) else None


@dataclass(frozen=True)
class Loaded:
    """The bytes of one image, with their SHA-256."""

    data: bytes
    sha256: str
    redaction: Redaction | None = None


@dataclass(frozen=True)
class ShardReceipt:
    """What one shard holds: its manifest rows, who is missing and why, its size and checksum."""

    rows: pa.Table  # MANIFEST
    failures: tuple[tuple[str, str, str], ...]  # id, class, message
    bytes: int
    sha256: str  # of the shard file
    redactions: pa.Table | None = None  # REDACTIONS; None where a recipe does not ask for any


@dataclass(frozen=True)
class Contents:
    """What the samples of a whole pack may hold: the same for each of its shards, so all have one schema."""

    images: int = 1  # most images in one sample
    turns: bool = False  # whether any sample has texts that are no captions
    weights: bool = False  # whether any of those carries a weight
    scored: bool = False  # whether captions carry weights
    generated: bool = False  # whether texts may have been written by captioners
    columns: Mapping[str, pa.DataType] = field(default_factory=dict[str, pa.DataType])  # measured values carried
    redacted: bool = False  # whether images may be written anew, to cover parts of them


class Shard(Protocol):
    """A shard that is being written."""

    def add(self, sample: PackSample, loaded: Sequence[Loaded]) -> None:
        """Append a sample and its images; SampleFailure where the format cannot hold it, and nothing is written."""
        ...

    def fail(self, sample: PackSample, failure: SampleFailure) -> None:
        """Note that a sample is left out."""
        ...

    def receipt(self) -> ShardReceipt:
        """What was written, once the shard is closed."""
        ...


class Packer(Protocol):
    """Writes shards of one format."""

    format: str

    def open_shard(self, path: Path, name: str) -> AbstractContextManager[Shard]:
        """A shard that is committed as `path` with the block; `name` is what the manifest calls it.

        Memory is bounded, and equal samples give equal bytes.
        """
        ...
