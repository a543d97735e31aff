"""Files that hold the images themselves, in a column: what Parquet and Arrow have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sluice.sources.base import RawSample, SourceFile
from sluice.sources.config import ImageColumnConfig
from sluice.sources.paths import key_of, list_files


@dataclass(frozen=True)
class Form:
    """One such file format: how its files are called, and the samples of one of them.

    `samples` takes the uri, the name that its rows are called after, and which columns are asked for.
    """

    suffixes: tuple[str, ...]
    expected: str
    samples: Callable[[str, str, ImageColumnConfig], Iterator[RawSample]]


@dataclass(frozen=True)
class ColumnSource:
    """Files in order of their names, a sample a row."""

    name: str
    path: str
    asked: ImageColumnConfig
    base: Path
    form: Form

    def files(self) -> list[SourceFile]:
        """The files."""
        return self._files()[1]

    def samples(self) -> Iterator[RawSample]:
        """A sample a row; `file/row` is its name in the source."""
        root, files = self._files()
        for file in files:
            yield from self.form.samples(file.uri, self._shown(key_of(file.uri, root)), self.asked)

    def _files(self) -> tuple[str, list[SourceFile]]:
        return list_files(self.path, self.base, self.form.suffixes, self.form.expected)

    def _shown(self, key: str) -> str:
        suffix = next((suffix for suffix in self.form.suffixes if key.endswith(suffix)), "")
        return key.removesuffix(suffix)
