"""The receipt of a training: which sample was served when and to whom, and which one too often or never."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import pyarrow as pa

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
