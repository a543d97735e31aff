"""A DuckDB that reaches no network, setting, extension or Python variable, and no file but one that it is given."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import duckdb

_SETTINGS: Final[dict[str, str]] = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "python_enable_replacements": "false",  # a name in SQL is never a variable of ours
    "temp_directory": "",
    "error_on_division_by_zero": "false",  # x / 0 could not be worked out: NULL
    "ieee_floating_point_ops": "false",
    # It would work out what a TRY(...) guards before the TRY, where an error of one row stops the query.
    "disabled_optimizers": "common_subexpressions",
    "lock_configuration": "true",
}
_CLOSED_LAST: Final = ("enable_external_access", "lock_configuration")


def sandbox(threads: int | None = None, memory: str = "2GB", *, reads: Path | None = None) -> duckdb.DuckDBPyConnection:
    """A fresh in-memory database with nothing in it and no way out; `threads` None means one a core.

    With `reads` it reaches that one file (an absolute path), and nothing else. DuckDB would let the file be written,
    too, but a rule has no words for it: what it may hold are expressions.

    >>> sandbox().sql("SELECT 1 / 0").fetchall()
    [(None,)]
    """
    import duckdb

    config: dict[str, str | bool | int | float | list[str]] = {**_SETTINGS, "memory_limit": memory}
    if threads is not None:
        config["threads"] = threads
    if reads is None:
        return duckdb.connect(":memory:", config=config)
    # DuckDB takes an exception to a closed door only before the door is closed, and not as it starts.
    closed = {name: config.pop(name) for name in _CLOSED_LAST}
    database = duckdb.connect(":memory:", config=config)
    database.execute(f"SET allowed_paths = [{literal(str(reads))}]")
    for name, value in closed.items():
        database.execute(f"SET {name} = {value}")
    return database


def literal(text: str) -> str:
    """A text as an SQL constant: in single quotes, those inside it doubled."""
    return "'" + text.replace("'", "''") + "'"


@cache
def compiler() -> duckdb.DuckDBPyConnection:
    """The sandbox of this process in which rules are read and checked; it never sees a row. Use its `cursor()`."""
    return sandbox(threads=1, memory="256MB")
