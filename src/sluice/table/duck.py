"""DuckDB as we use it: in memory up to a limit, past it in a temporary folder; quiet, closed after use."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Final

import duckdb

QUERY_MEMORY: Final = "512MB"  # what a query over a run's tables may hold before it spills


def connect(*, threads: int | None = None, memory: str = QUERY_MEMORY) -> duckdb.DuckDBPyConnection:
    """A connection of its own; use it with `with`, so that it is closed."""
    connection = duckdb.connect(":memory:")
    connection.execute("SET enable_progress_bar = false; SET preserve_insertion_order = true")
    folder = Path(tempfile.gettempdir()) / f"sluice-duckdb-{os.getpid()}"  # which DuckDB makes when it needs it
    spill = str(folder).replace("'", "''")
    connection.execute(f"SET memory_limit = '{memory}'; SET temp_directory = '{spill}'")
    if threads:
        connection.execute(f"SET threads = {threads}")
    return connection
