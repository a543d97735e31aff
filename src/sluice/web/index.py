"""What the stores hold, by URL and by content: a table on the disk, so that no list is too long for it.

It can be made anew from the stores' own tables, and is, where it lacks one: the stores are the truth.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Collection, Iterator, Mapping
from dataclasses import astuple
from pathlib import Path
from typing import Final, Self

import pyarrow.parquet as pq

from sluice.web.answer import Outcome, Place, outcome_of, text_of

_CACHE: Final = 2 * 2**10  # KiB of pages held, twice; the system keeps the rest as long as it has room
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS urls (key BLOB PRIMARY KEY, outcome TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS contents (sha256 BLOB PRIMARY KEY, place TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS stores (name TEXT PRIMARY KEY) WITHOUT ROWID;
"""


def key_of(url: str) -> bytes:
    """What a URL is looked up by: two spellings that differ before the fragment are two URLs."""
    return hashlib.blake2b(url.strip().partition("#")[0].encode("utf-8", "surrogatepass"), digest_size=16).digest()


class Index:
    """Looks up what is stored; `root` is the folder of all stores."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        path = root / "index.sqlite"
        try:
            self._open(path)
        except sqlite3.DatabaseError:  # damaged by a crash of the machine
            for one in root.glob("index.sqlite*"):
                one.unlink()
            self._open(path)
        self._catch_up(root)

    def _open(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._reading = sqlite3.connect(path)
        self._writing = sqlite3.connect(path, check_same_thread=False)
        for connection in (self._reading, self._writing):
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(f"PRAGMA cache_size = -{_CACHE}")
        self._writing.executescript(_SCHEMA)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._reading.close()
        self._writing.close()

    def outcome(self, key: bytes) -> str | None:
        """What came of a URL whose bytes are stored, as text."""
        found = self._reading.execute("SELECT outcome FROM urls WHERE key = ?", (key,)).fetchone()
        return None if found is None else found[0]

    def place(self, sha256: str) -> Place | None:
        """Where bytes lie."""
        found = self._reading.execute(
            "SELECT place FROM contents WHERE sha256 = ?", (bytes.fromhex(sha256),)
        ).fetchone()
        return None if found is None else Place(*json.loads(found[0]))

    def add(self, outcomes: Mapping[bytes, str], places: Mapping[str, Place], store: str) -> None:
        """Add what a committed store holds."""
        contents = ((bytes.fromhex(sha256), json.dumps(astuple(place))) for sha256, place in places.items())
        with self._lock, self._writing:
            self._writing.executemany("INSERT OR IGNORE INTO urls VALUES (?, ?)", outcomes.items())
            self._writing.executemany("INSERT OR IGNORE INTO contents VALUES (?, ?)", contents)
            self._writing.execute("INSERT OR IGNORE INTO stores VALUES (?)", (store,))

    def forget(self, urls: Collection[str], places: Collection[tuple[str, int]]) -> None:
        """Forget URLs, and what lies at places (tar, offset): nothing is to be found there any more."""
        with self._lock, self._writing:
            self._writing.executemany("DELETE FROM urls WHERE key = ?", [(key_of(url),) for url in urls])
            self._writing.executemany(
                "DELETE FROM contents WHERE json_extract(place, '$[0]') = ? AND json_extract(place, '$[2]') = ?",
                sorted(places),
            )

    def _catch_up(self, root: Path) -> None:
        """Add the stores that a killed process committed and did not add."""
        known = {name for (name,) in self._reading.execute("SELECT name FROM stores")}
        for path in sorted(root.glob("*/store-*.parquet")):
            store = path.relative_to(root).with_suffix("").as_posix()
            if store not in known:
                found = list(_stored(path))
                outcomes = {key_of(url): text_of(outcome) for url, outcome in found}
                places = {one.stored.sha256: one.stored.place for _, one in found if one.stored}
                self.add(outcomes, places, store)


def _stored(path: Path) -> Iterator[tuple[str, Outcome]]:
    for batch in pq.ParquetFile(path).iter_batches():
        for row in batch.to_pylist():
            if row["tar"] is not None and row["url"] is not None:
                yield row["url"], outcome_of(row)
