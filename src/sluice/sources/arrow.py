"""Arrow IPC files and streams that hold the images themselves, such as `datasets` saves to disk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from sluice.errors import SourceError
from sluice.sources.base import RawSample, SourceFile
from sluice.sources.columns import Rows
from sluice.sources.config import ArrowConfig
from sluice.sources.parquet import BATCH_ROWS
from sluice.sources.paths import default_name, key_of, list_files
from sluice.table.column_reader import ipc_batches, open_binary
from sluice.table.refs import local_path

_SUFFIXES = (".arrow", ".feather", ".ipc")


@dataclass(frozen=True)
class ArrowSource:
    """Files in order of their names, a sample a row."""

    name: str
    config: ArrowConfig
    base: Path

    def files(self) -> list[SourceFile]:
        """The Arrow files."""
        return self._files()[1]

    def samples(self) -> Iterator[RawSample]:
        """A sample a row; `file/row` is its name in the source."""
        root, files = self._files()
        for file in files:
            yield from self._of(file.uri, key_of(file.uri, root).rpartition(".")[0])

    def _files(self) -> tuple[str, list[SourceFile]]:
        return list_files(self.config.path, self.base, _SUFFIXES, "Arrow IPC files (.arrow)")

    def _of(self, uri: str, shown: str) -> Iterator[RawSample]:
        row = 0
        try:
            with open_binary(local_path(uri) or uri, uri) as source:
                is_file = source.read(6) == b"ARROW1"
                rows: Rows | None = None
                for batch in ipc_batches(source, is_file):
                    if rows is None:
                        rows = Rows("arrow", uri, shown, batch.schema, self.config)
                    for start in range(0, len(batch), BATCH_ROWS):
                        part: Any = batch.slice(start, BATCH_ROWS)
                        columns = [part.column(text).to_pylist() for text in rows.texts]
                        texts = zip(*columns, strict=True) if columns else iter([()] * len(part))
                        for values, cell in zip(texts, rows.image.cells(part.column(rows.image.name)), strict=True):
                            yield rows.sample(row, values, cell)
                            row += 1
        except (pa.ArrowException, OSError) as error:
            what = "expected an Arrow IPC file or stream" if row == 0 else f"damaged after row {row:,}"
            raise SourceError(f"{uri}: {what}: {error}") from error


def open_arrow(config: ArrowConfig, base: Path) -> ArrowSource:
    """The Arrow source that `config` describes."""
    return ArrowSource(config.name or default_name(config.path, "arrow"), config, base)
