"""The formats that a pack can be written in, by name."""

from __future__ import annotations

from sluice.errors import RecipeError
from sluice.pack.base import FORMATS, Contents, Packer


def packer(format: str, contents: Contents | None = None) -> Packer:
    """The packer of `format`; `contents` describes the whole pack: schema and JSON types follow from it.

    >>> packer("webdataset").suffix
    '.tar'
    """
    if format == "webdataset":
        from sluice.pack.webdataset import WebDatasetPacker

        return WebDatasetPacker(contents or Contents())
    if format == "parquet":
        from sluice.pack.parquet import ParquetPacker

        return ParquetPacker(contents or Contents())
    raise RecipeError(f"unknown pack format {format!r} (there are: {', '.join(FORMATS)})")
