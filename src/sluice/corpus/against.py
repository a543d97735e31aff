"""A reference set to be free of, such as a benchmark's test images, as a file of hashes.

A file of hashes lets two parties compare image sets without showing each other an image. It is a CSV, TSV or Parquet
file with a column named like the hash (`phash`, `dhash`) or `hash`, and if it likes one that names each image (`key`,
`id`, `name`, `file`, `path`). A hash is an unsigned integer, a signed one of the same 64 bits, or 16 hexadecimal
digits as `str(imagehash.phash(image))` prints them; a longer hash, such as PDQ's 64 digits, is always hexadecimal. A
stored index of hashes (`hash_index`, an .arrow file) is such a file too.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from sluice.corpus.hamming import Hashes
from sluice.errors import SourceError

_KEYS: Final = ("key", "id", "name", "file", "path")
_DELIMITERS: Final = {".csv": ",", ".tsv": "\t"}
_HEXADECIMAL: Final = re.compile(r"(0[xX])?[0-9a-fA-F]{16}")
_WIDE: Final = range(16, 129, 8)  # bytes of a hash of several words
_DIGITS: Final = re.compile(r"[0-9a-fA-F]+")
_DECIMAL: Final = re.compile(r"-?[0-9]{1,20}")


def load_hashes(path: Path, column: str = "phash", bits: int | None = 64) -> tuple[Hashes, list[str]]:
    """The hashes of the reference set at `path` and what each is called; rows without a hash are passed over.

    `column` is the hash that they will be compared with: a file that holds another one only is refused, and so is one
    of other than `bits`. None takes any multiple of 64 up to 1,024; hashes of more than 64 bits are rows of words, the
    lowest bits first.
    """
    table = load_table(path)
    found = next((name for name in (column, "hash") if name in table.column_names), None)
    if found is None:
        raise SourceError(f"{path}: expected a column `{column}` or `hash`, found {', '.join(table.column_names)}")
    key = next((name for name in _KEYS if name in table.column_names), None)
    values = table.column(found).combine_chunks()
    names = table.column(key).to_pylist() if key else [None] * len(values)
    present = np.flatnonzero(values.is_valid().to_numpy(zero_copy_only=False))
    hashes = _hashes(values.take(pa.array(present)), f"{path}: column `{found}`")
    held = 64 if hashes.ndim == 1 else 64 * hashes.shape[1]
    if bits not in (None, held):
        raise SourceError(f"{path}: column `{found}`: expected hashes of {bits} bits, found {held}")
    return hashes, [f"row {row}" if names[row] is None else str(names[row]) for row in present.tolist()]


def load_table(path: Path) -> pa.Table:
    """The CSV, TSV or Parquet file at `path`, every column of a delimited one as text."""
    ending = path.suffix.lower()
    try:
        if ending == ".parquet":
            return pq.read_table(path)
        if ending == ".arrow":
            return pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        if ending in _DELIMITERS:
            return _delimited(path, _DELIMITERS[ending])
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror or error}") from error
    except pa.ArrowInvalid as error:
        raise SourceError(f"{path}: expected a table of hashes as {ending[1:].upper()}: {error}") from error
    raise SourceError(f"{path}: expected hashes as .csv, .tsv, .parquet or .arrow")


def _delimited(path: Path, delimiter: str) -> pa.Table:
    parse = pyarrow.csv.ParseOptions(delimiter=delimiter)
    with pyarrow.csv.open_csv(path, parse_options=parse) as head:
        names = head.schema.names
    # As text: a hexadecimal hash of decimal digits alone must not become a number.
    convert = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True)
    return pyarrow.csv.read_csv(path, parse_options=parse, convert_options=convert)


def _hashes(values: pa.Array, where: str) -> Hashes:
    """The hashes in `values`, which holds no null."""
    if pa.types.is_uint64(values.type):
        return values.to_numpy()
    if pa.types.is_int64(values.type):
        return values.to_numpy().view(np.uint64)
    if isinstance(values.type, pa.FixedSizeBinaryType) and values.type.byte_width in _WIDE:
        return np.frombuffer(b"".join(values.to_pylist()), np.uint64).reshape(-1, values.type.byte_width // 8)
    if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        raise SourceError(f"{where}: expected 64-bit integers or 16 hexadecimal digits, found {values.type}")
    texts: list[str] = [text.strip() for text in values.to_pylist()]
    if texts and len(texts[0]) // 2 in _WIDE and len(texts[0]) % 2 == 0:
        if wrong := next((text for text in texts if len(text) != len(texts[0]) or not _DIGITS.fullmatch(text)), None):
            raise SourceError(f"{where}: expected {len(texts[0])} hexadecimal digits throughout, found {wrong!r}")
        high_first = np.frombuffer(bytes.fromhex("".join(texts)), ">u8").reshape(len(texts), -1)
        return high_first[:, ::-1].astype(np.uint64)
    if all(map(_HEXADECIMAL.fullmatch, texts)):
        numbers = [int(text, 16) for text in texts]
    else:
        odd = next((text for text in texts if not _DECIMAL.fullmatch(text)), None)
        numbers = [int(text) for text in texts if odd is None]
        odd = next((str(number) for number in numbers if not -(2**63) <= number < 2**64), odd)
        if odd is not None:
            raise SourceError(f"{where}: expected 64-bit integers or 16 hexadecimal digits throughout, found {odd!r}")
    return np.array([number % 2**64 for number in numbers], np.uint64)
