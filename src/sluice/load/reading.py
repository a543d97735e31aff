"""Samples read from their shards: the bytes of a tar by offset, the rows of a table by row group or record batch."""

from __future__ import annotations

import json
import os
import weakref
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pickle import PickleBuffer
from typing import Any, Final, SupportsIndex

import pyarrow as pa
import pyarrow.parquet as pq

from sluice.errors import SampleFailure
from sluice.load.folder import TARS, Block, PackFolder
from sluice.pack.tar import members_within
from sluice.table.refs import Ref, RefReader

_OPEN: Final = 64  # files of a folder at once
_GROUPS: Final = 8  # row groups held: 16 MiB of images each
_LARGEST: Final = 2**30  # bytes of a sample behind a URL
_BESIDE: Final = 5  # the first protocol of pickle that does
_OTHERS: Final = ("json", "txt", "cls")
_NONE: Final[Mapping[str, Any]] = {}


@dataclass(frozen=True, init=False)
class Sample:
    """A sample as it was packed; nothing is decoded until it is asked for."""

    id: str
    images: tuple[bytes, ...]
    caption: str | None  # the best one
    parts: Mapping[str, bytes] = field(repr=False)  # members of a tar, by extension
    row: Mapping[str, Any] = field(repr=False)  # what a Parquet shard holds of it

    def __init__(
        self,
        id: str,
        images: tuple[bytes, ...],
        caption: str | None,
        parts: Mapping[str, bytes] = _NONE,
        row: Mapping[str, Any] = _NONE,
    ) -> None:
        fields = self.__dict__  # what a frozen dataclass does takes three times as long, and every sample takes it
        fields["id"], fields["images"], fields["caption"] = id, images, caption
        fields["parts"], fields["row"] = parts, row

    @cached_property
    def document(self) -> Mapping[str, Any]:
        """All that was packed beside the images: captions, texts, rights, measured values."""
        try:
            return json.loads(self.parts["json"]) if "json" in self.parts else self.row
        except (ValueError, RecursionError) as error:
            raise SampleFailure("decode", f"{self.id}: malformed JSON: {error}") from error

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[Any, ...]:
        """Pickled with its bytes beside it, where the pickler takes them so: copied once less."""
        if int(protocol) < _BESIDE:  # torch's queues, for one
            return super().__reduce_ex__(protocol)
        names = {id(body): name for name, body in self.parts.items()}
        images = [names.get(id(image)) or PickleBuffer(image) for image in self.images]
        parts = {name: PickleBuffer(body) for name, body in self.parts.items()}
        return _sample, (self.id, images, self.caption, parts, self.row)


def _sample(
    id: str,
    images: Sequence[str | bytes | memoryview],
    caption: str | None,
    parts: Mapping[str, bytes | memoryview],
    row: Mapping[str, Any],
) -> Sample:
    """A sample unpickled; an image that is a part is its extension."""
    bodies = {name: bytes(body) for name, body in parts.items()}
    return Sample(
        id, tuple(bodies[one] if isinstance(one, str) else bytes(one) for one in images), caption, bodies, row
    )


class ShardReader:
    """Reads single samples of a folder; files stay open, the newest few. For one thread or process."""

    def __init__(self, folder: PackFolder) -> None:
        self._folder = folder
        self._files: OrderedDict[str, int] = OrderedDict()
        self._groups: OrderedDict[tuple[str, int], pa.Table] = OrderedDict()
        weakref.finalize(self, _close_all, self._files)  # a reader goes with its thread
        self._elsewhere = RefReader(_LARGEST)

    def read(self, block: Block, place: int, id: str, offset: int, size: int) -> Sample:
        """The sample at `place` of `block`; SampleFailure where its bytes are gone or are another sample's."""
        try:
            if self._folder.format in TARS:
                data = self._bytes(block.shard, offset, size)
                if self._folder.indexed:
                    from sluice.load.foreign import foreign_sample  # and with it what reads tars of all kinds

                    return foreign_sample(data, size, block.shard, id)
                sample = tar_sample(data, size, block.shard)
            else:
                sample = self._row(block, place)
        except (OSError, pa.ArrowException) as error:
            raise SampleFailure("io", f"{block.shard}: {error}") from error
        if sample.id != id:
            raise SampleFailure("io", f"{block.shard}: sample {sample.id} lies where {id} should")
        return sample

    def close(self) -> None:
        """Close the files."""
        _close_all(self._files)
        self._groups.clear()
        self._elsewhere.close()

    def opened(self, block: Block) -> int | None:
        """A descriptor of the tar that `block` is, good until more are opened; None where there is none."""
        if self._folder.format not in TARS or self._folder.indexed or "://" in block.shard:
            return None
        try:
            return self._file(block.shard)
        except OSError:
            return None

    def _bytes(self, shard: str, offset: int, size: int) -> bytes:
        if "://" in shard:  # indexed where it lies, and read there
            return self._elsewhere.read(Ref("tar", shard, "", offset, size))
        return os.pread(self._file(shard), size, offset)

    def _file(self, shard: str) -> int:
        if shard in self._files:
            self._files.move_to_end(shard)
            self._folder.store.used(shard, self._files[shard])
            return self._files[shard]
        for name in [name for name, file in self._files.items() if not os.fstat(file).st_nlink]:
            os.close(self._files.pop(name))  # removed from the cache: open it would go on taking room
        self._files[shard] = self._folder.store.open(shard)
        if len(self._files) > _OPEN:
            os.close(self._files.popitem(last=False)[1])
        return self._files[shard]

    def _row(self, block: Block, place: int) -> Sample:
        key = block.shard, block.group
        if key not in self._groups:
            self._groups[key] = self._group(block)
            if len(self._groups) > _GROUPS:
                self._groups.popitem(last=False)
        self._groups.move_to_end(key)
        (row,) = self._groups[key].slice(place, 1).to_pylist()
        images = row.pop("images", None) or [row.pop("image", None)]
        return Sample(row["id"], tuple(one["bytes"] for one in images if one), row.get("caption"), row=row)

    def _group(self, block: Block) -> pa.Table:
        if self._folder.format == "arrow":  # mapped: what is not asked for is not read
            with pa.ipc.open_file(pa.memory_map(str(self._folder.store.table(block.shard)))) as reader:
                batch = reader.get_batch(block.group)
            batch.validate(full=True)  # offsets of a damaged file would read past its end
            return pa.Table.from_batches([batch])
        with pq.ParquetFile(self._folder.store.table(block.shard)) as file:
            return file.read_row_group(block.group)


def _close_all(files: OrderedDict[str, int]) -> None:
    while files:
        os.close(files.popitem()[1])


def tar_sample(data: bytes, size: int, shard: str) -> Sample:
    """The members of one sample, from the bytes that they take in a tar."""
    if len(data) < size:
        raise SampleFailure("io", f"{shard}: ends after {len(data)} of the {size} bytes of a sample")
    parts: dict[str, bytes] = {}
    images: list[bytes] = []
    owner = ""
    try:
        for member in members_within(data):
            owner, _, extension = member.name.partition(".")
            body = parts[extension] = data[member.offset : member.offset + member.size]
            if extension not in _OTHERS:
                images.append(body)
        text = parts.get("txt")
        return Sample(owner, tuple(images), None if text is None else text.decode(), parts)
    except ValueError as error:  # TarError, and what is no UTF-8
        raise SampleFailure("io", f"{shard}: {error}") from error
