"""One sample of a stretch: read, decoded, or replaced by the next of its block where it is bad.

What takes the place of a bad sample depends on the block alone, so it is the same on every rank; it is recorded,
and a block without any good sample left gives none, which is recorded too. Nothing waits, nothing diverges.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

from sluice.errors import SampleFailure
from sluice.load.draws import draw_key
from sluice.load.folder import PLACES, PackFolder
from sluice.load.reading import Sample, ShardReader
from sluice.load.together import read_together
from sluice.table.arrays import filled

Decode: TypeAlias = Callable[[Sample], Any]
Moment: TypeAlias = tuple[int, int, int]  # seed, epoch, turn of the source: what draws for a sample depend on
Place: TypeAlias = tuple[int, int, int, Moment]  # source, block, place in the block


@runtime_checkable
class Seeded(Protocol):
    """A decoder that draws: it is given a key, which is another for each serving of a sample, and always the same."""

    def seeded(self, sample: Sample, key: int) -> Any:
        """What `sample` becomes, by numbers that follow from `key` alone."""
        ...


_BLOCKS_HELD: Final = 256
_TOGETHER: Final = 32  # blocks that are read from at once: no more than a reader has files open


@dataclass(frozen=True)
class Bad:
    """A sample that could not be read or decoded, and who took its place."""

    source: int
    id: str
    failure_class: str
    message: str
    replaced_by: str | None
    role: str = "wanted"  # wanted there | tried in place of another that is bad | too_long for any batch


class Served(NamedTuple):  # made for every sample: half the cost of a frozen dataclass
    """What was served in one place of a batch; `value` is None only where a whole block is bad."""

    source: int
    id: str | None  # of what was served
    value: Any
    bad: tuple[Bad, ...] = ()


class Fetcher:
    """Reads and decodes samples; threads may share it, each has files of its own."""

    def __init__(self, folders: Sequence[PackFolder], decode: Decode | None) -> None:
        self._folders = folders
        self._decode = decode
        self._draws = decode if isinstance(decode, Seeded) else None  # asked once: to ask takes as long as to read
        self._local = threading.local()
        self._rows: dict[tuple[int, int], _Rows] = {}
        self._lock = threading.Lock()

    def fetch_all(self, places: Sequence[Place]) -> list[Served]:
        """The samples at `places`."""
        ahead = zip(places, self.read_ahead(places), strict=True)
        if self._decode is None:
            return [Served(place[0], read.id, read) if read else self.fetch(*place) for place, read in ahead]
        return [self.fetch(*place, read) for place, read in ahead]

    def read_ahead(self, places: Sequence[Place]) -> list[Sample | None]:
        """The samples at `places` that can be read many at a time; None for any other."""
        samples: list[Sample | None] = [None] * len(places)
        of_blocks: dict[tuple[int, int], list[int]] = {}
        for number, (source, block, _, _) in enumerate(places):
            of_blocks.setdefault((source, block), []).append(number)
        blocks = list(of_blocks.items())
        for first in range(0, len(blocks), _TOGETHER):
            for number, sample in self._read_blocks(blocks[first : first + _TOGETHER], places):
                samples[number] = sample
        return samples

    def _read_blocks(
        self, blocks: Sequence[tuple[tuple[int, int], list[int]]], places: Sequence[Place]
    ) -> Iterator[tuple[int, Sample | None]]:
        """Some of the samples of `places`, those of some blocks, with their numbers there.

        A file that has gone from the cache may be closed while others are opened: then none of its samples is found.
        """
        files: list[int] = []
        numbers: list[int] = []
        ids: list[str] = []
        wheres = [np.empty((0, len(PLACES)), np.int64)]
        for (source, block), numbered in blocks:
            file = self._reader(source).opened(self._folders[source].blocks[block])
            if file is None:
                continue
            rows = self._rows_of(source, block)
            taken = rows.taken[[places[number][2] for number in numbered]]
            files += [file] * len(numbered)
            numbers += numbered
            ids += [rows.ids[row] for row in taken.tolist()]
            wheres.append(rows.places[taken])
        return zip(numbers, read_together(files, ids, np.concatenate(wheres)), strict=True)

    def begin(self, source: int, row: int) -> None:
        """Called before a sample is read, with its row of the manifest; SampleFailure has it left out."""

    def fetch(
        self, source: int, block: int, place: int, moment: Moment = (0, 0, 0), read: Sample | None = None
    ) -> Served:
        """The sample there, or the next good one of its block; `moment` is what a decoder's draws follow from.

        `read`: the sample itself, where it has been read with others.
        """
        rows = self._rows_of(source, block)
        where = self._folders[source].blocks[block]
        reader = self._reader(source)
        failures: list[tuple[str, SampleFailure]] = []
        wanted = int(rows.taken[place])
        for step in range(where.rows):
            at = (wanted + step) % where.rows
            try:
                self.begin(source, where.first + at)
                sample = read or reader.read(where, at, rows.ids[at], *rows.places[at, :2].tolist())
                value = self._decoded(sample, moment, rows.taken, place)
            except SampleFailure as failure:
                failures.append((rows.ids[at], failure))
                read = None
                continue
            return Served(source, rows.ids[at], value, _bad(source, failures, rows.ids[at]) if failures else ())
        return Served(source, None, None, _bad(source, failures, None))

    def _decoded(self, sample: Sample, moment: Moment, taken: npt.NDArray[np.int64], place: int) -> Any:
        if self._draws is not None:
            repeat = place - int(np.searchsorted(taken, taken[place]))
            return self._draws.seeded(sample, draw_key(*moment, repeat, sample.id))
        return sample if self._decode is None else self._decode(sample)

    def id_of(self, source: int, block: int, place: int) -> str:
        """The id of the sample there."""
        rows = self._rows_of(source, block)
        return rows.ids[int(rows.taken[place])]

    def _reader(self, source: int) -> ShardReader:
        readers: dict[int, ShardReader] | None = getattr(self._local, "readers", None)
        if readers is None:
            readers = self._local.readers = {}
        if source not in readers:
            readers[source] = ShardReader(self._folders[source])
        return readers[source]

    def _rows_of(self, source: int, block: int) -> _Rows:
        """Where the samples of a block lie; what was asked last is held, for a window asks for few blocks."""
        name = source, block
        with self._lock:
            found = self._rows.pop(name, None) or _Rows.of(self._folders[source], block)
            self._rows[name] = found
            while len(self._rows) > _BLOCKS_HELD:
                del self._rows[next(iter(self._rows))]
        return found


@dataclass(frozen=True)
class _Rows:
    """Where the samples of a block lie."""

    ids: list[str]
    places: npt.NDArray[np.int64]  # a row each: offset, size, and those of the first image, or -1
    taken: npt.NDArray[np.int64]  # the row at each place of the block

    @classmethod
    def of(cls, folder: PackFolder, block: int) -> _Rows:
        rows = folder.rows(block)
        places = np.stack([filled(rows.column(name), -1) for name in PLACES], axis=1)
        return cls(rows.column("id").to_pylist(), places, folder.rows_taken(block))


def _bad(source: int, failures: Sequence[tuple[str, SampleFailure]], replaced_by: str | None) -> tuple[Bad, ...]:
    roles = ("wanted", *["tried"] * len(failures))
    return tuple(
        Bad(source, id, one.failure_class, one.message, replaced_by, role)
        for (id, one), role in zip(failures, roles, strict=False)
    )
