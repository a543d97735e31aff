"""Stores: tars that hold fetched bytes as they came, each with a table that says what became of every URL.

A tar is written under a temporary name and takes its own when it is whole and on the disk; its table follows, and is
the commit. A killed fetch leaves no cut tar: what was not committed is fetched again, what was is not.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from dataclasses import astuple
from pathlib import Path
from typing import Any, BinaryIO, Final

import pyarrow as pa

from sluice.pack.tar import header, padded, write_end
from sluice.table.commit import commit, write_table
from sluice.table.memory import give_back
from sluice.web.answer import Outcome, Place, Said, Stored, outcome_from, text_of
from sluice.web.body import Body
from sluice.web.config import FetchConfig
from sluice.web.hosts import Job
from sluice.web.index import Index

LIST: Final = b"sluice.list"  # which list the rows of a table are rows of
_MOST_ROWS: Final = 4_096  # held until they are written
_BATCH: Final = 512  # rows held as Python's own objects
_NOT_SAID: Final = (None,) * 7
_NOT_STORED: Final = (None,) * 6

FETCHED: Final = pa.schema(
    [
        ("row", pa.int64()),  # of the list, from 0, over all of its files
        ("url", pa.string()),  # as the list has it
        ("final_url", pa.string()),  # after redirects
        ("tries", pa.int16()),
        ("fetched", pa.string()),  # ISO 8601, UTC
        ("seconds", pa.float32()),  # of the last exchange
        ("repeat", pa.bool_()),  # the URL was fetched for another row
        ("status", pa.int16()),  # HTTP; null where there was no answer
        ("http", pa.string()),  # version: 1.1 | 2
        ("content_type", pa.string()),  # as the server says; `format` is what the content says
        ("last_modified", pa.string()),
        ("robots", pa.string()),  # X-Robots-Tag
        ("tdm", pa.string()),  # TDM-Reservation
        ("licence", pa.string()),  # of a Link header
        ("tar", pa.string()),  # below the folder of the stores; null where nothing is stored
        ("member", pa.string()),
        ("offset", pa.int64()),  # first byte in the tar
        ("size", pa.int64()),
        ("sha256", pa.string()),
        ("format", pa.string()),
        ("failure_class", pa.string()),  # null where the bytes are stored
        ("failure", pa.string()),
    ]
)


class Store:
    """Writes the stores of one source; `root` is the folder of all sources' stores, `index` knows what they hold."""

    def __init__(self, root: Path, name: str, config: FetchConfig, index: Index, fingerprint: str) -> None:
        self._root = root
        self._name = name
        self._config = config
        self._index = index
        self._fingerprint = fingerprint
        self._number = next_number(root / name)
        self._closing: asyncio.Task[None] | None = None
        self._open = _Shard(root, self._path())
        self._recent: list[_Shard] = [self._open]  # what is not in the index yet
        self.kept = self.failed = self.bytes = 0

    def repeats(self, row: int, url: str, key: bytes) -> bool:
        """Whether the bytes of a URL are stored already; if so, that is written down for `row`."""
        text = next((shard.outcomes[key] for shard in self._recent if key in shard.outcomes), None)
        text = text or self._index.outcome(key)
        if text is None:
            return False
        self._open.note(_values(row, url, outcome_from(text), repeat=True))
        self.kept += 1
        return True

    async def keep(self, job: Job, outcome: Outcome, body: Body | None) -> None:
        """Store `body`, unless the same bytes are stored, and write the outcome down for all rows of `job`."""
        if body is not None:
            outcome = self._stored(job, outcome, body)
        for row in job.rows:
            self._open.note(_values(row, job.listed, outcome, repeat=row != job.rows[0]))
        if outcome.failure is None:
            self._open.outcomes[job.key] = text_of(outcome)
            self.kept += len(job.rows)
        else:
            self.failed += len(job.rows)
        await self._close_if_due()

    async def finish(self) -> None:
        """Commit all."""
        if self._closing is not None:
            await self._closing
        if self._open.count:
            self._commit(self._open)
        else:
            self._open.abandon()

    def abandon(self) -> None:
        """Leave what is not committed."""
        self._open.abandon()

    def _stored(self, job: Job, outcome: Outcome, body: Body) -> Outcome:
        sha256 = body.sha256
        place = next((shard.places[sha256] for shard in self._recent if sha256 in shard.places), None)
        place = place or self._index.place(sha256)
        if place is None:
            place = self._open.places[sha256] = self._open.write(f"{job.rows[0]:012d}.{body.format}", body)
            self.bytes += body.size
        stored = Stored(place, sha256, body.format)
        return Outcome(outcome.final_url, outcome.tries, outcome.fetched, outcome.seconds, outcome.said, stored)

    async def _close_if_due(self) -> None:
        shard, config = self._open, self._config
        if shard.size < config.shard_bytes and shard.count < _MOST_ROWS and shard.age < config.commit_seconds:
            return
        if self._closing is not None and not self._closing.done():
            if shard.count < 2 * _MOST_ROWS:
                return  # the disk is slower than the network: this one grows a little past its bounds
            await asyncio.shield(self._closing)
            if shard is not self._open:
                return
        if self._closing is not None:
            self._closing.result()
        self._number += 1
        self._open = _Shard(self._root, self._path())
        self._recent.append(self._open)
        self._closing = asyncio.create_task(self._close(shard))

    async def _close(self, shard: _Shard) -> None:
        await asyncio.to_thread(self._commit, shard)
        self._recent.remove(shard)  # the index knows what it holds

    def _commit(self, shard: _Shard) -> None:
        shard.commit(self._fingerprint)
        self._index.add(shard.outcomes, shard.places, shard.path.relative_to(self._root).with_suffix("").as_posix())
        give_back()  # each thread that commits has a heap of its own, whose gaps would grow with the list

    def _path(self) -> Path:
        return self._root / self._name / f"store-{self._number:05d}.tar"


