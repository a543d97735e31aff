"""What is in the shards, as tables to ask: its samples, their texts, and what was measured of them."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from sluice.run.rows import stored_grains
from sluice.table.duck import connect
from sluice.table.layout import CAPTIONED, RAW, Layout

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class PackedTables:
    """Views `packed` (id, split, source), `items`, `texts` (of the packed samples, without captions left out), `rows`.

    `rows` are the wide table that was decided by last: all rows of a packed sample but those of captions left out.
    """

    duck: duckdb.DuckDBPyConnection
    columns: frozenset[str]  # of `rows`
    of_texts: frozenset[str]  # of those, what is measured of each text


@contextmanager
def packed_tables(layout: Layout) -> Generator[PackedTables]:
    """The tables of a finished run; closed with the block."""
    deciding = layout.deciding
    rows = layout.rows_of(deciding)
    columns = frozenset(pq.read_schema(rows).names)
    of_texts = frozenset(name for name, grain in stored_grains(rows).items() if grain == "text")
    items = [layout.root / RAW / "items" / "unit-*.parquet"]
    if layout.stage_file(CAPTIONED).is_file():
        items.append(layout.root / CAPTIONED / "items" / "unit-*.parquet")
    every = " UNION ALL BY NAME ".join(f"SELECT * FROM read_parquet({_quoted(path)})" for path in items)
    with connect() as duck:
        duck.execute(
            f"""
            CREATE TEMP TABLE packed AS SELECT id, min(split) AS split, min(source) AS source
                FROM read_parquet({_quoted(layout.manifest)}) GROUP BY id;
            CREATE TEMP TABLE skipped AS SELECT id, unnest(captions_left_out) AS item
                FROM read_parquet({_quoted(layout.verdicts(deciding))}) SEMI JOIN packed USING (id);
            CREATE VIEW items AS SELECT i.* FROM ({every}) i SEMI JOIN packed USING (id)
                ANTI JOIN skipped s ON i.id = s.id AND i.item = s.item;
            CREATE VIEW texts AS SELECT * FROM items WHERE kind = 'text';
            CREATE VIEW rows AS SELECT r.* FROM read_parquet({_quoted(rows)}) r SEMI JOIN packed USING (id)
                ANTI JOIN skipped s ON r.id = s.id AND r.text_item = s.item;
            CREATE VIEW every_row AS SELECT r.* FROM read_parquet({_quoted(rows)}) r SEMI JOIN packed USING (id);
            """
        )
        yield PackedTables(duck, columns, of_texts)


def _quoted(path: object) -> str:
    return "'" + str(path).replace("'", "''") + "'"
