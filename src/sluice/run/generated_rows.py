"""The rows of generated captions: what is known of the sample's image, beside what was measured of the new text.

| column | of a generated caption; null where the source said it |
| --- | --- |
| `caption_origin` | the captioner, `consensus`, or the method of a variation |
| `caption_of` | of a variation: the item that it was made from |
| `caption_support` | in a consensus: the share of what it says that other captioners say too |
| `caption_claims`, `caption_claimed` | in a consensus: of how many things it alone speaks, and which |
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa

from sluice.measures.base import Measure
from sluice.table.compute import pc
from sluice.table.layout import CAPTIONED, Layout
from sluice.table.read import read_table

ORIGIN: Final = "caption_origin"
VARIES: Final = "caption_of"
GENERATED: Final = pa.schema(
    [
        (ORIGIN, pa.string()),
        (VARIES, pa.int16()),
        ("caption_support", pa.float32()),
        ("caption_claims", pa.int16()),
        ("caption_claimed", pa.string()),
    ]
)


def with_generated(
    rows: pa.Table, all_rows: pa.Table, layout: Layout, unit: int, measures: Mapping[str, Measure]
) -> pa.Table:
    """`rows` of a unit with those of its generated captions, each after those of its sample; with their origin.

    `all_rows` are those rows before any caption was left out: an image is described by the first of its sample.
    A row without a text makes room for them. `measures`: those of texts, by identity.
    """
    for field in GENERATED:
        rows = rows.append_column(field, pa.nulls(len(rows), field.type))
    made = read_table(layout.generated(unit), threads=False)
    entered = pc.is_in(made.column("id"), all_rows.column("id").combine_chunks())
    here = pc.and_(pc.equal(made.column("role"), "caption"), entered)
    place = np.flatnonzero(here.to_numpy())
    if not len(place):
        return rows
    captions = made.take(pa.array(place))
    first = pc.index_in(captions.column("id"), all_rows.column("id").combine_chunks())
    new = all_rows.take(first)
    columns: dict[str, pa.ChunkedArray] = {
        "text_item": captions.column("item"),
        "text": captions.column("text"),
        "declared_language": captions.column("language"),
        "alternative": pa.chunked_array([pa.array(np.ones(len(captions), np.bool_))]),
    }
    errors: list[str | None] = [None] * len(captions)
    for identity, measure in measures.items():
        table = read_table(layout.measured(identity, unit, CAPTIONED), threads=False).take(pa.array(place))
        columns |= {name: table.column(name) for name in measure.writes}
        for row, error in enumerate(table.column("error").to_pylist()):
            errors[row] = errors[row] or error
    columns["text_error"] = pa.chunked_array([pa.array(errors, pa.string())])
    for name, column in columns.items():
        field = new.schema.field(name)
        new = new.set_column(new.schema.get_field_index(name), field, column.cast(field.type))
    told = pa.Table.from_pylist([_told(meta) for meta in captions.column("meta").to_pylist()], GENERATED)
    for field in GENERATED:
        new = new.append_column(field, told.column(field.name))
    spoken = pc.is_in(rows.column("id"), new.column("id").combine_chunks())
    silent = pc.and_(pc.is_null(rows.column("text_item")), spoken)
    together = pa.concat_tables([rows.filter(pc.invert(silent)), new])
    return together.take(pa.array(np.argsort(together.column("ordinal").to_numpy(), kind="stable")))


def _told(meta: str | None) -> dict[str, Any]:
    """The columns of a generated caption, from what its item says of it."""
    said = json.loads(meta or "{}")
    claims: list[str] | None = said.get("claims")
    return {
        ORIGIN: said.get("captioner"),
        VARIES: said.get("of"),
        "caption_support": said.get("support"),
        "caption_claims": None if claims is None else len(claims),
        "caption_claimed": None if claims is None else ", ".join(claims),
    }
