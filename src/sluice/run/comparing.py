"""A judgement beside the verdicts that a run has written: who is gained and lost, part by part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import nsmallest
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.run.corpus_steps import duplicate_members, find_duplicates
from sluice.run.decide import KEPT
from sluice.run.judging import JudgedPart, Judging, Tally, told
from sluice.table.arrays import codes, span
from sluice.table.layout import FILTERED

_EXAMPLES: Final = 5
_PAIRS: Final = 20

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Some:
    """How many samples, and the ordinals of the first few."""

    count: int
    first: tuple[int, ...]


@dataclass(frozen=True)
class Compared:
    """What another judgement comes to."""

    after: dict[str, int]  # by verdict
    rules: dict[str, dict[str, int]]  # by rule: samples, alone
    gained: Some
    lost: Some
    overlap: dict[str, int]  # "rule + rule": samples that both speak against, most first


def compare(judging: Judging) -> Compared:
    """Judge, and compare with the verdicts of the same stage; of each sample but the duplicates nothing is held."""
    known = told(judging) if judging.corpus.alike is not None else None  # what is alike takes a pass of its own
    judging = known.judging if known else judging
    tally, overlap = Tally(), _Overlap()
    gained, lost = _Few(), _Few()
    members = duplicate_members(judging.corpus)
    alive, before = np.zeros(len(members), np.bool_), np.zeros(len(members), np.bool_)
    with _KeptBefore(judging.layout.verdicts(judging.stage)) as verdicts:
        for judged in judging.parts():
            tally.add(judged.decision, judged.speakers)
            overlap.add(judged)
            first, samples = judged.part.first_sample, judged.facts.samples
            kept, was = judged.decision.severity == KEPT, verdicts.next(samples)
            here = span(members, first, samples)
            local = members[here] - first
            alive[here], before[here] = kept[local], was[local]
            was[local] = kept[local]  # of duplicates it is told below, when all are known
            gained.add(np.flatnonzero(kept & ~was), first)
            lost.add(np.flatnonzero(was & ~kept), first)
    if known:
        duplicates = known.duplicates
    else:
        duplicates = find_duplicates(judging.corpus, judging.config, members, alive, tally.samples)
    stays = alive & ~duplicates.loses
    gained.add(members[stays & ~before], 0)
    lost.add(members[before & ~stays], 0)
    sought = duplicates if judging.stage == FILTERED else None
    return Compared(tally.verdicts(duplicates), tally.yields(sought), gained.some(), lost.some(), overlap.most())


class _Few:
    """Ordinals counted, and the least of them."""

    def __init__(self) -> None:
        self._count = 0
        self._first: list[int] = []

    def add(self, ordinals: npt.NDArray[np.int64], start: int) -> None:
        """Take in some, ascending, counted from `start`."""
        self._count += len(ordinals)
        self._first = nsmallest(_EXAMPLES, [*self._first, *(ordinals[:_EXAMPLES] + start).tolist()])

    def some(self) -> Some:
        return Some(self._count, tuple(self._first))


class _Overlap:
    """The pairs of rules that speak against the same samples, added up part by part."""

    def __init__(self) -> None:
        self._pairs: dict[str, int] = {}

    def add(self, judged: JudgedPart) -> None:
        """Count a part in."""
        decision, names = judged.decision, [speaker.name for speaker in judged.speakers]
        excluded = decision.severity > KEPT
        said = [_packed(decision.spoke[:, number] & excluded) for number in range(len(names))]
        for i in range(len(names)):
            for j in range(i):
                shared = int(np.bitwise_count(said[i] & said[j]).sum(dtype=np.int64))
                if shared:
                    pair = f"{names[i]} + {names[j]}"
                    self._pairs[pair] = self._pairs.get(pair, 0) + shared

    def most(self) -> dict[str, int]:
        """The pairs, most shared first."""
        return dict(sorted(self._pairs.items(), key=lambda pair: (-pair[1], pair[0]))[:_PAIRS])


def _packed(flags: Flags) -> npt.NDArray[np.uint64]:
    """The flags as bits, 64 in a number."""
    bits = np.packbits(flags)
    return np.concatenate([bits, np.zeros(-len(bits) % 8, np.uint8)]).view(np.uint64)


class _KeptBefore:
    """Which samples a run keeps, the next so many at a time; a context manager."""

    def __init__(self, path: Path) -> None:
        self._file = pq.ParquetFile(path, pre_buffer=True, read_dictionary=["verdict"])
        self._left = np.zeros(0, np.bool_)
        self._groups = self._read()

    def __enter__(self) -> _KeptBefore:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def next(self, samples: int) -> Flags:
        """Those of the next `samples`; an array of its own."""
        pieces, held = [self._left], len(self._left)
        while held < samples:
            pieces.append(next(self._groups))
            held += len(pieces[-1])
        every = np.concatenate(pieces)
        self._left = every[samples:]
        return every[:samples]

    def _read(self) -> Iterator[Flags]:
        for group in range(self._file.num_row_groups):
            column = self._file.read_row_group(group, columns=["verdict"]).column(0)
            if not len(column):
                continue
            column = column.unify_dictionaries()
            words = _words(column)
            yield codes(column) == (words.index("kept") if "kept" in words else -2)


def _words(column: pa.ChunkedArray) -> list[str]:
    chunk = column.chunk(0)
    assert isinstance(chunk, pa.DictionaryArray)
    return chunk.dictionary.to_pylist()
