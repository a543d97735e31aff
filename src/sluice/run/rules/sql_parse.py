"""From the text of a condition to DuckDB's tree of it: exactly one expression, of a size that can be handled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeAlias

from sluice.run.rules import language
from sluice.run.rules.sandbox import compiler

Node: TypeAlias = Mapping[str, Any]  # of DuckDB's tree, as JSON


class RefusedError(Exception):
    """Why an expression is no rule, as the end of a sentence that begins with where it stands."""


def parse(text: str) -> Node:
    """The one expression that `text` is, as DuckDB's tree; `RefusedError` where it is anything else."""
    _check_shape(text)
    answer = _tree(f"SELECT ({text}\n)")
    if answer["error"]:
        message = str(answer.get("error_message", "it is no expression"))
        if "Max expression depth" in message:
            raise RefusedError(f"is nested more than {language.MAX_DEPTH} deep: split it into several rules")
        at_end = text.strip() and message.endswith('")"') and not text.rstrip().endswith(")")
        raise RefusedError(f"cannot be read as SQL: {'it ends too early' if at_end else message}")
    # A whole query must be exactly `SELECT one expression`, as the empty one is: no FROM, WHERE, WITH, UNION ...
    statements = answer["statements"]
    if len(statements) != 1 or _without_expression(statements[0]) != _bare_select():
        raise RefusedError("must be one condition over the columns of one row, not a query")
    expressions = statements[0]["node"]["select_list"]
    if len(expressions) != 1:
        raise RefusedError("must be one condition, not several")
    return expressions[0]


def _check_shape(text: str) -> None:
    """Refuse what would cost the parser too much, and what hides part of the text from a reader."""
    if not text.strip():
        raise RefusedError('is empty: write a condition, such as "sharpness < 100"')
    if "\0" in text:
        raise RefusedError("holds a NUL character")
    if len(text) > language.MAX_CHARACTERS:
        raise RefusedError(f"is {len(text):,} characters long: at most {language.MAX_CHARACTERS:,} are allowed")
    depth = deepest = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, depth)
    if deepest > language.MAX_DEPTH:
        raise RefusedError(f"is nested more than {language.MAX_DEPTH} deep: split it into several rules")
    import duckdb

    if any(kind == duckdb.token_type.comment for _, kind in duckdb.tokenize(text)):
        raise RefusedError("holds an SQL comment: write comments in the recipe, after a #")


def _tree(query: str) -> dict[str, Any]:
    import duckdb

    try:
        rows = compiler().cursor().execute("SELECT json_serialize_sql(?::VARCHAR)", [query]).fetchall()
        return json.loads(rows[0][0])
    except (duckdb.Error, RecursionError, UnicodeError, ValueError) as error:
        raise RefusedError(f"cannot be read as SQL: {first_line(error)}") from error


def first_line(error: Exception) -> str:
    """What DuckDB says, without its class and the copy of our query."""
    return str(error).partition("\n")[0].partition("Error: ")[2] or str(error).partition("\n")[0]


@cache
def _bare_select() -> dict[str, Any]:
    return _without_expression(_tree("SELECT (NULL)")["statements"][0])


def _without_expression(statement: Node) -> dict[str, Any]:
    return {**statement, "node": {**statement["node"], "select_list": []}}
