"""img2dataset output: what it fetched as samples, what it could not fetch as failed ones; nothing it wrote is lost.

Its table beside each tar shard (or its Parquet shard itself) says of every URL what became of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sluice.errors import FailureClass, SourceError
from sluice.sources.base import Item, RawSample, SourceFile
from sluice.sources.config import Img2DatasetConfig, ParquetConfig
from sluice.sources.fields import Plans, text_of
from sluice.sources.parquet import samples_of
from sluice.sources.paths import default_name, list_files
from sluice.sources.rows import BadRow, rows
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
        """The tar shards and the tables."""
        return self._files()[1]

    def samples(self) -> Iterator[RawSample]:
        """A sample a URL that was asked for; `shard/key` is its name in the source."""
        root, files = self._files()
        tars = {file.uri.removesuffix(".tar"): file.uri for file in files if file.uri.endswith(".tar")}
        tables = {file.uri.removesuffix(".parquet"): file.uri for file in files if file.uri.endswith(".parquet")}
        for stem in sorted({*tars, *tables}):
            shard = shard_key(stem, root)
            if not tars:
                yield from _of_parquet(tables[stem], shard)
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
        images = _images(group, shard or "")
        if failure is None and not images:
            failure = ("io", f"{table}: {key} was fetched, but {shard or 'its shard'} does not hold its image")
        meta = {**fields.meta(values), "status": text_of(row["status"])}
        yield RawSample(f"{shown}/{key}", (*images, *fields.captions(values)), fields.rights(values), meta, failure)
    for group in held.values():
        failure = group.failure or ("io", f"{shard}: {group.key} has no row in {table}")
        yield RawSample(f"{shown}/{group.key}", _images(group, shard or ""), failure=failure)


def _images(group: Group | None, shard: str) -> tuple[Item, ...]:
    return tuple(
        Item("image", "image", None, Ref("tar", shard, member.name, member.offset, member.size))
        for suffix, member in (group.members.items() if group else ())
        if is_image(suffix)
    )


def _of_parquet(uri: str, shown: str) -> Iterator[RawSample]:
    """A shard that holds the images in a column; where nothing was fetched it is null."""
    for sample in samples_of(uri, shown, ParquetConfig(type="parquet", path=uri)):
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
