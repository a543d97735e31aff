"""The layout that MDS and LitData share: a count, a table of offsets, what the format adds, then the samples.

| bytes | hold |
| --- | --- |
| 4 | how many samples there are |
| 4 a sample, and 4 | where each begins in the file, and where the last one ends |
| any | the format's own header |
| the rest | the samples: the sizes of their fields, 4 bytes each, then the fields end to end |

Numbers are unsigned and little endian, so a shard has less than 4 GiB. The table comes before samples whose number is
not known until the last is read: they wait in a file of their own beside the shard.
"""

from __future__ import annotations

import struct
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np

from sluice.errors import SampleFailure
from sluice.pack.base import Contents, Loaded, PackSample
from sluice.pack.fields import FIELDS, Record, RecordError, record_of, sample_fields
from sluice.pack.receipt import FileShard, HashedFile, Rows
from sluice.table.commit import PARTIAL, commit

LARGEST: Final = 2**32 - 1  # bytes of a shard: what an offset can say
_BLOCK: Final = 2**20
_SIZES: Final = struct.Struct(f"<{len(FIELDS)}I")


class OffsetTablePacker:
    """Writes shards with a table of offsets; `header` is what the format puts between the table and the samples."""

    def __init__(self, format: str, contents: Contents, header: bytes) -> None:
        self.format = format
        self._header = header
        self._contents = contents

    @contextmanager
    def open_shard(self, path: Path, name: str) -> Generator[FileShard]:
        """Commit one shard; one sample is held in memory at a time."""
        with commit(path) as partial, samples_beside(partial) as body, HashedFile(partial) as file:
            shard = _Body(Rows(self.format, name), file, body, self._header, self._contents)
            yield shard
            shard.rows.shift(write_table(file, shard.sizes, self._header))
            copy_all(body, file)
            file.close()


class _Body(FileShard):
    def __init__(self, rows: Rows, file: HashedFile, body: BinaryIO, header: bytes, contents: Contents) -> None:
        super().__init__(rows, file)
        self.sizes: list[int] = []
        self._body = body
        self._left = LARGEST - len(header) - 8
        self._contents = contents

    def add(self, sample: PackSample, loaded: Sequence[Loaded]) -> None:
        fields = list(sample_fields(sample, loaded, self._contents).values())
        sizes = [len(field) for field in fields]
        size = _SIZES.size + sum(sizes)
        if size + 4 > self._left:
            raise SampleFailure("too_large", f"{size:,} bytes do not fit into a {self.rows.format} shard of 4 GiB")
        self._left -= size + 4
        start = self._body.tell()
        self._body.writelines([_SIZES.pack(*sizes), *fields])
        image = start + _SIZES.size + sum(sizes[: FIELDS.index("image")])
        self.rows.add(sample, loaded, start, size, image if loaded else None)
        self.sizes.append(size)


@contextmanager
def samples_beside(partial: Path) -> Generator[BinaryIO]:
    """A file that holds samples until the table before them is known; it is gone after the block.

    Its name ends as that of every half-written file does: what a killed process leaves is swept away.
    """
    path = partial.with_name(f"{partial.name}{PARTIAL}")
    try:
        with path.open("w+b") as body:
            yield body
    finally:
        path.unlink(missing_ok=True)


def write_table(file: HashedFile, sizes: Sequence[int], header: bytes) -> int:
    """Write what comes before samples of `sizes` bytes; returns how many bytes that is."""
    before = 4 + 4 * (len(sizes) + 1) + len(header)
    offsets = before + np.cumsum([0, *sizes], dtype=np.uint64)
    file.write(struct.pack("<I", len(sizes)) + offsets.astype("<u4").tobytes() + header)
    return before


def copy_all(body: BinaryIO, file: HashedFile) -> None:
    """Copy all of `body`."""
    body.seek(0)
    while block := body.read(_BLOCK):
        file.write(block)


def spans(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Where each sample lies, as (first byte, bytes); RecordError where the table is not that of the file."""
    file.seek(0, 2)
    end = file.tell()
    file.seek(0)
    head = file.read(4)
    count = struct.unpack("<I", head)[0] if len(head) == 4 else 0
    table = file.read(4 * (count + 1)) if 8 + 4 * count <= end else b""
    if len(table) != 4 * (count + 1):
        raise RecordError("the file ends inside its table of offsets")
    offsets = np.frombuffer(table, "<u4").astype(np.int64)
    if offsets[-1] != end or (np.diff(offsets) < _SIZES.size).any() or offsets[0] < 8 + 4 * count:
        raise RecordError("its table of offsets is not that of its samples")
    yield from zip(offsets[:-1].tolist(), np.diff(offsets).tolist(), strict=True)


def parse(data: bytes) -> Record:
    """The sample in `data`; RecordError where it is not as we write it."""
    sizes = _SIZES.unpack_from(data) if len(data) >= _SIZES.size else ()
    if _SIZES.size + sum(sizes) != len(data):
        raise RecordError("a sample is not as long as its fields")
    ends = (_SIZES.size + np.cumsum([0, *sizes])).tolist()
    fields = {name: data[start:end] for name, start, end in zip(FIELDS, ends[:-1], ends[1:], strict=True)}
    return record_of(fields, ends[FIELDS.index("image")])