class _Shard:
    """A tar being written, and the rows of its table."""

    def __init__(self, root: Path, path: Path) -> None:
        self.path = path
        self.size = 0
        self.count = 0  # rows
        self.outcomes: dict[bytes, str] = {}  # by key of the URL, as text: a fifth of the room
        self._rows: list[tuple[Any, ...]] = []
        self._batches: list[pa.RecordBatch] = []
        self.places: dict[str, Place] = {}  # by SHA-256
        self._started = time.monotonic()
        self._shown = path.relative_to(root).as_posix()
        self._stack = ExitStack()
        self._file: BinaryIO | None = None

    @property
    def age(self) -> float:
        """Seconds since it was begun."""
        return time.monotonic() - self._started

    def note(self, values: tuple[Any, ...]) -> None:
        """Add a row to the table."""
        self.count += 1
        self._rows.append(values)
        if len(self._rows) >= _BATCH:
            self._compact()

    def write(self, member: str, body: Body) -> Place:
        """Add one file."""
        if self._file is None:
            self._file = self._stack.enter_context(commit(self.path)).open("wb", buffering=2**18)
        head = header(member, body.size)
        self._file.write(head)
        self._file.writelines(body.pieces())
        self._file.write(bytes(padded(body.size) - body.size))
        place = Place(self._shown, member, self.size + len(head), body.size)
        self.size += len(head) + padded(body.size)
        return place

    def commit(self, fingerprint: str) -> None:
        """Give the tar its name, then the table."""
        if self._file is not None:
            write_end(self._file, self.size)
            self._file.close()
        self._stack.close()
        self._compact()
        table = pa.Table.from_batches(self._batches, FETCHED).sort_by("row")
        table = table.replace_schema_metadata({LIST: fingerprint.encode()})
        write_table(self.path.with_suffix(".parquet"), table)

    def _compact(self) -> None:
        """Rows as columns: a fifth of the room that they take as Python's own objects."""
        if self._rows:
            values = zip(*self._rows, strict=True)
            columns = [pa.array(column, field.type) for column, field in zip(values, FETCHED, strict=True)]
            self._batches.append(pa.record_batch(columns, schema=FETCHED))
            self._rows = []

    def abandon(self) -> None:
        """Remove what was written."""
        if self._file is not None:
            self._file.close()
            self._file = None
            self._stack.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)


def _values(row: int, url: str, outcome: Outcome, repeat: bool) -> tuple[Any, ...]:
    said, stored = outcome.said, outcome.stored
    return (
        row,
        url,
        outcome.final_url,
        outcome.tries,
        outcome.fetched,
        outcome.seconds,
        repeat,
        *(_NOT_SAID if said is None else _said_values(said)),
        *(_NOT_STORED if stored is None else (*astuple(stored.place), stored.sha256, stored.format)),
        *(outcome.failure or (None, None)),
    )


def _said_values(said: Said) -> tuple[Any, ...]:
    return (said.status, said.http, said.content_type, said.last_modified, said.robots, said.tdm, said.licence)


def next_number(folder: Path) -> int:
    """The number of the next store; a tar whose table was never written is removed, for nobody knows what it holds."""
    folder.mkdir(parents=True, exist_ok=True)
    for tar in folder.glob("store-*.tar"):
        if not tar.with_suffix(".parquet").is_file():
            tar.unlink()
    return max((int(path.stem.removeprefix("store-")) for path in folder.glob("store-*.parquet")), default=-1) + 1
