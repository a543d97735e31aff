"""TFRecord shards, written without TensorFlow: a `tf.train.Example` a sample, framed with CRC-32C.

| feature | type | holds |
| --- | --- | --- |
| `caption` | bytes, 0 or 1 | the best caption |
| `captions` | bytes, any number | all captions, best first |
| `height`, `width` | int64, one an image | px as a viewer shows it; 0 where it is not known |
| `id` | bytes, 1 | the sample's id |
| `image` | bytes, one an image | the images, bit for bit |
| `json` | bytes, 1 | the document that the `.json` of a WebDataset holds |

A record is its length (8 bytes), a masked CRC of the length, the data, a masked CRC of the data; numbers are little
endian. Protobuf messages have no canonical form, so ours is fixed: features sorted by name, no empty fields.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from sluice.models.extras import optional
from sluice.pack.base import Contents, Loaded, PackSample
from sluice.pack.fields import Record, RecordError
from sluice.pack.receipt import FileShard, HashedFile, Rows
from sluice.pack.webdataset import image_names, sample_json
from sluice.table.commit import commit

_HEAD: Final = struct.Struct("<QI")  # bytes of data, masked CRC of the eight before
_CRC: Final = struct.Struct("<I")
_MASK: Final = 0xA282EAD8
_BYTES, _INTEGERS = 1, 3  # fields of tf.train.Feature
_DELIMITED: Final = 2  # wire type: a length, then so many bytes


class Crc(Protocol):
    """CRC-32C of what came before, gone on with `data`."""

    def __call__(self, crc: int, data: bytes, /) -> int: ...


@cache
def crc32c() -> Crc:
    """The CRC; MissingExtraError where its package is missing."""
    return optional("google_crc32c", "packing TFRecord", "tfrecord").extend


class TFRecordPacker:
    """Writes TFRecord shards."""

    format: str = "tfrecord"

    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        self._crc = crc32c()

    @contextmanager
    def open_shard(self, path: Path, name: str) -> Generator[FileShard]:
        """Commit one file of records; one sample is held in memory at a time."""
        with commit(path) as partial, HashedFile(partial) as file:
            yield _Records(Rows(self.format, name), file, self._contents, self._crc)
            file.close()


class _Records(FileShard):
    def __init__(self, rows: Rows, file: HashedFile, contents: Contents, crc: Crc) -> None:
        super().__init__(rows, file)
        self._contents = contents
        self._crc = crc

    def add(self, sample: PackSample, loaded: Sequence[Loaded]) -> None:
        start = self.file.position
        parts, image = example(sample, loaded, self._contents)
        length = struct.pack("<Q", sum(map(len, parts)))
        self.file.write(length + _CRC.pack(masked(self._crc(0, length))))
        crc = 0
        for part in parts:
            crc = self._crc(crc, part)
            self.file.write(part)
        self.file.write(_CRC.pack(masked(crc)))
        first = None if image is None else start + _HEAD.size + image
        self.rows.add(sample, loaded, start, self.file.position - start, first)


def masked(crc: int) -> int:
    """The CRC as TFRecord stores it: a CRC of data that holds CRCs is weak, so it is turned and moved.

    >>> masked(0)
    2726488792
    """
    return ((crc >> 15 | crc << 17) + _MASK) & 0xFFFFFFFF


def example(sample: PackSample, loaded: Sequence[Loaded], contents: Contents) -> tuple[list[bytes], int | None]:
    """The `tf.train.Example` of a sample, in parts, and where in it the first image begins."""
    captions = [text.text.encode() for text in sample.captions]
    features = {
        "caption": _bytes(captions[:1]),
        "captions": _bytes(captions),
        "height": _integers([image.height or 0 for image in sample.images]),
        "id": _bytes([sample.id.encode()]),
        "image": _bytes([image.data for image in loaded]),
        "json": _bytes([sample_json(sample, loaded, image_names(sample), contents)]),
        "width": _integers([image.width or 0 for image in sample.images]),
    }
    entries = [_field(1, [*_field(1, [name.encode()]), *_field(2, feature)]) for name, feature in features.items()]
    parts = _field(1, [part for entry in entries for part in entry])
    if not loaded:
        return parts, None
    first = next(place for place, part in enumerate(parts) if part is loaded[0].data)
    return parts, sum(map(len, parts[:first]))


def _bytes(values: Sequence[bytes]) -> list[bytes]:
    return _field(_BYTES, [part for value in values for part in _field(1, [value])])


def _integers(values: Sequence[int]) -> list[bytes]:
    packed = b"".join(map(_varint, values))
    return _field(_INTEGERS, _field(1, [packed]) if packed else [])


def _field(number: int, parts: Sequence[bytes]) -> list[bytes]:
    """A length-delimited field."""
    return [_varint(number << 3 | _DELIMITED) + _varint(sum(map(len, parts))), *parts]


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first.

    >>> _varint(300).hex()
    'ac02'
    """
    digits = bytearray()
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    digits.append(value)
    return bytes(digits)


