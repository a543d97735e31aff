"""What is in the shards, as tables to ask: its samples, their texts, and what was measured of them."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import yaml

from sluice.run.rows import stored_grains
from sluice.table.duck import connect
from sluice.table.layout import CAPTIONED, RAW, Layout

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class PackedTables:
    """Views `packed` (id, split, source), `items`, `texts` (of the packed samples, without captions left out), `rows`.

    `rows` are the wide table that was decided by last: all rows of a packed sample but those of captions left out.
    `text_rows` are `rows` and what was measured of generated texts that no stage has rows of: pairs, and captions of a
    run without `quality`.
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
    measured = _of_generated(layout) if len(items) > 1 else None
    every = " UNION ALL BY NAME ".join(f"SELECT * FROM read_parquet({_quoted(path)})" for path in items)
    more = f"UNION ALL BY NAME SELECT m.* FROM ({measured}) m ANTI JOIN rows USING (id, text_item)" if measured else ""
    with connect() as duck:
        duck.execute(
            f"""
            CREATE TEMP TABLE packed AS SELECT id, min(split) AS split, min(source) AS source
                FROM read_parquet({_quoted(layout.manifest)}) GROUP BY id;
            CREATE TEMP TABLE skipped AS SELECT id, unnest(captions_left_out) AS item
                FROM read_parquet({_quoted(layout.verdicts(deciding))}) SEMI JOIN packed USING (id);
            CREATE VIEW items AS SELECT i.* FROM ({every}) i SEMI JOIN packed USING (id)
                ANTI JOIN skipped s ON i.id = s.id AND i.item = s.item
                WHERE i.kind = 'image' OR i.meta IS NULL OR json_extract(i.meta, '$.left_out') IS NULL;
            CREATE VIEW texts AS SELECT * FROM items WHERE kind = 'text';
            CREATE VIEW rows AS SELECT r.* FROM read_parquet({_quoted(rows)}) r SEMI JOIN packed USING (id)
                ANTI JOIN skipped s ON r.id = s.id AND r.text_item = s.item;
            CREATE VIEW every_row AS SELECT r.* FROM read_parquet({_quoted(rows)}) r SEMI JOIN packed USING (id);
            CREATE VIEW text_rows AS SELECT * FROM rows {more};
            """
        )
        yield PackedTables(duck, columns, of_texts)


def _of_generated(layout: Layout) -> str | None:
    """The query for what the recipe's measures say of generated texts; None where none of them measures texts."""
    lock: dict[str, Any] = yaml.safe_load(layout.recipe_lock.read_bytes())
    tables = [path for name in lock.get("measures") or {} if (path := layout.measures(CAPTIONED) / name).is_dir()]
    if not tables:
        return None
    read = [f"(SELECT * EXCLUDE (error) FROM read_parquet({_quoted(path / 'unit-*.parquet')}))" for path in tables]
    together = " JOIN ".join([read[0], *(f"{other} USING (id, item)" for other in read[1:])])
    return f"SELECT * RENAME (item AS text_item) FROM {together}"


def _quoted(path: object) -> str:
    return "'" + str(path).replace("'", "''") + "'"
