"""Energon's `index.sqlite`: where each sample and each of its members lies in the tars, by key.

The tables are those that `energon prepare` of 7.4 writes, row for row. Rows go in by order of shard and sample, in one
transaction and without any journal, so that a build of SQLite gives the same bytes each time; builds of other versions
may lay pages out in another way. So `verify` compares what the tables hold, and the checksum guards the bytes.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final

from sluice.pack.listed import IndexFile, Listed
from sluice.pack.tar import read_members
from sluice.table.commit import PARTIAL

_PIECE: Final = 2**20
_PRAGMAS: Final = ("page_size=4096", "encoding='UTF-8'", "auto_vacuum=NONE", "journal_mode=OFF", "synchronous=OFF")
_TABLES: Final = (
    """
    CREATE TABLE samples (
        tar_file_id INTEGER NOT NULL,
        sample_key TEXT NOT NULL UNIQUE,
        sample_index INTEGER NOT NULL,
        byte_offset INTEGER,
        byte_size INTEGER
    )""",
    """
    CREATE TABLE sample_parts (
        tar_file_id INTEGER,
        sample_index INTEGER,
        part_name TEXT,
        content_byte_offset INTEGER,
        content_byte_size INTEGER
    )""",
)
_INDEXES: Final = (
    "CREATE INDEX idx_samples_by_tar_and_idx ON samples(tar_file_id, sample_index)",
    "CREATE INDEX idx_sample_parts_seq ON sample_parts(tar_file_id, sample_index, content_byte_offset)",
    "CREATE INDEX idx_sample_parts_full ON "
    "sample_parts(tar_file_id, sample_index, part_name, content_byte_offset, content_byte_size)",
)
_SCHEMA: Final = "SELECT type, name, tbl_name FROM sqlite_master ORDER BY name"
_ROWS: Final = ("SELECT * FROM samples ORDER BY rowid", "SELECT * FROM sample_parts ORDER BY rowid")


def sqlite_index(name: str, folder: Path, shards: Sequence[Listed]) -> IndexFile:
    """The index of the tars `shards`, in the order in which `.info.json` counts them."""

    def same(found: Path) -> bool:
        with _built(folder, shards) as wanted:
            return _holds_the_same(wanted, found)

    return IndexFile(name, _pieces(folder, shards), same)


def _pieces(folder: Path, shards: Sequence[Listed]) -> Iterator[bytes]:
    with _built(folder, shards) as path, path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece


@contextmanager
def _built(folder: Path, shards: Sequence[Listed]) -> Generator[Path]:
    """The index as a file of its own, gone with the block."""
    place = folder if os.access(folder, os.W_OK) else None  # it may be larger than what the system's folder holds
    with tempfile.TemporaryDirectory(prefix="index-", suffix=PARTIAL, dir=place) as made:
        path = Path(made) / "index.sqlite"
        try:
            with closing(sqlite3.connect(path, isolation_level=None)) as database:
                _fill(database, folder, shards)
        except sqlite3.IntegrityError as error:
            raise ValueError(f"a sample is packed twice: {error}") from error
        except sqlite3.Error as error:
            raise OSError(f"{path}: {error}") from error
        yield path


def _fill(database: sqlite3.Connection, folder: Path, shards: Sequence[Listed]) -> None:
    for pragma in _PRAGMAS:
        database.execute(f"PRAGMA {pragma}")
    database.execute("BEGIN")
    for statement in _TABLES:
        database.execute(statement)
    for number, shard in enumerate(shards):
        samples, parts = _rows(folder / shard.name, number)
        database.executemany("INSERT INTO samples VALUES (?, ?, ?, ?, ?)", samples)
        database.executemany("INSERT INTO sample_parts VALUES (?, ?, ?, ?, ?)", parts)
    for statement in _INDEXES:
        database.execute(statement)
    database.execute("COMMIT")


def _rows(path: Path, number: int) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """The samples and the members of one tar, from its headers."""
    samples: list[list[Any]] = []
    parts: list[tuple[Any, ...]] = []
    with path.open("rb") as file:
        for member in read_members(file):
            key, _, part = member.name.partition(".")
            if not samples or samples[-1][1] != key:
                samples.append([number, key, len(samples), member.header, 0])
            samples[-1][4] = member.end - samples[-1][3]
            parts.append((number, len(samples) - 1, part, member.offset, member.size))
    return [tuple(row) for row in samples], parts


def _holds_the_same(wanted: Path, found: Path) -> bool:
    """Whether two databases have the same tables, indexes and rows; False too where one is none."""
    try:
        with closing(_opened(wanted)) as one, closing(_opened(found)) as other:
            return all(
                left == right
                for query in (_SCHEMA, *_ROWS)
                for left, right in zip_longest(one.execute(query), other.execute(query))
            )
    except sqlite3.Error:
        return False


def _opened(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
