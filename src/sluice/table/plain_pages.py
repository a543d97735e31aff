"""The numbers of a Parquet column as they lie in the file, where they lie there one after the other.

Vectors are stored uncompressed, plainly encoded, and few of them are null. pyarrow takes such lists apart number by
number; here whole pages are copied, in a tenth of the time. A column that lies otherwise is left to pyarrow.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt

_PLAIN: Final = 0
_DATA_PAGE: Final = 0
_HEADER: Final = 256  # bytes: more than a page's header without statistics takes
_VARINT_FIELDS: Final = (4, 5, 6)  # thrift's compact types of 16, 32 and 64 bits
_STRUCT: Final = 12
_BOOLEANS: Final = (1, 2)


class _OtherwiseError(Exception):
    """The column does not lie as it is asked for."""


def plain_numbers(path: Path, metadata: Any, column: int, dtype: npt.DTypeLike) -> npt.NDArray[Any] | None:
    """All numbers of a leaf column of a Parquet file, or None where there are nulls, or they are encoded or compressed.

    `metadata` is the file's `pyarrow.parquet.FileMetaData`; the column may lie in lists, none of which is null.
    """
    groups = [metadata.row_group(number).column(column) for number in range(metadata.num_row_groups)]
    if any(group.compression != "UNCOMPRESSED" or group.has_dictionary_page for group in groups):
        return None
    kind = np.dtype(dtype)
    numbers = np.empty(sum(group.num_values for group in groups), kind)
    whole = numbers.view(np.uint8).data
    filled = 0
    try:
        with path.open("rb", buffering=0) as file:
            for group in groups:
                for page in _pages(file, group.data_page_offset, group.num_values):
                    part = whole[filled : filled + page.values * kind.itemsize]
                    if page.length - _levels(file, page) != len(part):
                        return None  # nulls have levels and no numbers
                    file.seek(page.start + page.length - len(part))
                    if _read_into(file, part) != len(part):
                        return None
                    filled += len(part)
    except _OtherwiseError:
        return None
    return numbers if filled == len(whole) else None


@dataclass(frozen=True)
class _Page:
    start: int  # of its levels, after its header
    length: int
    values: int


def _pages(file: BinaryIO, offset: int, values: int) -> Iterator[_Page]:
    """The data pages of a column chunk that starts at `offset`."""
    while values > 0:
        file.seek(offset)
        fields, size = _struct(file.read(_HEADER), 0)
        of_data = fields.get(5)
        if fields.get(1) != _DATA_PAGE or not isinstance(of_data, dict) or of_data.get(2) != _PLAIN:
            raise _OtherwiseError
        page = _Page(offset + size, fields[3], of_data[1])
        yield page
        values -= page.values
        offset = page.start + page.length


def _levels(file: BinaryIO, page: _Page) -> int:
    """The bytes of a page before its numbers: repetition and definition levels, each after its length."""
    length = 0
    for _ in range(2):
        file.seek(page.start + length)
        length += 4 + int.from_bytes(file.read(4), "little")
    return length


def _read_into(file: Any, part: memoryview) -> int:
    done = 0
    while done < len(part) and (some := file.readinto(part[done:])):
        done += some
    return done


def _struct(data: bytes, at: int) -> tuple[dict[int, Any], int]:
    """A struct of Thrift's compact protocol, by the numbers of its fields, and where it ends."""
    fields: dict[int, Any] = {}
    number = 0
    while True:
        if at >= len(data):
            raise _OtherwiseError
        head = data[at]
        at += 1
        if not head:
            return fields, at
        kind = head & 15
        if not head >> 4:
            raise _OtherwiseError  # a field far from the one before: a page's header has none
        number += head >> 4
        if kind in _BOOLEANS:
            fields[number] = kind == _BOOLEANS[0]
        elif kind in _VARINT_FIELDS:
            value, at = _varint(data, at)
            fields[number] = value >> 1 ^ -(value & 1)
        elif kind == _STRUCT:
            fields[number], at = _struct(data, at)
        else:
            raise _OtherwiseError


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data):
            raise _OtherwiseError
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:  # the last byte of a number has its highest bit clear
            return value, at
