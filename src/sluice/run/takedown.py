"""Takedown: a sample leaves the shards and its content leaves the run; that it was there, and why it left, stays.

What was like it stays out too: its duplicates were rejected in its favour and are not brought back.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.run.erasing import erase_fetched
from sluice.table.commit import commit, table_writer, write_table
from sluice.table.compute import pc
from sluice.table.layout import BOXES, CAPTIONED, CHECKED, FILTERED, RAW, Layout
from sluice.table.read import read_table
from sluice.table.vectors import VECTOR, write_vectors

TAKEDOWN: Final = "takedown"
_SCHEMA: Final = pa.schema([("id", pa.string()), ("request", pa.string()), ("kept", pa.bool_())])
_BLANK_SAMPLE: Final = ("author", "source_url", "meta")
_BLANK_ROWS: Final = ("text", "author", "source_url")
_BLANK_ITEM: Final = ("text", "meta")
_BLANK_SAID: Final = ("text", "data", "claims")


def taken_down(layout: Layout) -> dict[str, str]:
    """The ids taken down, each with the request that named it."""
    if not layout.takedowns.is_file():
        return {}
    table = read_table(layout.takedowns)
    return dict(zip(*(table.column(name).to_pylist() for name in ("id", "request")), strict=True))


def kept_until(layout: Layout) -> pa.Array:
    """The ids that 01_filtered kept until they were taken down: they go on being kept there, in place of their like.

    Judged again without its content, such a sample might be rejected, and a near-duplicate of it would come back.
    """
    if not layout.takedowns.is_file():
        return pa.array([], pa.string())
    table = read_table(layout.takedowns)
    return table.filter(table.column("kept")).column("id").combine_chunks()


def record(layout: Layout, ids: dict[str, str]) -> int:
    """Add `ids` (with their request) to the takedowns and erase their content; return how many are new."""
    known = taken_down(layout)
    new = {identity: request for identity, request in ids.items() if identity not in known}
    kept = {*kept_until(layout).to_pylist(), *_kept_now(layout, new)}
    rows = [(identity, request, identity in kept) for identity, request in sorted({**known, **new}.items())]
    write_table(layout.takedowns, pa.table([[row[i] for row in rows] for i in range(3)], schema=_SCHEMA))
    erase(layout, set(known) | set(new))
    return len(new)


def _kept_now(layout: Layout, ids: Collection[str]) -> list[str]:
    if not layout.verdicts(FILTERED).is_file():
        return []
    verdicts = read_table(layout.verdicts(FILTERED), columns=["id", "verdict"])
    verdicts = verdicts.filter(pc.equal(verdicts.column("verdict"), "kept"))
    return verdicts.filter(pc.is_in(verdicts.column("id"), pa.array(sorted(ids), pa.string()))).column("id").to_pylist()


def erase(layout: Layout, ids: set[str]) -> None:
    """Blank the content of `ids` wherever the run keeps a copy of it."""
    erase_fetched(layout, ids)
    for path in sorted((layout.root / RAW / "samples").glob("unit-*.parquet")):
        _blank_file(path, ids, _BLANK_SAMPLE)
    for path in sorted((layout.root / RAW / "items").glob("unit-*.parquet")):
        _blank_file(path, ids, _BLANK_ITEM)
    for path in sorted((layout.root / CAPTIONED / "items").glob("unit-*.parquet")):
        _blank_file(path, ids, _BLANK_ITEM)
    for path in sorted((layout.root / CAPTIONED / "captions").glob("*/unit-*.parquet")):
        _blank_file(path, ids, _BLANK_SAID)
    for stage in (FILTERED, CAPTIONED, CHECKED):
        if layout.rows_of(stage).is_file():
            _blank_file(layout.rows_of(stage), ids, _BLANK_ROWS)
        if layout.verdicts(stage).is_file():
            _blank_reasons(layout.verdicts(stage), ids)
    for path in sorted(layout.measures(CHECKED).glob("*/unit-*.parquet")):
        _blank_vectors(path, ids)
    for path in sorted((layout.root / BOXES).glob("*/unit-*.parquet")):
        _blank_boxes(path, ids)
    shutil.rmtree(layout.state / "plan", ignore_errors=True)  # samples that `plan` drew, copied


def _blank_vectors(path: Path, ids: set[str]) -> None:
    """A vector says much of what it was made from."""
    if VECTOR not in pq.read_schema(path).names:
        return  # a score is a number, as those of other measures are
    table = read_table(path)
    hit = pc.is_in(table.column("id"), pa.array(sorted(ids), pa.string()))
    if pc.any(pc.and_(hit, pc.is_valid(table.column(VECTOR)))).as_py():
        vectors = table.column(VECTOR).combine_chunks()
        blank = vectors.take(pa.array(np.arange(len(vectors)), mask=hit.to_numpy()))
        place = table.schema.get_field_index(VECTOR)
        blanked_table = table.set_column(place, table.schema.field(VECTOR), blank)
        write_vectors(path, blanked_table.replace_schema_metadata(table.schema.metadata))


def _blank_boxes(path: Path, ids: set[str]) -> None:
    """Where the faces were, in an image that is gone."""
    table = pq.read_table(path)
    if pc.any(pc.is_in(table.column("id"), pa.array(sorted(ids), pa.string()))).as_py():
        write_table(path, blanked(table, ids, ("boxes",)))


def _blank_reasons(path: Path, ids: set[str]) -> None:
    """Blank what rules quoted of `ids`, as deciding on the blanked rows would."""
    table = pq.read_table(path)
    hit = np.flatnonzero(pc.is_in(table.column("id"), pa.array(sorted(ids), pa.string())).to_numpy())
    if not len(hit):
        return
    reasons = table.column("reasons").combine_chunks()
    blank = [
        [{**reason, "values": _without_content(reason["values"])} for reason in said]
        for said in reasons.take(pa.array(hit)).to_pylist()
    ]
    place = np.arange(len(reasons))
    place[hit] = len(reasons) + np.arange(len(hit))
    reasons = pa.concat_arrays([reasons, pa.array(blank, reasons.type)]).take(pa.array(place))
    write_table(path, table.set_column(table.schema.get_field_index("reasons"), table.schema.field("reasons"), reasons))


def _without_content(values: str) -> str:
    seen = json.loads(values)
    return json.dumps(
        {name: None if name in _BLANK_ROWS else value for name, value in seen.items()}, ensure_ascii=False
    )


def blanked(table: pa.Table, ids: set[str], columns: tuple[str, ...]) -> pa.Table:
    """`table` with `columns` null in the rows of `ids`."""
    if not ids:
        return table
    hit = pc.is_in(table.column("id"), pa.array(sorted(ids), pa.string()))
    for name in columns:
        column = pc.if_else(hit, pa.scalar(None, table.schema.field(name).type), table.column(name))
        table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), column)
    return table


def blank_unit(samples: pa.Table, items: pa.Table, ids: set[str]) -> tuple[pa.Table, pa.Table]:
    """A unit's tables without the content of `ids`: what ingest writes when the source still holds them."""
    return blanked(samples, ids, _BLANK_SAMPLE), blanked(items, ids, _BLANK_ITEM)


def _blank_file(path: Path, ids: set[str], columns: tuple[str, ...]) -> None:
    """Rewrite a table row group by row group; untouched where it holds none of `ids`."""
    file = pq.ParquetFile(path)
    wanted = pa.array(sorted(ids), pa.string())
    if not any(
        np.any(pc.is_in(file.read_row_group(i, columns=["id"]).column("id"), wanted).to_numpy(zero_copy_only=False))
        for i in range(file.num_row_groups)
    ):
        return
    with commit(path) as partial, table_writer(partial, file.schema_arrow) as writer:
        for i in range(file.num_row_groups):
            group = file.read_row_group(i)
            writer.write_table(blanked(group, ids, columns), row_group_size=max(1, group.num_rows))
