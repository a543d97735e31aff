"""04_final, before the shards are cut: which of the samples that passed every rule are drawn, and with which weight.

What was drawn is written down. A takedown erases texts and vectors: a second draw would be another one, and would
change shards that the sample taken down never was in.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.parquet as pq

from sluice.errors import RecipeError
from sluice.run.balance_columns import SampleColumns, balance_path
from sluice.run.balance_draw import Balanced, Draw
from sluice.run.rules.order import compile_order
from sluice.table.commit import write_table
from sluice.table.ids import fingerprint
from sluice.table.layout import Layout
from sluice.table.read import read_table

if TYPE_CHECKING:
    from sluice.run.recipe import RecipeFile

_FACTS: Final = b"sluice.balance"


def check_balance(file: RecipeFile, schema: pa.Schema) -> None:
    """RecipeError where `balance` asks for what the run will not have; `schema` is of the rows of the last rules."""
    config = file.recipe.balance
    if config is None:
        return
    for name in ("clusters", "diversity"):
        if getattr(config, name) is not None and file.recipe.quality is None:
            raise RecipeError(
                f"{file.where('balance', name)}: needs vectors; give the recipe `quality` with an encoder"
            )
    asked: list[tuple[tuple[str | int, ...], str]] = [
        (("balance", "caps", place, "column"), cap.column) for place, cap in enumerate(config.caps)
    ]
    if config.mixture:
        asked.append((("balance", "mixture", "column"), config.mixture.column))
    for where, column in asked:
        if column not in schema.names or pa.types.is_nested(schema.field(column).type):
            raise RecipeError(f"{file.where(*where)}: there is no column {column!r} of single values to group by")
    if config.tiers:
        compile_order(config.tiers.order, schema, file.where("balance", "tiers", "order"))
    _entries(file)


def balance_name(file: RecipeFile, decided: str) -> str | None:
    """The fingerprint of what is drawn; None where the recipe has no `balance`."""
    config = file.recipe.balance
    if config is None:
        return None
    entries = sha256("\n".join(_entries(file)).encode()).hexdigest()
    return fingerprint("balance/2", decided, config.model_dump_json(), entries, str(file.recipe.seed))


def balance(file: RecipeFile, layout: Layout, ids: pa.Array, name: str) -> Balanced:
    """Draw among the samples `ids`, or read what was drawn under this `name`."""
    path = balance_path(layout)
    if path.is_file():
        said = json.loads((pq.read_schema(path).metadata or {}).get(_FACTS, b"{}"))
        if said.get("name") == name:
            return Balanced(read_table(path).replace_schema_metadata(None), said["facts"])
    balanced = redraw(file, SampleColumns(layout, ids))
    said = json.dumps({"name": name, "facts": balanced.facts}).encode()
    write_table(path, balanced.table.replace_schema_metadata({_FACTS: said}))
    return balanced


def redraw(file: RecipeFile, columns: SampleColumns) -> Balanced:
    """Draw among the samples of `columns`; nothing is written."""
    config = file.recipe.balance
    assert config is not None
    return Draw(file, columns, _entries(file)).all(config)


def _entries(file: RecipeFile) -> list[str]:
    """The lines of the file of concepts."""
    concepts = file.recipe.balance.concepts if file.recipe.balance else None
    if concepts is None:
        return []
    path, where = file.base / concepts.entries, file.where("balance", "concepts", "entries")
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{where}: {path} cannot be read as UTF-8 text: {error}") from error
    if not any(lines):
        raise RecipeError(f"{where}: {path} holds no entry; write a word or phrase a line")
    return [line for line in lines if line]
