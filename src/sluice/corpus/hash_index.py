"""A stored index of hashes: what a corpus has seen, so that each day's new hashes are held against all earlier ones.

One Arrow file: the distinct hashes, ascending, each with the key of the first that had it. It is mapped into memory,
not read; a lookup joins the new hashes with the old ones and each other, never the old ones with themselves. Adding
writes a new file and puts it in place of the old one in one step: a process that is killed leaves the old one. What is
in an index does not depend on how its hashes were dealt to days, only on their order.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sluice.corpus.blocks import Hashes
from sluice.corpus.hamming import Distances, Indices, collapse, matches_against, pairs_within
from sluice.corpus.native_join import Progress
from sluice.errors import SourceError
from sluice.table.commit import PARTIAL, commit
from sluice.table.file_lock import lock, remove_if_left, unlock

_VERSION_KEY: Final = b"sluice.hash_index"
_VERSION: Final = b"1"
_NOTHING: Final = -1


@dataclass(frozen=True)
class HashIndex:
    """Distinct hashes, ascending (64-bit integers, or rows of them), what each is called, and what they are."""

    hashes: Hashes
    keys: pa.ChunkedArray
    column: str  # e.g. phash

    def __len__(self) -> int:
        return len(self.hashes)

    @property
    def bits(self) -> int:
        """Of a hash."""
        return 64 * (1 if self.hashes.ndim == 1 else self.hashes.shape[1])


@dataclass(frozen=True)
class Nearest:
    """For each new hash the nearest one of the index, and the nearest of those before it among the new ones.

    Places in the index and among the new ones, -1 where none is near enough; of equally near ones the first.
    """

    indexed: Indices
    indexed_bits: Distances
    earlier: Indices
    earlier_bits: Distances

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Which of the new hashes are near one of either."""
        return (self.indexed != _NOTHING) | (self.earlier != _NOTHING)


def open_index(path: Path) -> HashIndex:
    """The index at `path`, mapped into memory."""
    try:
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    except (OSError, pa.ArrowInvalid) as error:
        raise SourceError(f"{path}: no index of hashes that can be read: {error}") from error
    if (table.schema.metadata or {}).get(_VERSION_KEY) != _VERSION or table.column_names[1:] != ["key"]:
        raise SourceError(f"{path}: an Arrow file, but no index of hashes that `sluice dedup --add` wrote")
    column = table.schema.names[0]
    values = table.column(0).combine_chunks()
    kind = values.type
    if isinstance(kind, pa.FixedSizeBinaryType):
        data = np.frombuffer(values.buffers()[1], np.uint64) if len(values) else np.empty(0, np.uint64)
        return HashIndex(data.reshape(-1, kind.byte_width // 8), table.column("key"), column)
    return HashIndex(values.to_numpy(), table.column("key"), column)


def nearest(index: HashIndex | None, hashes: Hashes, k: int, *, progress: Progress | None = None) -> Nearest:
    """Hold new `hashes` against those of `index` and against each other, within `k` bits.

    >>> index = HashIndex(np.array([0, 255], np.uint64), pa.chunked_array([["a", "b"]]), "phash")
    >>> found = nearest(index, np.array([254, 0xFF00, 0xFF01], np.uint64), 2)
    >>> found.indexed.tolist(), found.earlier.tolist()
    ([1, -1, -1], [-1, -1, 1])
    """
    count = len(hashes)
    indexed, indexed_bits = np.full(count, _NOTHING), np.zeros(count, np.uint8)
    if index is not None and len(index):
        row, place, bits = matches_against(hashes, index.hashes, k, progress=progress)
        indexed[row], indexed_bits[row] = place, bits
    unique, group = collapse(hashes)
    first = np.full(len(unique), count)
    np.minimum.at(first, group, np.arange(count))
    pairs = pairs_within(unique, k)
    # Equal ones are as near as can be; of the rest, a hash is near whichever came before its own first.
    best = np.full(len(unique), np.iinfo(np.int64).max)
    for one, other in ((pairs.a, pairs.b), (pairs.b, pairs.a)):
        before = first[other] < first[one]
        np.minimum.at(best, one[before], pairs.distance[before].astype(np.int64) << 48 | first[other[before]])
    earlier, earlier_bits = np.full(count, _NOTHING), np.zeros(count, np.uint8)
    repeat = first[group] != np.arange(count)
    near = ~repeat & (best[group] != np.iinfo(np.int64).max)
    earlier[repeat] = first[group[repeat]]
    earlier[near] = best[group[near]] & (1 << 48) - 1
    earlier_bits[near] = best[group[near]] >> 48
    return Nearest(indexed, indexed_bits, earlier, earlier_bits)


def add_to_index(path: Path, hashes: Hashes, keys: Sequence[str], column: str) -> HashIndex:
    """Put `hashes` into the index at `path`, which is made where it is not there; those it has keep their key."""
    old = open_index(path) if path.is_file() else None
    if old is not None and (old.column != column or old.bits != 64 * (1 if hashes.ndim == 1 else hashes.shape[1])):
        raise SourceError(
            f"{path} holds {old.column} of {old.bits} bits: what is added must be the same, not {column} "
            f"of {64 * (1 if hashes.ndim == 1 else hashes.shape[1])}"
        )
    named = pa.chunked_array([pa.array(keys, pa.string())])
    if old is not None:
        hashes, named = np.concatenate([old.hashes, hashes]), pa.chunked_array([*old.keys.chunks, *named.chunks])
    unique, group = collapse(hashes)
    first = np.full(len(unique), len(hashes))
    np.minimum.at(first, group, np.arange(len(hashes)))
    if unique.ndim == 1:
        values = pa.array(unique)
    else:
        width = unique.shape[1] * 8
        values = pa.Array.from_buffers(pa.binary(width), len(unique), [None, pa.py_buffer(unique.tobytes())])
    table = pa.table({column: values, "key": named.take(pa.array(first)).combine_chunks()})
    table = table.replace_schema_metadata({_VERSION_KEY: _VERSION})
    with _commit(path) as partial, pa.OSFile(str(partial), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=max(1, table.num_rows))
    return open_index(path)


@contextmanager
def _commit(path: Path) -> Generator[Path]:
    """`commit`, and what a killed addition left half-written is removed: one that lives holds the lock of its file.

    On a file system that knows no locks it stays.
    """
    for left in path.parent.glob(f"{glob.escape(path.name)}.*{PARTIAL}"):
        with suppress(OSError):
            remove_if_left(left)
    with ExitStack() as held, commit(path) as partial:  # locked until it has its final name
        descriptor = os.open(partial, os.O_CREAT | os.O_RDWR, 0o666)
        held.callback(os.close, descriptor)
        with suppress(OSError):
            lock(descriptor, wait=False)
            held.callback(unlock, descriptor)
        yield partial
