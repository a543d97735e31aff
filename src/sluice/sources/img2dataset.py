"""img2dataset output: what it fetched as samples, what it could not fetch as failed ones; nothing it wrote is lost.

Its table beside each tar shard or folder of files (or its Parquet shard itself) says of every URL what became of it.
Rows and members are in the order in which downloads ended, so they are joined by key.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from sluice.errors import FailureClass, SourceError
from sluice.sources.base import Item, RawSample, SourceFile
from sluice.sources.config import Img2DatasetConfig, ParquetConfig
from sluice.sources.fields import Plans, text_of
from sluice.sources.folder import image_item
from sluice.sources.listing import walk
from sluice.sources.parquet import samples_of
from sluice.sources.paths import default_name, list_files
from sluice.sources.rows import BadRow, opened, parquet_file, rows
from sluice.sources.tar import open_tar
from sluice.sources.webdataset import Group, groups, is_image, shard_key
from sluice.table.refs import Ref

_FETCHED = "success"


@dataclass(frozen=True)
class Img2DatasetSource:
    """Shards in order of their names, samples in order of the shard's table."""

    name: str
    config: Img2DatasetConfig
    base: Path

    def files(self) -> list[SourceFile]:
        """The tar shards and the tables; where the images are files of their own, those too."""
        files = self._files()[1]
        if any(file.uri.endswith(".tar") for file in files):
            return files
        tables = [file.uri for file in files if not _image_column(file.uri)]
        return [*files, *(file for table in tables for _, file in _loose_images(table))]

    def samples(self) -> Iterator[RawSample]:
        """A sample a URL that was asked for; `shard/key` is its name in the source."""
        root, files = self._files()
        tars = {file.uri.removesuffix(".tar"): file.uri for file in files if file.uri.endswith(".tar")}
        tables = {file.uri.removesuffix(".parquet"): file.uri for file in files if file.uri.endswith(".parquet")}
        for stem in sorted({*tars, *tables}):
            shard = shard_key(stem, root)
            if not tars:
                column = _image_column(tables[stem])
                yield from _of_parquet(tables[stem], shard, column) if column else _of_files(tables[stem], shard)
            elif stem not in tables:
                raise SourceError(
                    f"{tars[stem]}: expected img2dataset's table {stem}.parquet beside it; "
                    "shards without one are `type: webdataset`"
                )
            else:
                yield from _of_tar(tars.get(stem), tables[stem], shard)

    def _files(self) -> tuple[str, list[SourceFile]]:
        expected = "img2dataset output (.tar and .parquet)"
        return list_files(self.config.path, self.base, (".tar", ".parquet"), expected)


def _of_tar(shard: str | None, table: str, shown: str) -> Iterator[RawSample]:
    held: dict[str, Group] = {}
    if shard is not None:
        with open_tar(shard) as tar:
            for group in groups(tar):
                if group.key in held:
                    held[group.key].failure = ("io", f"{shard}: the key {group.key} comes back")
                else:
                    held[group.key] = group
    images = {key: _images(group, shard or "") for key, group in held.items()}
    yield from _of_rows(table, shown, held, images, shard or "its shard")


def _of_files(table: str, shown: str) -> Iterator[RawSample]:
    """A shard whose images are files of their own, in a folder called after it."""
    images = {key: (image_item(file.uri, file.size),) for key, file in _loose_images(table)}
    yield from _of_rows(table, shown, {}, images, "its folder")


def _of_rows(
    table: str, shown: str, held: dict[str, Group], images: dict[str, tuple[Item, ...]], place: str
) -> Iterator[RawSample]:
    """A sample a row of the table, then one for each key that has images and no row."""
    plans = Plans(None, ("key", "status", "error_message"))
    for number, names, values in rows(table):
        if isinstance(values, BadRow):
            yield RawSample(f"{shown}/{number}", (), failure=values.failure)
            continue
        row = dict(zip(names, values, strict=True))
        _check_columns(row, table)
        fields = plans.of(names)
        key = str(row["key"])
        group = held.pop(key, None)
        failure = _failure(row) or (group.failure if group else None)
        found = images.pop(key, ())
        if failure is None and not found:
            failure = ("io", f"{table}: {key} was fetched, but {place} does not hold its image")
        meta = {**fields.meta(values), "status": text_of(row["status"])}
        yield RawSample(f"{shown}/{key}", (*found, *fields.captions(values)), fields.rights(values), meta, failure)
    for key, found in images.items():
        group = held.get(key)
        failure = (group.failure if group else None) or ("io", f"{place}: {key} has no row in {table}")
        yield RawSample(f"{shown}/{key}", found, failure=failure)


def _images(group: Group | None, shard: str) -> tuple[Item, ...]:
    return tuple(
        Item("image", "image", None, Ref("tar", shard, member.name, member.offset, member.size))
        for suffix, member in (group.members.items() if group else ())
        if is_image(suffix)
    )


def _loose_images(table: str) -> Iterator[tuple[str, SourceFile]]:
    """The images in the folder of a table, by key, in the order of their names."""
    for file in walk(table.removesuffix(".parquet")):
        stem, _, suffix = file.uri.rpartition("/")[2].rpartition(".")
        if is_image(suffix):
            yield stem, file


def _image_column(table: str) -> str | None:
    """The column of a table that holds the images (`jpg`, `png` or `webp`, after the encoding), if one does."""
    with opened(table) as file:
        schema = parquet_file(file, table).schema_arrow
    binary = [name for name in schema.names if pa.types.is_binary(schema.field(name).type)]
    return next((name for name in reversed(binary) if is_image(name)), None)


def _of_parquet(uri: str, shown: str, column: str) -> Iterator[RawSample]:
    """A shard that holds the images in a column; where nothing was fetched it is null."""
    for sample in samples_of(uri, shown, ParquetConfig(type="parquet", path=uri, image_column=column)):
        if not sample.meta:  # a damaged row group says nothing of its rows
            yield sample
            continue
        _check_columns(sample.meta, uri)
        meta: dict[str, Any] = {
            name: value for name, value in sample.meta.items() if name not in ("key", "error_message")
        }
        row = {"url": sample.rights.source_url, **sample.meta}
        failure = _failure(row) or sample.failure
        yield replace(sample, key=f"{shown}/{sample.meta['key']}", meta=meta, failure=failure)


def _check_columns(row: Any, uri: str) -> None:
    for name in ("key", "status"):
        if name not in row:
            raise SourceError(
                f"{uri}: no column {name!r}, so img2dataset did not write it (its columns: {', '.join(row)}). "
                "A table of image paths is `type: table`, images in a column are `type: parquet`"
            )


def _failure(row: Any) -> tuple[FailureClass, str] | None:
    if row["status"] == _FETCHED:
        return None
    message = text_of(row.get("error_message")) or "without a message"
    return ("io", f"{text_of(row.get('url')) or 'no url'}: img2dataset says {row['status']}: {message}")


def open_img2dataset(config: Img2DatasetConfig, base: Path) -> Img2DatasetSource:
    """The img2dataset source that `config` describes."""
    return Img2DatasetSource(config.name or default_name(config.path, "img2dataset"), config, base)
