"""A list of URLs: each row a sample, its image fetched into a store by a run before units are made of it.

This reads the list and what the stores say of it; the fetching itself is a run's. Rows are counted over all files of
the list, in their order, and that number joins a row with what became of its URL.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pyarrow.parquet as pq

from sluice.errors import FailureClass, SourceError
from sluice.sources.base import JSON, Item, RawSample, Rights, SourceFile
from sluice.sources.config import UrlsConfig
from sluice.sources.fields import Fields
from sluice.sources.listing import stat_file
from sluice.sources.paths import default_name, key_of, list_files
from sluice.sources.rows import TABLE_SUFFIXES, BadRow, opened, rows
from sluice.table.refs import Ref

ROWS_FILE: Final = "rows.parquet"  # what became of every URL, in the order of the list
DONE_FILE: Final = "fetched.json"  # which list it was, when every row has its outcome
URL_NAMES: Final = ("url", "image_url", "img_url", "image_uri", "link", "src")
_PLANS: Final = 1024
_FACTS: Final = ("status", "http", "content_type", "last_modified", "final_url", "tries", "format", "sha256")
_SAID: Final = {"robots": "x-robots-tag", "tdm": "tdm-reservation"}
_UNKNOWN: Final = ("?", "unknown")  # as LAION writes a licence that it does not know
_URL: Final = re.compile(r"https?://", re.IGNORECASE)


@dataclass(frozen=True)
class Layout:
    """A published list: its columns as they are called, or in their order where it has no header."""

    url: tuple[str, ...]
    captions: tuple[str, ...]
    names: tuple[str, ...] | None = None


LAYOUTS: Final[dict[str, Layout]] = {
    "laion": Layout(("URL", "url"), ("TEXT", "caption", "text")),
    "coyo": Layout(("url",), ("text",)),
    "datacomp": Layout(("url",), ("text",)),
    "cc12m": Layout(("url",), ("caption",), ("url", "caption")),
    "cc3m": Layout(("url",), ("caption",), ("caption", "url")),
}


@dataclass(frozen=True, slots=True)
class ListedRow:
    """A row of the list; `url` is None where it names none."""

    number: int  # of the list, from 0
    key: str
    url: str | None
    names: tuple[str, ...]
    values: tuple[Any, ...]
    failure: tuple[FailureClass, str] | None = None


@dataclass(frozen=True)
class UrlsSource:
    """The rows of one or more lists; `stores` is the folder that their images were fetched into."""

    name: str
    config: UrlsConfig
    base: Path
    stores: Path | None = None

    def files(self) -> list[SourceFile]:
        """The lists, then the stores and what they say."""
        return [*self.lists(), *self._stored()]

    def lists(self) -> list[SourceFile]:
        """The files of the list."""
        return self._lists()[1]

    def samples(self) -> Iterator[RawSample]:
        """A sample a row; `file/row` is its name in the source."""
        fetched = _Fetched(self.stores / self.name_on_disk / ROWS_FILE if self.stores else None)
        plans: dict[tuple[str, ...], Fields] = {}
        for row in self.rows():
            said = fetched.of(row)
            if row.failure is not None and row.url is None:
                yield RawSample(row.key, (), failure=row.failure)
                continue
            fields = plans.get(row.names)
            if fields is None:
                if len(plans) >= _PLANS:
                    plans.clear()
                fields = plans[row.names] = self._fields(row.names)
            yield self._sample(row, fields, said)

    def rows(self) -> Iterator[ListedRow]:
        """Every row of the list, in order."""
        root, files = self._lists()
        number = 0
        found: dict[tuple[str, ...], int | None] = {}
        for file in files:
            shown = _without_suffix(key_of(file.uri, root))
            names = self._headerless(file.uri)
            for line, columns, values in rows(file.uri, self.config.delimiter, names):
                key = f"{shown}/{line - 1:08d}"
                if isinstance(values, BadRow):
                    yield ListedRow(number, key, None, (), (), values.failure)
                else:
                    at = found.get(columns, -1)
                    if at == -1:
                        if len(found) >= _PLANS:
                            found.clear()
                        at = found[columns] = self._url_at(columns, file.uri)
                    url = None if at is None else values[at]
                    if isinstance(url, str) and url.strip():
                        yield ListedRow(number, key, url.strip(), columns, values)
                    else:
                        yield ListedRow(number, key, None, (), (), ("io", f"{file.uri}: row {line:,} names no URL"))
                number += 1

    def _lists(self) -> tuple[str, list[SourceFile]]:
        return list_files(self.config.path, self.base, TABLE_SUFFIXES, "a list (.parquet, .csv, .tsv or .jsonl)")

    def _stored(self) -> Iterator[SourceFile]:
        folder = self.stores / self.name_on_disk if self.stores else None
        for path in sorted(folder.glob("store-*.tar")) if folder else ():
            if (file := stat_file(str(path))) is not None:
                yield file
        if folder and (folder / DONE_FILE).is_file():  # tells what was merged: a takedown changes nothing of it
            done = json.loads((folder / DONE_FILE).read_text())
            yield SourceFile(str(folder / ROWS_FILE), done["rows"], done["digest"])

    @property
    def name_on_disk(self) -> str:
        """The folder of this source's stores."""
        return quote(self.name, safe=" ").replace(".", "%2E")

    def _headerless(self, uri: str) -> tuple[str, ...] | None:
        """The columns of a text table without a header, where this is one."""
        layout = LAYOUTS.get(self.config.layout or "")
        if layout is not None:
            return layout.names if layout.names and not uri.lower().endswith(".parquet") else None
        return headerless(uri, self.config.delimiter)

    def _url_at(self, names: tuple[str, ...], uri: str) -> int | None:
        """The place of the column that holds the URL."""
        at = url_column(names, self.config)
        if at is None and uri.lower().endswith((".jsonl", ".ndjson")):
            return None  # each of its rows has columns of its own
        if at is None:
            asked = self.config.url_column
            wanted = f"called {asked!r}" if asked else f"with a URL ({', '.join(URL_NAMES)})"
            if self.config.layout:
                wanted = f"called {' or '.join(LAYOUTS[self.config.layout].url)}, as `layout: {self.config.layout}` has"
            raise SourceError(f"{uri}: no column {wanted}; its columns are {', '.join(names)}. Name it: `url_column:`")
        for name in self.config.caption_columns or ():
            if name not in names and not uri.lower().endswith((".jsonl", ".ndjson")):
                raise SourceError(
                    f"{uri}: no column called {name!r} (`caption_columns`); its columns are {', '.join(names)}"
                )
        return at

    def _fields(self, names: tuple[str, ...]) -> Fields:
        captions = self.config.caption_columns
        layout = LAYOUTS.get(self.config.layout or "")
        if captions is None and layout is not None:
            captions = [name for name in layout.captions if name in names][:1]
        at = url_column(names, self.config)
        return Fields(names, captions, () if at is None else {names[at]})

    def _sample(self, row: ListedRow, fields: Fields, said: dict[str, Any] | None) -> RawSample:
        captions = fields.captions(row.values)
        meta = fields.meta(row.values)
        own = fields.rights(row.values)
        if own.source_url is not None:
            meta["page_url"] = own.source_url
        licence = own.licence if own.licence not in _UNKNOWN else None
        if said is None:
            rights = Rights(licence, own.author, row.url, own.fetched, own.dataset)
            return RawSample(row.key, tuple(captions), rights, meta, ("io", f"{row.url}: has not been fetched"))
        rights = Rights(licence or said["licence"], own.author, row.url, said["fetched"], own.dataset)
        fetched: dict[str, JSON] = {name: said[name] for name in _FACTS if said[name] is not None}
        fetched |= {header: said[name] for name, header in _SAID.items() if said[name] is not None}
        meta["fetched"] = fetched
        if said["failure_class"] is not None:
            failure = (said["failure_class"], f"{row.url}: {said['failure']}")
            return RawSample(row.key, tuple(captions), rights, meta, failure)
        uri = f"{self.stores}/{said['tar']}" if self.stores else said["tar"]  # no Path: each would keep its parts
        image = Item("image", "image", None, Ref("tar", uri, said["member"], said["offset"], said["size"]))
        return RawSample(row.key, (image, *captions), rights, meta)


