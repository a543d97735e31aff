"""The tables of a run as the report reads them: DuckDB over the Parquet files, within a memory limit.

`spoke`     a row a reason of a verdict: ordinal, id, unit, verdict, rule, effect, item, values
`place`     a row a row of rows.parquet: the code of its sample's verdict, and whether it is the first of its sample,
            image or text (an image with three captions stands in three rows)
`measured`  the same with the numbers of rows.parquet
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.errors import RunError
from sluice.table.duck import connect
from sluice.table.layout import FILTERED, Layout

VERDICTS: Final = ("kept", "rejected", "held", "failed")  # by code
MEMORY: Final = "400MB"  # past it, DuckDB spills to a temporary folder
_HASHES: Final = ("phash", "dhash")
_IDENTITY: Final = ("ordinal", "unit", "image_item", "text_item", "images", "captions", "texts")
_LABELS: Final = ("source", "format", "spdx", "licence", "language", "declared_language", "dataset")


@dataclass(frozen=True)
class Column:
    """A measured column that holds numbers."""

    name: str
    grain: str  # image | text | sample
    whole: bool  # integers


@dataclass(frozen=True)
class Tables:
    """An open connection with the tables above."""

    duck: duckdb.DuckDBPyConnection
    layout: Layout
    columns: tuple[Column, ...]
    labels: tuple[str, ...]
    entered: int

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows that `sql` gives."""
        return self.duck.execute(sql, list(values)).fetchall()

    def sample_place(self, grain: str) -> str:
        """The column that is true once for each thing of `grain`."""
        return {"image": "first_image", "text": "first_text"}.get(grain, "first_row")


@contextmanager
def open_tables(layout: Layout) -> Generator[Tables]:
    """Open the tables of a run whose 01_filtered is done."""
    if not layout.verdicts(FILTERED).is_file() or not layout.rows.is_file():
        raise RunError(f"{layout.root}: nothing was decided yet, so there is nothing to report; `sluice run` goes on")
    schema = pq.read_schema(layout.rows)
    grains: dict[str, str] = json.loads((schema.metadata or {}).get(b"sluice.grains", b"{}"))
    columns = tuple(
        Column(field.name, grains.get(field.name, "sample"), pa.types.is_integer(field.type))
        for field in schema
        if _is_number(field.type) and field.name not in (*_IDENTITY, *_HASHES)
    )
    labels = tuple(name for name in _LABELS if name in schema.names)
    with tempfile.TemporaryDirectory(prefix="sluice-report-") as spill, connect() as duck:
        duck.execute(f"SET memory_limit = '{MEMORY}'; SET temp_directory = '{spill}'")
        duck.execute(_VERDICT, [str(layout.verdicts(FILTERED))])
        duck.execute(_SPOKE, [str(layout.verdicts(FILTERED))])
        duck.execute(_PLACE, [str(layout.rows)])
        duck.execute(_measured(columns), [str(layout.rows)] if columns else [])
        entered = duck.execute("SELECT count(*) FROM verdict").fetchall()[0][0]
        yield Tables(duck, layout, columns, labels, entered)


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)


# A verdict's place in its file is the sample's ordinal: both are in the order of the source.
_VERDICT: Final = """
CREATE TEMP TABLE verdict AS
SELECT file_row_number AS ordinal, list_position(['kept', 'rejected', 'held', 'failed'], verdict) - 1 AS code,
       captions_left_out AS left_out
FROM read_parquet(?, file_row_number = true)
"""
_SPOKE: Final = """
CREATE TEMP TABLE spoke AS
WITH told AS (SELECT file_row_number AS ordinal, id, unit, verdict, unnest(reasons) AS reason
              FROM read_parquet(?, file_row_number = true) WHERE len(reasons) > 0)
SELECT ordinal, id, unit, verdict, reason.rule AS rule, reason.effect AS effect, reason.item AS item,
       reason.values AS "values"
FROM told
"""


# Whether a row is the first of its sample, image or text, and the codes of its verdict: 13 bytes a row.
_PLACE: Final = """
CREATE TEMP TABLE place AS
WITH marked AS (
    SELECT ordinal, image_item, text_item, ordinal IS DISTINCT FROM lag(ordinal) OVER () AS first_row,
           image_item IS NOT NULL AND (ordinal IS DISTINCT FROM lag(ordinal) OVER ()
                                       OR image_item IS DISTINCT FROM lag(image_item) OVER ()) AS first_image,
           text_item IS NOT NULL AND (ordinal IS DISTINCT FROM lag(ordinal) OVER ()
                                      OR text_item IS DISTINCT FROM lag(text_item) OVER ()) AS first_text
    FROM read_parquet(?))
SELECT ordinal, image_item, text_item, first_row, first_image, first_text, code::UTINYINT AS code,
       (CASE WHEN code = 0 AND list_contains(left_out, text_item) THEN 1 ELSE code END)::UTINYINT AS text_code
FROM marked JOIN verdict USING (ordinal)
"""


def _measured(columns: tuple[Column, ...]) -> str:
    """`place` with the numbers beside it: both in the order of rows.parquet, so no key is needed to join them."""
    numbers = ", ".join(quoted(column.name) for column in columns)
    source = f"(SELECT {numbers} FROM read_parquet(?)) POSITIONAL JOIN place" if columns else "place"
    return f"CREATE TEMP TABLE measured AS SELECT * FROM {source}"


def quoted(name: str) -> str:
    """A column's name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'