def spans(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Where each record lies, as (first byte, bytes); RecordError at the first that does not end in the file."""
    file.seek(0, 2)
    end = file.tell()
    position = 0
    while position < end:
        file.seek(position)
        head = file.read(_HEAD.size)
        size = _HEAD.size + _HEAD.unpack(head)[0] + _CRC.size if len(head) == _HEAD.size else _HEAD.size
        if position + size > end:
            raise RecordError(f"byte {position}: the file ends inside a record")
        yield position, size
        position += size


def parse(data: bytes) -> Record:
    """The record in `data`, frame and all; RecordError where a CRC or a field is not as we write it."""
    crc = crc32c()
    size, of_length = _HEAD.unpack_from(data)
    body = data[_HEAD.size : -_CRC.size]
    if len(body) != size or of_length != masked(crc(0, data[:8])):
        raise RecordError("the length of a record is damaged")
    if _CRC.unpack(data[-_CRC.size :])[0] != masked(crc(0, body)):
        raise RecordError("the CRC of a record is not that of its data")
    features: dict[str, list[tuple[int, int]]] = {}
    for start, end in _fields(body, 0, len(body), 1):
        for entry in _fields(body, start, end, 1):
            ((name, name_end),) = _fields(body, *entry, 1)
            ((value, value_end),) = _fields(body, *entry, 2)
            lists = _fields(body, value, value_end, _BYTES)
            features[body[name:name_end].decode()] = [span for each in lists for span in _fields(body, *each, 1)]
    try:
        values = {name: [body[start:end] for start, end in found] for name, found in features.items()}
        document = json.loads(values["json"][0])
        captions = [caption.decode() for caption in values["captions"]]
        if (
            captions != [caption["text"] for caption in document["captions"]]
            or values["caption"] != values["captions"][:1]
        ):
            raise RecordError("its captions are not those of its json")
        first = _HEAD.size + features["image"][0][0] if features["image"] else None
        return Record(
            values["id"][0].decode(), tuple(values["image"]), captions[0] if captions else None, document, first
        )
    except (KeyError, IndexError, TypeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise RecordError(f"damaged fields: {type(error).__name__}: {error}") from error


def _fields(data: bytes, start: int, end: int, wanted: int) -> Iterator[tuple[int, int]]:
    """Where the values of the length-delimited field `wanted` lie; a message of ours has no other kind of field."""
    while start < end:
        tag, start = _number(data, start, end)
        size, start = _number(data, start, end)
        if tag & 7 != _DELIMITED or start + size > end:
            raise RecordError("a field of a record is damaged")
        if tag >> 3 == wanted:
            yield start, start + size
        start += size


def _number(data: bytes, start: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while start < end:
        digit = data[start]
        value |= (digit & 0x7F) << shift
        start, shift = start + 1, shift + 7
        if digit < 0x80:
            return value, start
    raise RecordError("a number of a record is cut")
