"""Opt-out lists over a run: held against stored columns, so that a new list looks at no image again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from sluice.corpus.opt_out import COLUMN_OF, OptOut, load_opt_out, opted_out
from sluice.errors import RecipeError
from sluice.run.corpus_steps import OPTED_OUT_SCHEMA
from sluice.run.recipe import RecipeFile
from sluice.table.commit import write_table
from sluice.table.ids import fingerprint
from sluice.table.layout import Layout

_BATCH: Final = 65_536  # rows at a time: URLs take 100 bytes each
_FINGERPRINT: Final = b"sluice.fingerprint"


def check_opt_outs(file: RecipeFile, schema: pa.Schema) -> None:
    """RecipeError where a list needs a column that no measure writes."""
    rights = file.recipe.filter.rights
    for place, config in enumerate(rights.opt_out if rights else ()):
        column = COLUMN_OF[config.kind]
        if column not in schema.names:
            where = file.where("filter", "rights", "opt_out", place, "kind")
            measure = {"sha256": "image.content_hash", "phash": "image.phash"}[column]
            raise RecipeError(f"{where}: no measure writes the column {column!r}; add `{measure}` to `measures`")


def load_opt_outs(file: RecipeFile) -> list[OptOut]:
    """The lists that the recipe names, read anew: they change more often than the data."""
    rights = file.recipe.filter.rights
    return [
        load_opt_out(config.name, file.base / config.path, config.kind, config.distance)
        for config in (rights.opt_out if rights else ())
    ]


def measure_opt_outs(layout: Layout, lists: Sequence[OptOut], rows_name: str) -> None:
    """Bring `corpus/opted_out.parquet` up to date with rows.parquet and the lists; none where there is no list."""
    path = layout.corpus("opted_out")
    if not lists:
        path.unlink(missing_ok=True)
        return
    name = fingerprint("opted_out/1", rows_name, *(one.fingerprint for one in lists)).encode()
    if path.is_file() and (pq.read_schema(path).metadata or {}).get(_FINGERPRINT) == name:
        return
    columns = list(dict.fromkeys(COLUMN_OF[one.kind] for one in lists))
    found: dict[tuple[int, str], tuple[str, str, int]] = {}
    with pq.ParquetFile(layout.rows) as rows:
        for batch in rows.iter_batches(_BATCH, columns=["ordinal", *columns]):
            ordinal: list[int] = batch.column("ordinal").to_pylist()
            values = {column: batch.column(column).to_pylist() for column in columns}
            for one in lists:
                seen = values[COLUMN_OF[one.kind]]
                for place, entry, bits in opted_out(one, seen):
                    found.setdefault((ordinal[place], one.name), (entry, _shown(seen[place]), bits))
    listed = [(number, name, *what) for (number, name), what in sorted(found.items())]
    table = pa.table(
        [list(column) for column in zip(*listed, strict=True)] or [[]] * len(OPTED_OUT_SCHEMA), schema=OPTED_OUT_SCHEMA
    )
    write_table(path, table.replace_schema_metadata({_FINGERPRINT: name}))


def _shown(value: str | int) -> str:
    return f"{value:016x}" if isinstance(value, int) else value
