"""Whether the values in a checked condition fit together: asked of DuckDB, on an empty table of the same types."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from sluice.run.rules import language
from sluice.run.rules.sandbox import compiler
from sluice.run.rules.sql_check import Checked, quoted
from sluice.run.rules.sql_parse import RefusedError, first_line

if TYPE_CHECKING:
    import duckdb

TABLE: Final = "measured"  # the name under which the columns of a rule are registered
_NULL: Final = "NULL"
_KINDS: Final[dict[str, str]] = {
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE"), "a number"),
    **dict.fromkeys(("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT", "BIGNUM", "DECIMAL"), "a number"),
    "INTEGER_LITERAL": "a number",
    **dict.fromkeys(("VARCHAR", "STRING_LITERAL"), "a text"),
    "BOOLEAN": "true or false",
    "NULL": _NULL,
    **dict.fromkeys(("DATE", "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"), "a date"),
}
_SQL_TYPES: Final[dict[pa.DataType, str]] = {
    pa.bool_(): "BOOLEAN",
    pa.int8(): "TINYINT",
    pa.int16(): "SMALLINT",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.uint8(): "UTINYINT",
    pa.uint16(): "USMALLINT",
    pa.uint32(): "UINTEGER",
    pa.uint64(): "UBIGINT",
    pa.float32(): "FLOAT",
    pa.float64(): "DOUBLE",
    pa.string(): "VARCHAR",
    pa.date32(): "DATE",
    pa.timestamp("us"): "TIMESTAMP",
}
_REAL: Final[dict[str, str]] = {**dict.fromkeys(("FLOAT", "DOUBLE", "DECIMAL"), "a real number")}
_NO_FUNCTION: Final = re.compile(r"argument types '(.+?)\((.*)\)'")
_NO_CAST: Final = re.compile(r"Could not convert string (.+) to (\w+)")


def check_types(checked: Checked, schema: pa.Schema) -> None:
    """Refuse what is no condition over columns of these types, in plain words."""
    import duckdb

    with compiler().cursor() as database:
        try:
            if sql_can_name(schema):  # handing over a table takes DuckDB long: it looks for pandas first
                database.execute(f"CREATE TEMP TABLE {TABLE} ({_columns(schema)})")
            else:
                database.register(TABLE, schema.empty_table())
            database.execute(f"CREATE TEMP TABLE typed AS {widened(schema)}").fetchall()
        except (duckdb.Error, pa.ArrowException) as error:
            raise RefusedError(f"reads a column that SQL cannot: {first_line(error)}") from error
        try:
            _check_kinds(database, checked)
            # A constant part is worked out here, before anything runs: a bad pattern, a bad number.
            database.sql(f"SELECT {checked.sql} FROM typed").fetchall()
            for constant in checked.constants:
                if database.sql(f"SELECT {constant}").fetchall() == [(None,)]:
                    raise RefusedError(f"casts a constant that cannot be cast: {constant.removeprefix('TRY_')}")
        except duckdb.Error as error:
            raise RefusedError(_plain(first_line(error))) from error


def widened(schema: pa.Schema, source: str = TABLE) -> str:
    """The columns as rules see them: small whole numbers in 64 bits, so that `width * height` does not overflow.

    NaN says "could not be measured" as NULL does, but SQL would take it for the largest number: it becomes NULL.
    """
    return f"SELECT {', '.join(_seen(column) for column in schema)} FROM {source}"


def sql_can_name(schema: pa.Schema) -> bool:
    """Whether the type of each column has a name in SQL that says the same."""
    return all(column.type in _SQL_TYPES for column in schema)


def _columns(schema: pa.Schema) -> str:
    return ", ".join(f"{quoted(column.name)} {_SQL_TYPES[column.type]}" for column in schema)


def _seen(column: pa.Field) -> str:
    name = quoted(column.name)
    if _small(column.type):
        return f"{name}::BIGINT AS {name}"
    if column.type in (pa.float32(), pa.float64()):
        return f"CASE WHEN NOT isnan({name}) THEN {name} END AS {name}"
    return name


def _small(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) and kind.bit_width < 64


def _check_kinds(database: duckdb.DuckDBPyConnection, checked: Checked) -> None:
    """Every comparison compares like with like, every condition is true or false; innermost first."""
    for sides in filter(None, checked.comparisons):
        kinds = _kinds(database, sides)
        for side, kind in zip(sides[1:], kinds[1:], strict=True):
            if not _alike(kinds[0], kind) and not _is_date(database, sides[0], kinds[0], side, kind):
                raise RefusedError(f"compares {sides[0]} ({kinds[0]}) with {side} ({kind}): compare like with like")
    for condition, kind in zip(checked.conditions, _kinds(database, checked.conditions), strict=True):
        if not _alike(kind, "true or false"):
            subject = "is" if condition == checked.sql else f"takes {condition} for a condition, but it is"
            raise RefusedError(f'{subject} {kind}, not true or false: compare it, as in "sharpness < 100"')


def _alike(one: str, other: str) -> bool:
    return one == other or _NULL in (one, other)


def _is_date(database: duckdb.DuckDBPyConnection, one: str, one_kind: str, other: str, other_kind: str) -> bool:
    """Whether this is a date beside a constant text that can be read as one."""
    texts = [side for side, kind in ((one, one_kind), (other, other_kind)) if kind == "a text"]
    if "a date" not in (one_kind, other_kind) or len(texts) != 1 or not texts[0].startswith("'"):
        return False
    return database.sql(f"SELECT TRY_CAST({texts[0]} AS TIMESTAMP) IS NOT NULL").fetchall() == [(True,)]


def _kinds(database: duckdb.DuckDBPyConnection, expressions: Sequence[str]) -> list[str]:
    types = [str(kind) for kind in database.sql(f"SELECT {', '.join(expressions)} FROM typed").types]
    return [_kind(name) for name in types]


def _kind(name: str) -> str:
    """A type of DuckDB's in plain words; parameters, as in `DECIMAL(18,3)`, do not matter."""
    bare = name.strip().partition("(")[0].strip('"')
    return "a list" if name.endswith("]") else _KINDS.get(bare, bare)


def _plain(message: str) -> str:
    """DuckDB's complaint in the words of the recipe's author, where we know how."""
    if found := _NO_FUNCTION.search(message):
        name = found[1].strip('"')
        kinds = ", ".join(_REAL.get(kind.partition("(")[0], _kind(kind)) for kind in found[2].split(", "))
        how = f": write {language.CALLS[name]}" if name in language.CALLS else ""
        return f"cannot work out {name} of ({kinds}){how}"
    if found := _NO_CAST.search(message):
        kind = _KINDS.get(found[2], "a number" if "INT" in found[2] else found[2])
        return f"takes the text {found[1]} for {kind}"
    return f"cannot be worked out: {message}"
