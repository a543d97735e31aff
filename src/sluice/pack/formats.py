"""The formats that a pack can be written in, by name: who writes them, and the files that list their shards."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from sluice.errors import RecipeError
from sluice.pack.base import FORMATS, Contents, Packer
from sluice.pack.listed import IndexFile, Listed

Index: TypeAlias = Callable[[Path, Sequence[Listed]], Iterator[IndexFile]]


def packer(format: str, contents: Contents | None = None) -> Packer:
    """The packer of `format`; `contents` describes the whole pack: schema and JSON types follow from it.

    >>> packer("webdataset").format
    'webdataset'
    """
    contents = contents or Contents()
    if format in ("webdataset", "energon"):
        from sluice.pack.webdataset import WebDatasetPacker

        return WebDatasetPacker(contents, format)
    if format == "parquet":
        from sluice.pack.parquet import ParquetPacker

        return ParquetPacker(contents)
    if format == "arrow":
        from sluice.pack.arrow import ArrowPacker

        return ArrowPacker(contents)
    if format == "tfrecord":
        from sluice.pack.tfrecord import TFRecordPacker

        return TFRecordPacker(contents)
    if format == "mds":
        from sluice.pack.mds import mds_packer

        return mds_packer(contents)
    if format == "litdata":
        from sluice.pack.litdata import litdata_packer

        return litdata_packer(contents)
    if format in ("llava", "coco"):
        from sluice.pack.documents import DocumentsPacker

        return DocumentsPacker(format, contents)
    if format == "obelics":
        from sluice.pack.obelics import ObelicsPacker

        return ObelicsPacker(contents)
    raise RecipeError(f"unknown pack format {format!r} (there are: {', '.join(FORMATS)})")


def index_of(format: str) -> Index | None:
    """What makes the files that list the shards of `format`; None where it has none."""
    if format == "mds":
        from sluice.pack.mds import index
    elif format == "litdata":
        from sluice.pack.litdata import index
    elif format == "energon":
        from sluice.pack.energon import index
    elif format == "llava":
        from sluice.pack.llava import index
    elif format == "coco":
        from sluice.pack.coco import index
    else:
        return None
    return index
