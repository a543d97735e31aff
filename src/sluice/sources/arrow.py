"""Arrow IPC files and streams that hold the images themselves, such as `datasets` saves to disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from sluice.errors import SourceError
from sluice.sources.base import RawSample
from sluice.sources.column_source import ColumnSource, Form
from sluice.sources.columns import Rows
from sluice.sources.config import ArrowConfig, ImageColumnConfig
from sluice.sources.parquet import BATCH_ROWS
from sluice.sources.paths import default_name
from sluice.table.column_reader import ipc_batches, open_binary
from sluice.table.refs import local_path
from sluice.table.remote import RemoteError


def samples_of(uri: str, shown: str, asked: ImageColumnConfig) -> Iterator[RawSample]:
    """A sample for each row of one file."""
    row = 0
    try:
        with open_binary(local_path(uri) or uri, uri) as source:
            is_file = source.read(6) == b"ARROW1"
            rows: Rows | None = None
            for batch in ipc_batches(source, is_file):
                if rows is None:
                    rows = Rows("arrow", uri, shown, batch.schema, asked)
                for start in range(0, len(batch), BATCH_ROWS):
                    part: Any = batch.slice(start, BATCH_ROWS)
                    columns = [part.column(text).to_pylist() for text in rows.texts]
                    texts = zip(*columns, strict=True) if columns else iter([()] * len(part))
                    for values, cell in zip(texts, rows.image.cells(part.column(rows.image.name)), strict=True):
                        yield rows.sample(row, values, cell)
                        row += 1
    except (pa.ArrowException, OSError) as error:
        what = "expected an Arrow IPC file or stream" if row == 0 else f"damaged after row {row:,}"
        what = "cannot be read" if isinstance(error, RemoteError) else what
        raise SourceError(f"{uri}: {what}: {error}") from error


_FORM: Final = Form((".arrow", ".feather", ".ipc"), "Arrow IPC files (.arrow)", samples_of)


def open_arrow(config: ArrowConfig, base: Path) -> ColumnSource:
    """The Arrow source that `config` describes."""
    return ColumnSource(config.name or default_name(config.path, "arrow"), config.path, config, base, _FORM)
