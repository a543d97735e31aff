"""A DuckDB that reaches nothing: no file, network, setting, extension or Python variable."""

from __future__ import annotations

from functools import cache
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


def sandbox(threads: int | None = None, memory: str = "2GB") -> duckdb.DuckDBPyConnection:
    """A fresh in-memory database with nothing in it and no way out; `threads` None means one a core.

    >>> sandbox().sql("SELECT 1 / 0").fetchall()
    [(None,)]
    """
    import duckdb

    config: dict[str, str | bool | int | float | list[str]] = {**_SETTINGS, "memory_limit": memory}
    if threads is not None:
        config["threads"] = threads
    return duckdb.connect(":memory:", config=config)


@cache
def compiler() -> duckdb.DuckDBPyConnection:
    """The sandbox of this process in which rules are read and checked; it never sees a row. Use its `cursor()`."""
    return sandbox(threads=1, memory="256MB")