class _Fetched:
    """What became of the rows of a list, read beside it."""

    def __init__(self, path: Path | None) -> None:
        self._rows = _dicts(path) if path is not None and path.is_file() else iter(())
        self._next = next(self._rows, None)

    def of(self, row: ListedRow) -> dict[str, Any] | None:
        """What became of one, asked for in order; None where it was not fetched."""
        said = self._next
        if said is None or said["row"] != row.number:
            return None
        if said["url"] not in (row.url, None):  # null: it was taken down
            raise SourceError(f"{row.key}: the list has changed while it was read; run again")
        self._next = next(self._rows, None)
        return said


def _dicts(path: Path) -> Iterator[dict[str, Any]]:
    for batch in pq.ParquetFile(path, pre_buffer=False).iter_batches(512):
        yield from batch.to_pylist()


def url_column(names: tuple[str, ...], config: UrlsConfig) -> int | None:
    """The place of the column that holds the URL, among columns called `names`."""
    if config.url_column is not None:
        return names.index(config.url_column) if config.url_column in names else None
    if config.layout is not None:
        return next((names.index(name) for name in LAYOUTS[config.layout].url if name in names), None)
    plain = {name.strip().lower(): at for at, name in reversed(list(enumerate(names)))}
    return next((plain[name] for name in URL_NAMES if name in plain), None)


def headerless(uri: str, delimiter: str | None = None) -> tuple[str, ...] | None:
    """The columns of a text table whose first line holds a URL already: CC12M's, or CC3M's."""
    suffix = uri.lower().rpartition(".")[2]
    if suffix not in ("csv", "tsv"):
        return None
    with opened(uri) as file:
        line = file.readline(2**16).decode("utf-8", "replace").lstrip("\ufeff")
    parts = line.rstrip("\r\n").split(delimiter or ("\t" if suffix == "tsv" else ","), 1)
    if _URL.match(parts[0]):
        return LAYOUTS["cc12m"].names if len(parts) == 2 else ("url",)
    return LAYOUTS["cc3m"].names if len(parts) == 2 and _URL.match(parts[1]) else None


def _without_suffix(key: str) -> str:
    return next((key[: -len(suffix)] for suffix in TABLE_SUFFIXES if key.lower().endswith(suffix)), key)


def open_urls(config: UrlsConfig, base: Path, stores: Path | None = None) -> UrlsSource:
    """The source of URLs that `config` describes."""
    return UrlsSource(config.name or default_name(config.path, "urls"), config, base, stores)
