"""A table with a column that says where each image lies: CSV, TSV, JSONL or Parquet.

Rows in succession that name the same image are one sample with several captions (the layout of Flickr30k); a row that
names it again later is a sample of its own, `path#2`. There are two passes: the first keeps 8 bytes a row, by which
repeated paths and images without a row are found, so that memory does not grow with the texts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from sluice.errors import SourceError
from sluice.sources.base import NO_RIGHTS, Item, RawSample, SourceFile
from sluice.sources.config import TableConfig
from sluice.sources.fields import PATH_NAMES, Fields
from sluice.sources.folder import IMAGE_SUFFIXES
from sluice.sources.images import sizes_below
from sluice.sources.listing import walk
from sluice.sources.names import Keys, Names
from sluice.sources.paths import default_name, key_of, list_files, place
from sluice.sources.rows import TABLE_SUFFIXES, BadRow, rows
from sluice.table.refs import Ref, local_uri
from sluice.table.remote import is_http

_PLANS: Final = 1024  # JSONL rows may each have other fields; the plans of so many shapes are kept


def open_table(config: TableConfig, base: Path) -> TableSource:
    """The table source that `config` describes."""
    return TableSource(config.name or default_name(config.path, "table"), config, base)


@dataclass(frozen=True)
class TableSource:
    """The rows of one or more tables, then the images that no row names."""

    name: str
    config: TableConfig
    base: Path

    def files(self) -> list[SourceFile]:
        """The tables, then the images below the image folder."""
        root, tables = self._tables()
        return [*tables, *_images(self._image_root(root))]

    def samples(self) -> Iterator[RawSample]:
        """A sample for every image that the tables name, in their order; then the images they do not name."""
        root, tables = self._tables()
        images = self._image_root(root)
        named = self._survey(tables, images)
        yield from _merged(self._named(tables, root, images), named)
        for image in _images(images) if self.config.unlisted == "sample" else ():
            key = key_of(image.uri, images)
            if key not in named:
                yield RawSample(key, (Item("image", "image", None, Ref("file", image.uri, None, None, image.size)),))

    def _tables(self) -> tuple[str, list[SourceFile]]:
        return list_files(self.config.path, self.base, TABLE_SUFFIXES, "a table (.csv, .tsv, .jsonl or .parquet)")

    def _image_root(self, root: str) -> str:
        return root if self.config.images is None else place(self.config.images, self.base).root

    def _survey(self, tables: list[SourceFile], images: str) -> Names:
        """All names in the tables; checks that the columns asked for are there."""
        found = Names()
        shapes: dict[tuple[str, ...], str | None] = {}
        for table in tables:
            for _, names, values in rows(table.uri, self.config.delimiter):
                if isinstance(values, BadRow):
                    continue
                column = shapes.get(names, "")
                if column == "":
                    column = shapes[names] = self._path_column(names)
                path = None if column is None else values[names.index(column)]
                if path and isinstance(path, str):
                    found.add(_name(path, images))
        self._check(shapes, tables)
        found.seal()
        return found

    def _path_column(self, names: tuple[str, ...]) -> str | None:
        if self.config.path_column is not None:
            return self.config.path_column if self.config.path_column in names else None
        plain = {name.strip().lower(): name for name in reversed(names)}
        return next((plain[name] for name in PATH_NAMES if name in plain), None)

    def _check(self, shapes: dict[tuple[str, ...], str | None], tables: list[SourceFile]) -> None:
        columns = {name: None for names in shapes for name in names}
        there = f"its columns are {', '.join(columns)}" if columns else "it has no readable row"
        where = tables[0].uri if len(tables) == 1 else self.config.path
        if not any(shapes.values()):
            asked = self.config.path_column
            wanted = f"called {asked!r}" if asked else f"with the path of the image ({', '.join(PATH_NAMES[:6])}, ...)"
            raise SourceError(f"{where}: no column {wanted}; {there}. Name it with `path_column:`")
        for name in self.config.caption_columns or ():
            if name not in columns:
                raise SourceError(f"{where}: no column called {name!r} (`caption_columns`); {there}")

    def _named(self, tables: list[SourceFile], root: str, images: str) -> Iterator[RawSample]:
        """A sample a row, its key the name of its image; rows that name none have the table and row as key."""
        plans: dict[tuple[str, ...], tuple[int, Fields] | None] = {}
        local = "://" not in images
        sizes = sizes_below(images)
        start = images if images.endswith("/") else f"{images}/"
        for table in tables:
            shown = key_of(table.uri, root)
            for number, names, values in rows(table.uri, self.config.delimiter):
                if isinstance(values, BadRow):
                    yield RawSample(f"{shown}:{number}", (), failure=values.failure)
                    continue
                plan = plans.get(names)
                if plan is None:
                    if len(plans) >= _PLANS:
                        plans.clear()
                    plan = plans[names] = self._plan(names)
                path = None if plan is None else values[plan[0]]
                if plan is None or not path or not isinstance(path, str):
                    message = f"{table.uri}: row {number:,} names no image"
                    yield RawSample(f"{shown}:{number}", (), failure=("io", message))
                    continue
                fields = plan[1]
                name = _name(path, images)
                uri = name if name[0] == "/" or "://" in name else start + name
                size = sizes.of(uri)
                if local and not uri.isascii() and size != -1:
                    uri = local_uri(uri)
                image = Item("image", "image", None, Ref("file", uri, None, None, size if size != -1 else None))
                failure = None if size != -1 else ("io", f"{uri}: no such file, though {shown} row {number:,} names it")
                items = (image, *fields.captions(values))
                yield RawSample(name, items, fields.rights(values), fields.meta(values), failure)  # pyright: ignore[reportArgumentType]

    def _plan(self, names: tuple[str, ...]) -> tuple[int, Fields] | None:
        column = self._path_column(names)
        return None if column is None else (names.index(column), Fields(names, self.config.caption_columns, {column}))


def _merged(samples: Iterator[RawSample], names: Names) -> Iterator[RawSample]:
    """Samples in succession with one key become one; a key that comes back later is numbered."""
    keys = Keys(names)
    last: RawSample | None = None
    for sample in samples:
        if last is not None:
            if sample.key == last.key:
                last = _joined(last, sample)
                continue
            yield _keyed(last, keys)
            last = None
        if names.is_repeated(sample.key):
            last = sample
        else:
            yield sample
    if last is not None:
        yield _keyed(last, keys)


def _joined(first: RawSample, second: RawSample) -> RawSample:
    meta = dict(first.meta)
    if second.meta and second.meta != first.meta:
        others = meta.get("other_rows", [])
        meta["other_rows"] = [*(others if isinstance(others, list) else ()), second.meta]
    rights = second.rights if first.rights == NO_RIGHTS else first.rights
    return RawSample(first.key, first.items + second.items[1:], rights, meta, first.failure or second.failure)


def _keyed(sample: RawSample, keys: Keys) -> RawSample:
    key = keys.of(sample.key)
    return sample if key == sample.key else replace(sample, key=key)


def _name(path: str, images: str) -> str:
    """The path of an image as seen from the image folder, in one spelling; an URL that leads elsewhere is left."""
    if "://" in path:
        return key_of(path, images)
    if path[0] in "/." or "/." in path or "//" in path:
        path = os.path.normpath(path)
        return key_of(path, images)
    return path


def _images(root: str) -> Iterator[SourceFile]:
    if is_http(root):  # lists nothing: its images are those that rows name
        return iter(())
    return (file for file in walk(root) if file.uri.lower().endswith(IMAGE_SUFFIXES))
