"""From what a recipe says of a source to the source, with the promises that hold for every type."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from sluice.sources.arrow import open_arrow
from sluice.sources.base import NO_RIGHTS, Item, RawSample, Rights, Source, SourceFile
from sluice.sources.coco import open_coco
from sluice.sources.config import (
    ArrowConfig,
    CocoConfig,
    FolderConfig,
    Img2DatasetConfig,
    LlavaConfig,
    ParquetConfig,
    SourceConfig,
    TableConfig,
    UrlsConfig,
    VqaConfig,
    WebDatasetConfig,
)
from sluice.sources.folder import open_folder
from sluice.sources.img2dataset import open_img2dataset
from sluice.sources.llava import open_llava
from sluice.sources.parquet import open_parquet
from sluice.sources.table import open_table
from sluice.sources.urls import open_urls
from sluice.sources.vqa import open_vqa
from sluice.sources.webdataset import open_webdataset

_OPENERS: Final[dict[type, Callable[..., Source]]] = {
    FolderConfig: open_folder,
    TableConfig: open_table,
    WebDatasetConfig: open_webdataset,
    ParquetConfig: open_parquet,
    ArrowConfig: open_arrow,
    Img2DatasetConfig: open_img2dataset,
    CocoConfig: open_coco,
    LlavaConfig: open_llava,
    VqaConfig: open_vqa,
    UrlsConfig: open_urls,
}
_MOST_ITEMS: Final = 32_767  # the place of an item in its sample is an int16


def open_source(config: SourceConfig, base: Path, stores: Path | None = None) -> Source:
    """The source that `config` describes; its relative paths are relative to the folder `base`.

    `stores` is the folder that a run fetches into what lies behind URLs.
    """
    opener = _OPENERS[type(config)]
    return _Sound(opener(config, base, stores) if isinstance(config, UrlsConfig) else opener(config, base), config)


@dataclass(frozen=True)
class _Sound:
    """A source whose samples a table can hold, with what the recipe says of all of them filled in."""

    source: Source
    config: SourceConfig

    @property
    def name(self) -> str:
        return self.source.name

    def files(self) -> Iterable[SourceFile]:
        return self.source.files()

    def samples(self) -> Iterator[RawSample]:
        given = self.config
        stated = Rights(given.licence, given.author, None, given.fetched, given.dataset)
        samples = map(_sound, self.source.samples())
        if stated == Rights() and given.language is None:
            return samples
        return (_completed(sample, stated, given.language) for sample in samples)


def _sound(sample: RawSample) -> RawSample:
    """The sample itself, or a failed one in place of what a table cannot hold."""
    if not _is_text(sample.key):
        sample = replace(sample, key=sample.key.encode("utf-8", "backslashreplace").decode())
    for item in sample.items:
        if not (item.text is None or _is_text(item.text)) or not (item.ref is None or _is_text(item.ref.uri)):
            return _unwritable(sample, f"the {item.role}")
    if sample.rights is not NO_RIGHTS:
        own = sample.rights
        for text in (own.licence, own.author, own.source_url, own.fetched, own.dataset):
            if text is not None and not _is_text(text):
                return _unwritable(sample, "a field of its rights")
    if not sample.items and sample.failure is None:
        return replace(sample, failure=("io", f"{sample.key}: has neither image nor text"))
    if len(sample.items) > _MOST_ITEMS:
        message = f"{sample.key}: {len(sample.items):,} items, the limit is {_MOST_ITEMS:,}"
        return RawSample(sample.key, (), failure=("too_large", message))
    return sample


def _unwritable(sample: RawSample, what: str) -> RawSample:
    message = f"{sample.key}: {what} is not valid Unicode; convert the texts to UTF-8"
    return RawSample(sample.key, (), failure=("decode", message))


def _is_text(text: str) -> bool:
    """Whether `text` can be written as UTF-8: lone surrogates stand for bytes that were none."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _completed(sample: RawSample, stated: Rights, language: str | None) -> RawSample:
    own = sample.rights
    rights = Rights(
        own.licence or stated.licence,
        own.author or stated.author,
        own.source_url,
        own.fetched or stated.fetched,
        own.dataset or stated.dataset,
    )
    items = sample.items
    if language is not None:
        items = tuple(_in_language(item, language) for item in items)
    return RawSample(sample.key, items, rights, sample.meta, sample.failure)


def _in_language(item: Item, language: str) -> Item:
    return replace(item, language=language) if item.kind == "text" and item.language is None else item
