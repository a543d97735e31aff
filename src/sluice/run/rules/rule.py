"""Rules: named conditions over the columns, compiled before anything runs, evaluated in one query.

    rule = compile_rule(Rule("blurry", "sharpness < 100", "rejected"), schema, "recipe.yaml:14: filter.reject.blurry")
    spoke = evaluate([rule], "01_filtered/rows.parquet")["rule_0"]  # true | false | null, a row of it each

What cannot be worked out is NULL and never an error: a cast that fails, a division by zero, an overflow, a
column that was not measured or is not a number (NaN). What NULL means is the rule's own to say: `Rule.null`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sluice.errors import RecipeError, RunError
from sluice.run.rules.row_columns import Rows, as_json, schema_of, stream, take
from sluice.run.rules.sandbox import literal, sandbox
from sluice.run.rules.sql_check import check
from sluice.run.rules.sql_parse import RefusedError
from sluice.run.rules.sql_types import TABLE, check_types, sql_can_name, widened


@dataclass(frozen=True)
class Rule:
    """A named SQL condition; the name is the reason. `null` says what a row means that it cannot judge."""

    name: str
    when: str
    effect: Literal["rejected", "held"]
    null: Literal["held", "rejected", "pass"] = "held"


@dataclass(frozen=True)
class CompiledRule:
    """A rule that was checked against a schema: safe to evaluate on any rows that have its columns."""

    rule: Rule
    sql: str  # fully bracketed, column names as the schema has them
    columns: tuple[str, ...]  # that it reads, in order of appearance


@dataclass(frozen=True)
class Setting:
    """What `--set 'NAME: CONDITION'` says: a rule's new condition, or None to leave the rule out."""

    name: str
    when: str | None


def compile_rule(rule: Rule, schema: pa.Schema, where: str = "") -> CompiledRule:
    """Check `rule` against the columns of `schema`; column names match in any letter case.

    `where` begins the message of a `RecipeError`, such as `recipe.yaml:14: filter.reject.blurry`.

    >>> schema = pa.schema([("sharpness", pa.float32())])
    >>> compile_rule(Rule("blurry", "Sharpness < 100", "rejected"), schema).sql
    '("sharpness" < 100)'
    >>> compile_rule(Rule("blurry", "sharpnes < 100", "rejected"), schema, "recipe.yaml:14: filter.reject.blurry")
    Traceback (most recent call last):
    sluice.errors.RecipeError: recipe.yaml:14: filter.reject.blurry uses unknown column "sharpnes" (did you mean ...
    """
    try:
        checked = check(rule.when, schema.names)
        if not checked.columns:
            raise RefusedError("reads no column, so it would say the same of every sample")
        check_types(checked, pa.schema([schema.field(name) for name in checked.columns]))
    except RefusedError as error:
        raise RecipeError(f"{where or f'rule {rule.name!r}'} {error}") from error
    return CompiledRule(rule, checked.sql, tuple(checked.columns))


def evaluate(rules: Sequence[CompiledRule], rows: Rows, threads: int | None = None) -> pa.Table:
    """What every rule says of every row: columns `rule_0`, `rule_1`, ... of booleans, rows in order, NULL = cannot say.

    One query for all rules, over their columns only. The result does not depend on `threads` (default: one a core).
    The query reads a Parquet file itself, the one file that it can reach, unless a column's type or the file's name
    means something else to it: then we read it, and it streams through.
    """
    import duckdb

    if not rules:
        return pa.table({})
    names = list(dict.fromkeys(column for rule in rules for column in rule.columns))
    say = ", ".join(f"TRY({rule.sql}) AS rule_{place}" for place, rule in enumerate(rules))
    schema, known = schema_of(rows, names)
    path = _reachable(Path(rows).resolve(), schema, known) if isinstance(rows, str | Path) else None
    source = TABLE if path is None else f"read_parquet({literal(str(path))}, hive_partitioning = false)"
    with sandbox(threads, reads=path) as database:
        try:
            if path is None:
                database.register(TABLE, stream(rows, names))
            return database.sql(f"SELECT {say} FROM ({widened(schema, source)})").to_arrow_table()
        except duckdb.Error as error:
            raise RunError(f"the rules could not be evaluated: {error}") from error


def _reachable(path: Path, schema: pa.Schema, known: Sequence[str]) -> Path | None:
    """The file if a query that reads it sees what we would: its name is no pattern, no column is taken for another."""
    plain = str(path).isprintable() and not set("*?[]{}") & set(str(path))
    distinct = len({name.lower() for name in known}) == len(known)
    return path if plain and distinct and sql_can_name(schema) else None


def observed(rule: CompiledRule, rows: Rows, indices: npt.NDArray[np.int64] | None = None) -> list[str]:
    """The values `rule` saw in each row (at `indices`, if given), as a JSON object in the order the rule reads them.

    Real numbers are written with the fewest digits that name them, NaN as null; a text past
    200 characters is cut and ends in `...`.

    >>> schema = pa.schema([("sharpness", pa.float32())])
    >>> rule = compile_rule(Rule("blurry", "sharpness < 100", "rejected"), schema)
    >>> observed(rule, pa.table({"sharpness": [12.1, None]}, schema))
    ['{"sharpness": 12.1}', '{"sharpness": null}']
    """
    if indices is None:
        return as_json(stream(rows, rule.columns).read_all(), rule.columns)
    return as_json(take(rows, rule.columns, indices), rule.columns)


def parse_setting(text: str) -> Setting:
    """Read `NAME: CONDITION` (or `NAME: off`) as `--set` takes it; the condition is compiled by `compile_rule`.

    >>> parse_setting("blurry: sharpness < 150")
    Setting(name='blurry', when='sharpness < 150')
    >>> parse_setting("blurry: off")
    Setting(name='blurry', when=None)
    """
    name, colon, when = (part.strip() for part in text.partition(":"))
    if not colon or when.startswith(":"):  # `a::int > 1` is a condition without a name
        raise RecipeError(f"--set {text!r} names no rule: write 'NAME: CONDITION', such as 'blurry: sharpness < 150'")
    if not name:
        raise RecipeError(f"--set {text!r} has no name before the colon: write 'NAME: CONDITION'")
    if not when:
        raise RecipeError(
            f"--set {text!r} has no condition: write '{name}: CONDITION', or '{name}: off' to leave it out"
        )
    return Setting(name, None if when.lower() == "off" else when)
