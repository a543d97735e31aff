"""Rows of a table, from CSV, TSV, JSONL or Parquet, streaming; a malformed row is a row that says so."""

from __future__ import annotations

import csv
import io
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from sluice.errors import FailureClass, SourceError
from sluice.sources.texts import loads
from sluice.table.refs import local_path
from sluice.table.remote import RemoteError, RemoteFile

TABLE_SUFFIXES: Final = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
_LINE_BYTES: Final = 16 * 2**20
_BATCH_ROWS: Final = 4096


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that could not be read."""

    failure: tuple[FailureClass, str]


Row: TypeAlias = tuple[int, tuple[str, ...], tuple[Any, ...] | BadRow]  # number from 1, field names, values


def rows(uri: str, delimiter: str | None = None, names: tuple[str, ...] | None = None) -> Iterator[Row]:
    """Every row of the table `uri`; `delimiter` is what parts the columns of a text table that is no CSV or TSV.

    `names` are the columns of a text table that has no header, nor quotes: what is published as TSV is often so.
    """
    suffix = uri.lower().rpartition(".")[2]
    if suffix == "parquet":
        return _parquet(uri)
    if suffix in ("csv", "tsv"):
        parted = delimiter or ("\t" if suffix == "tsv" else ",")
        return _csv(uri, parted) if names is None else _plain(uri, parted, names)
    if suffix in ("jsonl", "ndjson"):
        return _jsonl(uri)
    raise SourceError(f"{uri}: expected a table that ends in {', '.join(TABLE_SUFFIXES)}")


@contextmanager
def opened(uri: str) -> Generator[RemoteFile | io.BufferedReader]:
    """The file `uri`, local or remote; a `SourceError` when it cannot be opened."""
    try:
        path = local_path(uri)
        file = RemoteFile(uri) if path is None else open(path, "rb")  # noqa: SIM115 - closed by the `with` below
    except OSError as error:
        raise SourceError(f"{uri}: cannot be opened: {error.strerror or error}") from error
    with file:
        try:
            yield file
        except RemoteError as error:
            raise SourceError(f"{uri}: cannot be read: {error}") from error


def _csv(uri: str, delimiter: str) -> Iterator[Row]:
    with opened(uri) as file:
        # strict: a stray quote fails its row instead of swallowing the rows after it
        text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
        reader = csv.reader(text, delimiter=delimiter, strict=True)
        try:
            names = tuple(next(reader, ()))
        except csv.Error as error:
            raise SourceError(f"{uri}:1: no readable header: {error}") from error
        if not names:
            raise SourceError(f"{uri}: empty; expected a header line that names the columns")
        if "\0" in "".join(names) or len(set(names)) != len(names):
            raise SourceError(f"{uri}:1: expected a header line with a different name for each column")
        width = len(names)
        number = 0
        while True:
            line = reader.line_num + 1
            try:
                for values in reader:
                    if len(values) == width:
                        number += 1
                        if (whole := "".join(values)).isascii() or _is_utf8(whole):
                            yield number, names, tuple(values)
                        else:
                            message = f"{uri}:{reader.line_num}: not UTF-8; convert the table to UTF-8"
                            yield number, names, BadRow(("decode", message))
                    elif values:  # a blank line is no row
                        number += 1
                        message = f"{uri}:{reader.line_num}: {len(values)} columns, the header names {width}"
                        yield number, names, BadRow(("decode", message))
                    line = reader.line_num + 1
                return
            except csv.Error as error:
                number += 1
                yield number, names, BadRow(("decode", f"{uri}:{line}-{reader.line_num}: {error}"))


def _plain(uri: str, delimiter: str, names: tuple[str, ...]) -> Iterator[Row]:
    """A row a line, whatever its quotes; in the last column the delimiter is a character like any other."""
    with opened(uri) as file:
        number = 0
        while line := file.readline(_LINE_BYTES):
            number += 1
            whole = len(line) < _LINE_BYTES or line[-1:] == b"\n"
            while not whole:
                rest = file.readline(_LINE_BYTES)
                whole = not rest or rest[-1:] == b"\n"
            if len(line) == _LINE_BYTES:
                yield number, names, BadRow(("too_large", f"{uri}:{number}: a line of more than {_LINE_BYTES:,} bytes"))
                continue
            try:
                values = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
            except UnicodeDecodeError:
                yield number, names, BadRow(("decode", f"{uri}:{number}: not UTF-8; convert the table to UTF-8"))
                continue
            parts = tuple(values.split(delimiter, len(names) - 1))
            if len(parts) == len(names):
                yield number, names, parts
            elif values.strip():
                message = f"{uri}:{number}: {len(parts)} columns, expected {', '.join(names)}"
                yield number, names, BadRow(("decode", message))


def _is_utf8(text: str) -> bool:
    """Whether `text` was UTF-8 when it was read: bytes that were none became lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _jsonl(uri: str) -> Iterator[Row]:
    with opened(uri) as file:
        number = 0
        while line := file.readline(_LINE_BYTES):
            number += 1
            if len(line) == _LINE_BYTES and line[-1:] != b"\n":
                while rest := file.readline(_LINE_BYTES):
                    if rest[-1:] == b"\n":
                        break
                yield number, (), BadRow(("too_large", f"{uri}:{number}: a line of more than {_LINE_BYTES:,} bytes"))
            elif not line.isspace():
                yield _json_row(line, number, uri)


def _json_row(line: bytes, number: int, uri: str) -> Row:
    try:
        value = loads(line)
    except (ValueError, RecursionError) as error:
        return number, (), BadRow(("decode", f"{uri}:{number}: malformed JSON: {error}"))
    if not isinstance(value, dict):
        found = type(value).__name__
        return number, (), BadRow(("decode", f"{uri}:{number}: expected a JSON object, found {found}"))
    return number, tuple(value), tuple(value.values())


def parquet_file(file: RemoteFile | io.BufferedReader, uri: str) -> pq.ParquetFile:
    """An open file as Parquet, read a buffer at a time; a `SourceError` when it is none."""
    try:
        return pq.ParquetFile(file, pre_buffer=False, buffer_size=2**20)
    except RemoteError:  # `opened` says what that means
        raise
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{uri}: expected a Parquet file: {error}") from error


def _parquet(uri: str) -> Iterator[Row]:
    with opened(uri) as file:
        table = parquet_file(file, uri)
        names = tuple(table.schema_arrow.names)
        number = 0
        try:
            for batch in table.iter_batches(batch_size=_BATCH_ROWS):
                for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    number += 1
                    yield number, names, values
        except RemoteError:
            raise
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise SourceError(f"{uri}: damaged after row {number:,}: {error}") from error
