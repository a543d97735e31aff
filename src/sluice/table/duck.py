"""DuckDB as we use it: in memory, quiet, closed after use."""

from __future__ import annotations

import duckdb


def connect(*, threads: int | None = None) -> duckdb.DuckDBPyConnection:
    """A connection of its own; use it with `with`, so that it is closed."""
    connection = duckdb.connect(":memory:")
    connection.execute("SET enable_progress_bar = false; SET preserve_insertion_order = true")
    if threads:
        connection.execute(f"SET threads = {threads}")
    return connection
