"""Fetching as a part of ingest: what a list of URLs names is brought into stores before units are made of it.

What is committed is never fetched again: a killed fetch goes on with what is missing, a changed list finds the bytes of
URLs that it had before. When every row has its outcome, the stores' tables become one, in the order of the list.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.corpus.opt_out import OptOut, opted_out
from sluice.errors import RecipeError, RunError
from sluice.models.extras import optional
from sluice.run.erasing import taken_down_urls
from sluice.run.opt_outs import load_opt_outs
from sluice.run.recipe import RecipeFile
from sluice.sources.config import UrlsConfig
from sluice.sources.urls import DONE_FILE, ROWS_FILE, UrlsSource, open_urls
from sluice.table.commit import explain, piece_writer, write_json, write_table
from sluice.table.compute import pc
from sluice.table.ids import fingerprint, fingerprint_of
from sluice.table.layout import Layout
from sluice.table.memory import give_back
from sluice.table.merging import merged
from sluice.table.read import read_table

Tell = Callable[..., None]

_BATCH: Final = 512  # rows of a list read at a time
_GROUP: Final = 2_048  # rows that are read at a time when units are made: small, whatever the list


def silent(*_: object, **__: object) -> None:
    """Tells nobody."""


def fetch_sources(file: RecipeFile, layout: Layout, tell: Tell = silent) -> None:
    """Fetch what is missing of every source of URLs."""
    seen: set[str] = set()
    for place, config in enumerate(file.recipe.sources):
        if not isinstance(config, UrlsConfig):
            continue
        source = open_urls(config, file.base, layout.fetched)
        if source.name in seen:
            where = file.where("sources", place)
            raise RecipeError(f"{where}: two sources of URLs are called {source.name!r}; give each a `name:`")
        seen.add(source.name)
        _fetch(source, load_opt_outs(file), layout, tell)


def forget_fetched(layout: Layout, failure_class: str) -> int:
    """Forget the failures of a class, so that the next run fetches those URLs, and no others; how many there were."""
    count = 0
    for path in sorted(layout.fetched.glob("*/store-*.parquet")):
        classes: Any = read_table(path, ["failure_class"]).column("failure_class")
        hit: Any = pc.fill_null(pc.equal(classes, failure_class), False)
        found: int = pc.sum(hit).as_py() or 0
        if found:
            (path.parent / DONE_FILE).unlink(missing_ok=True)
            table = pq.read_table(path)
            write_table(path, table.filter(pc.invert(hit)))
            count += found
    return count


def _fetch(source: UrlsSource, lists: Sequence[OptOut], layout: Layout, tell: Tell) -> None:
    folder = layout.fetched / source.name_on_disk
    name = _list_fingerprint(source)
    done = folder / DONE_FILE
    if done.is_file() and (folder / ROWS_FILE).is_file() and _said(done).get("list") == name:
        return
    for package in ("aiohttp", "httpcore", "anyio", "h2"):
        optional(package, "a source of URLs", "web")
    from sluice.web.index import Index

    done.unlink(missing_ok=True)
    with _plain_memory(), Index(layout.fetched) as index:
        missing = _Missing(source, _rows_known(folder, name))
        tell("fetching", source=source.name, missing=0)
        try:
            asyncio.run(_crawl(source, lists, layout, name, index, missing, tell))
        except ExceptionGroup as group:
            error = _first(group)
            raise (explain(error, folder / ROWS_FILE) if isinstance(error, OSError) else error) from group
        _merge(folder, name, missing.urls)
    with (folder / ROWS_FILE).open("rb") as rows:
        digest = hashlib.file_digest(rows, "sha256").hexdigest()
    give_back()
    write_json(done, {"list": name, "rows": missing.rows, "urls": missing.urls, "digest": digest})


@contextmanager
def _plain_memory() -> Generator[None]:
    """Arrow's memory from the system's allocator: its own keeps what small tables took, some megabytes a store."""
    before = pa.default_memory_pool()
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        yield
    finally:
        pa.set_memory_pool(before)


class _Missing:
    """The rows of a list that have no outcome yet, with their URLs, read in batches; counts all of them."""

    def __init__(self, source: UrlsSource, known: np.ndarray[Any, Any]) -> None:
        self._source = source
        self._known = known
        self.rows = 0  # of the whole list
        self.urls = 0

    def __iter__(self) -> Iterator[tuple[int, str, bytes]]:
        from sluice.web.index import key_of

        for row in self._source.rows():
            self.rows += 1
            if row.url is None:
                continue
            self.urls += 1
            if not _has(self._known, row.number):
                yield row.number, row.url, key_of(row.url)

    async def batches(self) -> AsyncIterator[Sequence[tuple[int, str, bytes]]]:
        """The missing rows, read in a thread."""
        rows = iter(self)
        while batch := await asyncio.to_thread(lambda: list(islice(rows, _BATCH))):
            yield batch


async def _crawl(
    source: UrlsSource, lists: Sequence[OptOut], layout: Layout, name: str, index: Any, missing: _Missing, tell: Tell
) -> None:
    from sluice.web.clients import WebClient
    from sluice.web.crawl import Crawl
    from sluice.web.index import key_of
    from sluice.web.opt_outs import OptOuts
    from sluice.web.store import Store

    config = source.config.fetch
    client = WebClient(config)
    store = Store(layout.fetched, source.name_on_disk, config, index, name)
    listed = _named(lists, "urls", "domains")
    gone = taken_down_urls(layout)
    opt_outs = OptOuts.of(
        config, lambda url: "taken down" if gone and key_of(url) in gone else listed(url), _named(lists, "sha256")
    )
    crawl = Crawl(config, client, store, opt_outs, layout.fetched / source.name_on_disk)
    telling = asyncio.create_task(_telling(store, tell))
    try:
        await crawl.run(missing.batches())
        await store.finish()
    finally:
        telling.cancel()
        store.abandon()
        await client.close()
    _tell(store, tell)


async def _telling(store: Any, tell: Tell) -> None:
    while True:
        await asyncio.sleep(2)
        _tell(store, tell)


def _tell(store: Any, tell: Tell) -> None:
    kept, failed, size = store.kept, store.failed, store.bytes
    store.kept = store.failed = store.bytes = 0
    if kept or failed:
        tell("fetched", samples=kept + failed, failed=failed, bytes=size)


def _named(lists: Sequence[OptOut], *kinds: str) -> Callable[[str], str | None]:
    """The entry that names a value, in any of the lists of these kinds."""
    asked = [one for one in lists if one.kind in kinds]

    def entry(value: str) -> str | None:
        for one in asked:
            for _, found, _ in opted_out(one, [value]):
                return f"{one.name}: {found}"
        return None

    return entry


def _list_fingerprint(source: UrlsSource) -> str:
    config = source.config
    read = [config.layout, config.url_column, config.delimiter]
    listing = fingerprint_of(f"{file.uri} {file.size} {file.stamp}" for file in source.lists())
    return fingerprint("list/1", *map(str, read), listing)


def _rows_known(folder: Path, name: str) -> np.ndarray[Any, Any]:
    """A bit a row of the list that has an outcome."""
    from sluice.web.store import LIST

    bits = np.zeros(0, np.uint8)
    for path in sorted(folder.glob("store-*.parquet")):
        if (pq.read_schema(path).metadata or {}).get(LIST) != name.encode():
            continue
        numbers = read_table(path, ["row"]).column("row").to_numpy()
        if len(numbers):
            most = int(numbers.max()) // 8 + 1
            if most > len(bits):
                bits = np.concatenate([bits, np.zeros(max(most - len(bits), len(bits)), np.uint8)])
            np.bitwise_or.at(bits, numbers // 8, (1 << (numbers % 8)).astype(np.uint8))
    return bits


def _has(bits: np.ndarray[Any, Any], number: int) -> bool:
    return number // 8 < len(bits) and bool(bits[number // 8] >> (number % 8) & 1)


def _merge(folder: Path, name: str, urls: int) -> None:
    """One table of what became of every URL of the list, in its order; each has one outcome, or it is an error."""
    from sluice.web.store import FETCHED, LIST

    paths = [
        path
        for path in sorted(folder.glob("store-*.parquet"))
        if (pq.read_schema(path).metadata or {}).get(LIST) == name.encode()
    ]
    last = -1
    with piece_writer(folder / ROWS_FILE, FETCHED, group=_GROUP) as writer:
        for piece in merged(paths, "row", folder):
            numbers = piece.column("row").to_numpy()
            if int(numbers[0]) <= last or (np.diff(numbers) <= 0).any():
                raise RunError(f"{folder}: a row of the list has two outcomes; this is a bug in Sluice")
            last = int(numbers[-1])
            writer.write(piece.cast(FETCHED))
        if writer.rows != urls:
            raise RunError(
                f"{folder}: {urls:,} URLs were listed, {writer.rows:,} have an outcome; this is a bug in Sluice"
            )


def _said(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except ValueError:
        return {}


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
