"""What an index of a format is made from, and what it is: pure, so that `verify` makes it again and compares."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import pyarrow as pa


@dataclass(frozen=True)
class Listed:
    """A finished shard."""

    name: str  # below the pack's folder: format, split, file
    samples: int
    bytes: int
    sha256: str
    rows: Callable[[], pa.Table]  # MANIFEST, this shard's

    @property
    def split(self) -> str:
        """The split that it is of."""
        return self.name.split("/")[1]

    @property
    def file(self) -> str:
        """Its name in the folder of its split."""
        return self.name.rpartition("/")[2]


@dataclass(frozen=True)
class IndexFile:
    """A file that lists the shards of a format, as a piece after the other."""

    name: str  # below the pack's folder
    pieces: Iterable[bytes]
    same: Callable[[Path], bool] | None = None  # whether a file holds the same, where equal bytes are not asked for


def by_split(shards: Sequence[Listed]) -> Iterator[tuple[str, list[Listed]]]:
    """The shards of each split, both in order of their names."""
    ordered = sorted(shards, key=lambda shard: (shard.split, shard.name))
    for split, group in groupby(ordered, key=lambda shard: shard.split):
        yield split, list(group)
