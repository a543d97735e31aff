"""Parquet files that hold the images themselves. At ingest the bytes are not read where the statistics say they are
there: only the texts are."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from sluice.sources.base import RawSample
from sluice.sources.column_source import ColumnSource, Form
from sluice.sources.columns import Cell, ImageColumn, Rows
from sluice.sources.config import ImageColumnConfig, ParquetConfig
from sluice.sources.paths import default_name
from sluice.sources.rows import opened, parquet_file
from sluice.table.remote import RemoteError

BATCH_ROWS: Final = 1024
_IMAGE_ROWS: Final = 16  # a batch of whole images is kept small: they may be large


def samples_of(uri: str, shown: str, asked: ImageColumnConfig) -> Iterator[RawSample]:
    """A sample for each row of one file. A row group that cannot be read fails its rows, and no others."""
    with opened(uri) as handle:
        file = parquet_file(handle, uri)
        rows = Rows("parquet", uri, shown, file.schema_arrow, asked)
        row = 0
        for group in range(file.num_row_groups):
            end = row + file.metadata.row_group(group).num_rows
            try:
                for values, cell in zip(_texts(file, group, rows.texts), _cells(file, group, rows.image), strict=False):
                    yield rows.sample(row, values, cell)
                    row += 1
            except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
                message = f"{uri}: row group {group} {_is_damaged(error)}: {str(error).splitlines()[0]}"
                for lost in range(row, end):
                    yield RawSample(rows.key(lost), (), failure=("io", message))
                row = end


def _is_damaged(error: Exception) -> str:
    return "cannot be read" if isinstance(error, RemoteError) else "is damaged"


def _texts(file: pq.ParquetFile, group: int, names: list[str]) -> Iterator[tuple[Any, ...]]:
    if not names:
        yield from repeat((), file.metadata.row_group(group).num_rows)
        return
    for batch in file.iter_batches(batch_size=BATCH_ROWS, row_groups=[group], columns=names):
        yield from zip(*(batch.column(name).to_pylist() for name in names), strict=True)


def _cells(file: pq.ParquetFile, group: int, image: ImageColumn) -> Iterator[Cell]:
    """The images of each row: from the paths alone where no bytes are missing, else from the column itself."""
    facts = file.metadata.row_group(group)
    leaves = {facts.column(at).path_in_schema: facts.column(at) for at in range(facts.num_columns)}
    own = [path for path in leaves if path == image.name or path.startswith(f"{image.name}.")]
    bytes_leaf = next((path for path in own if not image.struct or path.endswith(".bytes")), None)
    path_leaf = next((path for path in own if image.struct and path.endswith(".path")), None)
    statistics = leaves[bytes_leaf].statistics if bytes_leaf else None
    whole = statistics is not None and statistics.has_null_count and statistics.null_count == 0
    if whole and not image.listed and path_leaf is None:
        yield from repeat([(True, None)], facts.num_rows)
    elif whole and path_leaf is not None:
        for batch in file.iter_batches(batch_size=BATCH_ROWS, row_groups=[group], columns=[path_leaf]):
            for found in batch.column(0).to_pylist():
                members = found if image.listed else [found]
                yield [(True, member["path"]) for member in members]
    else:
        for batch in file.iter_batches(batch_size=_IMAGE_ROWS, row_groups=[group], columns=own):
            yield from image.cells(batch.column(0))


_FORM: Final = Form((".parquet",), "Parquet files (.parquet)", samples_of)


def open_parquet(config: ParquetConfig, base: Path) -> ColumnSource:
    """The Parquet source that `config` describes."""
    return ColumnSource(config.name or default_name(config.path, "parquet"), config.path, config, base, _FORM)
