"""The receipt of a training: which sample was served when and to whom, and which one too often or never."""

from __future__ import annotations

import json
import uuid
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa

from sluice.load.fetching import Bad
from sluice.table.commit import commit, table_writer

RECEIPT: Final = pa.schema(
    [
        ("epoch", pa.int32()),
        ("step", pa.int64()),
        ("rank", pa.int32()),
        ("world", pa.int32()),
        ("place", pa.int32()),  # in the rank's part of the batch
        ("id", pa.string()),  # null where a whole block was bad
    ]
)

# What `write_receipt` writes: a row `batch` for each, and one for each `sample` and each `bad` one in it.
WRITTEN: Final = pa.schema(
    [
        ("kind", pa.string()),  # batch | sample | bad
        ("process", pa.string()),  # who served it: a loader, from one load_state_dict to the next
        *(RECEIPT.field(name) for name in ("epoch", "step", "rank", "world", "place")),
        ("source", pa.int32()),  # which pack of the loader
        ("id", pa.string()),
        ("last", pa.bool_()),  # of a batch: whether it ends its epoch
        ("role", pa.string()),  # of a bad one: wanted there | tried in place of another | too_long for any batch
        ("failure_class", pa.string()),
        ("failure", pa.string()),
        ("replaced_by", pa.string()),
    ]
)
PREFIX: Final = "rank-"  # of the files' names
ORDER: Final = b"sluice.order"  # among the facts of the file: packs and settings of the loader


class Given(NamedTuple):
    """A batch that was served."""

    epoch: int
    step: int
    rank: int
    world: int
    ids: tuple[str | None, ...]
    sources: tuple[int, ...]
    bad: tuple[Bad, ...]
    last: bool


class Receipts:
    """The files that one loader writes, each with what was served since the one before."""

    def __init__(self) -> None:
        self._loader = uuid.uuid4().hex[:12]
        self._files = self._written = 0
        self._begins: list[int] = []  # batches served when a state was loaded

    def resumed(self, served: int) -> None:
        """A state was loaded when so many batches were served: what comes may have been served before."""
        self._begins.append(served)

    def write(self, folder: Path, rank: int, served: Sequence[Given], order: Mapping[str, Any]) -> Path | None:
        """Commit what of `served` is not written yet; `order` are the loader's packs and settings."""
        if self._written == len(served):
            return None
        rows: list[tuple[Any, ...]] = []
        for at in range(self._written, len(served)):
            rows += _rows(served[at], f"{self._loader}-{bisect_right(self._begins, at)}")
        path = folder / f"{PREFIX}{rank:05d}-{self._loader}-{self._files:06d}.parquet"
        schema = WRITTEN.with_metadata({ORDER: json.dumps(order, sort_keys=True).encode()})
        columns = zip(zip(*rows, strict=True), WRITTEN, strict=True)
        table = pa.Table.from_arrays([pa.array(column, one.type) for column, one in columns], schema=schema)
        with commit(path) as partial, table_writer(partial, schema) as writer:
            writer.write_table(table)
        self._files, self._written = self._files + 1, len(served)
        return path


def _rows(batch: Given, process: str) -> Iterator[tuple[Any, ...]]:
    """A batch as rows of WRITTEN."""
    where = process, batch.epoch, batch.step, batch.rank, batch.world
    yield ("batch", *where, None, None, None, batch.last, *[None] * 4)
    for place, (id, source) in enumerate(zip(batch.ids, batch.sources, strict=True)):
        yield ("sample", *where, place, source, id, *[None] * 5)
    for bad in batch.bad:
        said = bad.role, bad.failure_class, bad.message, bad.replaced_by
        yield ("bad", *where, None, bad.source, bad.id, None, *said)


def as_table(served: Iterable[tuple[int, int, int, int, Sequence[str | None]]]) -> pa.Table:
    """The receipt of batches: epoch, step, rank, world and the ids of each."""
    rows = [
        (epoch, step, rank, world, place, id)
        for epoch, step, rank, world, ids in served
        for place, id in enumerate(ids)
    ]
    columns = list(zip(*rows, strict=True)) or [()] * len(RECEIPT)
    return pa.Table.from_arrays(
        [pa.array(column, one.type) for column, one in zip(columns, RECEIPT, strict=True)], schema=RECEIPT
    )


def odd_ones(receipts: Iterable[pa.Table], ids: Iterable[str] | Mapping[str, int], times: int = 1) -> dict[str, int]:
    """How often each id was served that was not served `times`: empty where the receipts are as they should be.

    `ids` may say of each its `repeats` in the manifest: so many of it are one time.

    >>> receipt = as_table([(0, 0, 0, 1, ["a", "b", "b"])])
    >>> odd_ones([receipt], ["a", "b", "c"])
    {'b': 2, 'c': 0}
    >>> odd_ones([receipt], {"a": 1, "b": 2})
    {}
    """
    served: Counter[str | None] = Counter()
    for receipt in receipts:
        served.update(receipt.column("id").to_pylist())
    expected = (
        {id: times * repeats for id, repeats in ids.items()} if isinstance(ids, Mapping) else dict.fromkeys(ids, times)
    )
    return {
        id: served[id]
        for id in sorted({*expected, *(one for one in served if one is not None)})
        if served[id] != expected.get(id, 0)
    }
