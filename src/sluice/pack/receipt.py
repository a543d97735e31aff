"""What is common to all formats while a shard is written: reading a sample whole, hashing the file, keeping rows."""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import pyarrow as pa

from sluice.errors import SampleFailure
from sluice.media.redact import Redaction, covered
from sluice.pack.base import Loaded, PackImage, PackSample, Read, ShardReceipt
from sluice.table.compute import pc
from sluice.table.schema import MANIFEST, REDACTIONS
from sluice.table.writeback import begin_writing

_HELD: Final = 2**18  # bytes for one system call; what is held longer has left the processor's cache
_PARTS: Final = 512  # for one system call: half of what Linux takes
_BEGUN: Final = 2**23  # bytes that the disk is given at a time, while the next are made
_ROWS: Final = 1_024  # that are held as Python's own values


def load(sample: PackSample, read: Read) -> list[Loaded]:
    """All images of `sample`, or SampleFailure: bytes that are not those measured are no longer this sample."""
    for text in sample.texts:
        try:
            text.text.encode()
        except UnicodeEncodeError as error:
            raise SampleFailure("decode", f"text {text.item} is no valid Unicode: {error.reason}") from error
    loaded: list[Loaded] = []
    for image in sample.images:
        data = read(image.ref)
        sha256 = hashlib.sha256(data).hexdigest()
        if image.sha256 is not None and sha256 != image.sha256:
            raise SampleFailure("io", f"item {image.item} has changed since it was measured ({image.ref.uri})")
        loaded.append(_covered(Loaded(data, sha256), image))
    return loaded


def _covered(loaded: Loaded, image: PackImage) -> Loaded:
    """The image with what is to be covered in it covered."""
    if image.covering is None:
        return loaded
    data, redaction = covered(loaded.data, image.covering)
    return Loaded(data, redaction.sha256_after, redaction) if redaction else loaded


class HashedFile:
    """A file written from front to back whose SHA-256 is known when it is closed.

    What is written is hashed at once, while it lies in the processor's cache, and handed to the system many parts at
    a time, from where they lie.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=0)
        self._hash = hashlib.sha256()
        self._parts: list[Any] = []  # bytes-like; Arrow hands over its own buffers
        self._held = 0
        self._begun = 0  # bytes that the disk was told of
        self.position = 0

    def __enter__(self) -> HashedFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self._file.close()

    def write(self, data: bytes) -> int:
        """Append `data`; it is held until there is enough of it."""
        size = len(data)
        self._hash.update(data)
        self._parts.append(data)
        self._held += size
        self.position += size
        if self._held >= _HELD or len(self._parts) >= _PARTS:
            self.flush()
        return size

    def flush(self) -> None:
        """Hand what is held to the system."""
        written = os.writev(self._file.fileno(), self._parts) if self._parts else 0
        if written < self._held:  # cut short: say what is left once more, as one
            rest = memoryview(b"".join(self._parts))[written:]
            while rest:
                rest = rest[self._file.write(rest) :]
        self._parts.clear()
        self._held = 0
        if self.position - self._begun >= _BEGUN:
            begin_writing(self._file.fileno(), self._begun, self.position - self._begun)
            self._begun = self.position

    def tell(self) -> int:
        """Bytes written so far."""
        return self.position

    @property
    def closed(self) -> bool:
        """Whether the file is closed."""
        return self._file.closed

    def close(self) -> None:
        """Write what is held and close."""
        if not self._file.closed:
            self.flush()
            self._file.close()

    @property
    def sha256(self) -> str:
        """Of everything written so far."""
        return self._hash.hexdigest()


class Rows:
    """The manifest rows and the failures of one shard, as they come."""

    def __init__(self, format: str, name: str) -> None:
        self.format = format
        self._name = name
        self._rows = _Growing(MANIFEST)
        self._redactions = _Growing(REDACTIONS)
        self._failures: list[tuple[str, str, str]] = []
        self._shift = 0

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, sample: PackSample, loaded: Sequence[Loaded], offset: int, size: int, image: int | None) -> None:
        """Record a sample as packed; `image` is the first byte of its first image, where the format has one."""
        first = sample.images[0] if sample.images else None
        self._rows.append(
            (
                sample.id,
                sample.key,
                sample.source,
                self.format,
                sample.split,
                self._name,
                len(self._rows),
                offset,
                size,
                image,
                len(loaded[0].data) if loaded else None,
                first.width if first else None,
                first.height if first else None,
                len(sample.captions),
                sample.text_tokens,
                None,  # image tokens: a loader counts them from width and height, under its model's own rule
                sample.weight,
                sample.repeats,
                loaded[0].sha256 if loaded else None,
                sample.cluster,
                [{"width": image.width, "height": image.height} for image in sample.images],
            )
        )
        for packed, one in zip(sample.images, loaded, strict=True):
            if one.redaction:
                self._redactions.append((sample.id, packed.item, *_told(one.redaction)))

    def fail(self, sample: PackSample, failure: SampleFailure) -> None:
        """Record a sample as left out."""
        self._failures.append((sample.id, failure.failure_class, failure.message))

    def shift(self, bytes: int) -> None:
        """Move all samples by `bytes`: what goes before them in the shard was not known while they were recorded."""
        self._shift = bytes

    def receipt(self, file: HashedFile) -> ShardReceipt:
        """The receipt of the shard written to `file`, now closed."""
        rows = _moved(self._rows.table(), self._shift)
        return ShardReceipt(rows, tuple(self._failures), file.position, file.sha256, self._redactions.table())


class _Growing:
    """A table that grows by rows: as Python's own values these take three times the room, so few are held as such."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._done = [schema.empty_table()]
        self._rows: list[tuple[Any, ...]] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def append(self, row: tuple[Any, ...]) -> None:
        self._rows.append(row)
        self._count += 1
        if len(self._rows) == _ROWS:
            self._lay_down()

    def table(self) -> pa.Table:
        self._lay_down()
        return pa.concat_tables(self._done).combine_chunks()

    def _lay_down(self) -> None:
        columns = list(zip(*self._rows, strict=True)) or [()] * len(self._schema)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, self._schema, strict=True)]
        self._done.append(pa.Table.from_arrays(arrays, schema=self._schema))
        self._rows.clear()


def _moved(rows: pa.Table, bytes: int) -> pa.Table:
    """Rows of a manifest whose samples lie so much further on."""
    if not bytes:
        return rows
    for name in ("offset", "image_offset"):
        at = rows.schema.get_field_index(name)
        rows = rows.set_column(at, rows.schema.field(at), pc.add(rows.column(at), bytes))
    return rows


def _told(redaction: Redaction) -> tuple[Any, ...]:
    """A redaction as a row of REDACTIONS has it."""
    hashes = redaction.sha256_before, redaction.sha256_after
    return redaction.method, redaction.boxes, *hashes, redaction.bytes_before, redaction.bytes_after


class FileShard(ABC):
    """A shard that is one file; a format adds how a sample is appended to it."""

    def __init__(self, rows: Rows, file: HashedFile) -> None:
        self.rows = rows
        self.file = file

    @abstractmethod
    def add(self, sample: PackSample, loaded: Sequence[Loaded]) -> None:
        """Append a sample and its images."""

    def fail(self, sample: PackSample, failure: SampleFailure) -> None:
        """Note that a sample is left out."""
        self.rows.fail(sample, failure)

    def receipt(self) -> ShardReceipt:
        """What was written, once the file is closed."""
        return self.rows.receipt(self.file)
