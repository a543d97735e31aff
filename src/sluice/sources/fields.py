"""From the fields of a row, by their names, to captions, language, rights and the rest (`meta`).

Every source that meets free field names (tables, sidecars, shards, Parquet) reads them here, so a column means the
same everywhere. What is not recognised is kept in `meta`: nothing is dropped.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from sluice.sources.base import JSON, NO_RIGHTS, Item, Rights

PATH_NAMES: Final = (
    "path",
    "file",
    "file_name",
    "filename",
    "file_path",
    "filepath",
    "image",
    "image_path",
    "image_file",
    "image_name",
    "image_filename",
    "img",
    "img_path",
    "img_name",
    "img_file",
)
_CAPTIONS: Final = re.compile(r"^(captions?|sentences?|comments?)([_ -]?\d+)?$")
_TEXTS: Final = ("text", "txt", "alt", "alt_text", "title", "description")
_LANGUAGES: Final = ("language", "lang", "language_code", "caption_language")
_PLANS: Final = 1024  # shapes of rows remembered: past them nothing is lost but time
_RIGHTS: Final = (
    ("licence", "license", "licence_name", "license_name", "licence_url", "license_url", "rights"),
    ("author", "creator", "photographer", "artist", "credit"),
    ("source_url", "url", "image_url", "original_url", "page_url", "link"),
    ("fetched", "date_fetched", "fetched_at", "date_downloaded", "downloaded_at", "crawl_date", "retrieved"),
    ("dataset", "dataset_name"),
)


class Fields:
    """How to read rows whose fields are called `names`. `taken` are fields that the source itself has used.

    >>> fields = Fields(["URL", "TEXT", "width"])
    >>> fields.captions(["http://a/b.jpg", "a red kite", 640])[0].text
    'a red kite'
    >>> fields.rights(["http://a/b.jpg", "a red kite", 640]).source_url, fields.meta(["", "", 640])
    ('http://a/b.jpg', {'width': 640})
    """

    def __init__(
        self, names: Sequence[str], caption_columns: Sequence[str] | None = None, taken: Collection[str] = ()
    ) -> None:
        plain = {name.strip().lower(): at for at, name in reversed(list(enumerate(names))) if name not in taken}
        if caption_columns is None:
            found = [at for name, at in plain.items() if _CAPTIONS.match(name)]
            self._captions = sorted(found) or [plain[name] for name in _TEXTS if name in plain][:1]
        else:
            self._captions = [names.index(name) for name in caption_columns if name in names]
        self._language = next((plain[name] for name in _LANGUAGES if name in plain), None)
        rights = [next((plain[name] for name in candidates if name in plain), None) for candidates in _RIGHTS]
        self._rights = None if all(at is None for at in rights) else rights
        used = {*self._captions, self._language, *rights}
        self._meta = [(name, at) for at, name in enumerate(names) if at not in used and name not in taken]

    @property
    def has_captions(self) -> bool:
        """Whether any field holds captions."""
        return bool(self._captions)

    def captions(self, values: Sequence[Any]) -> list[Item]:
        """The captions of a row, in the order of its columns; blank ones are none."""
        items: list[Item] = []
        language = None if self._language is None else values[self._language]
        spoken = text_of(language)
        for at in self._captions:
            value = values[at]
            if isinstance(value, str):
                if value and not value.isspace():
                    items.append(Item("text", "caption", value, None, spoken))
            else:
                items += [Item("text", "caption", text, None, spoken) for text in texts_of(value)]
        if isinstance(language, list | tuple):  # one language a caption, or one for all that cannot be told apart
            return _with_languages(items, language)
        return items

    def rights(self, values: Sequence[Any]) -> Rights:
        """The rights of a row; None where it does not say."""
        if self._rights is None:
            return NO_RIGHTS
        return Rights(*[None if at is None else text_of(values[at]) for at in self._rights])

    def meta(self, values: Sequence[Any]) -> dict[str, JSON]:
        """Every other field of a row, as JSON can hold it."""
        return {
            name: value if isinstance(value := values[at], str | int) else to_json(value) for name, at in self._meta
        }


class Plans:
    """The `Fields` of every shape of row met so far: JSON objects may each have other fields."""

    def __init__(self, caption_columns: Sequence[str] | None = None, taken: Collection[str] = ()) -> None:
        self._caption_columns = caption_columns
        self._taken = taken
        self._known: dict[tuple[str, ...], Fields] = {}

    def of(self, names: tuple[str, ...]) -> Fields:
        """How to read rows whose fields are called `names`."""
        fields = self._known.get(names)
        if fields is None:
            if len(self._known) >= _PLANS:
                self._known.clear()
            fields = self._known[names] = Fields(names, self._caption_columns, self._taken)
        return fields


def text_of(value: Any) -> str | None:
    """A field as text; None where it is empty.

    >>> text_of("  "), text_of(4), text_of(["a"])
    (None, '4', None)
    """
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return str(value)


def texts_of(value: Any) -> list[str]:
    """The texts of a caption field: a text, a list of texts, or a list of objects with `caption`, `raw` or `text`."""
    if isinstance(value, str):
        return [value] if value.strip() else []
    if isinstance(value, Mapping):
        return next((texts_of(value[name]) for name in ("caption", "raw", "text") if name in value), [])
    if isinstance(value, list | tuple):
        return [text for member in value for text in texts_of(member)]
    text = text_of(value)
    return [text] if text else []


def to_json(value: Any) -> JSON:
    """Whatever a row holds, as JSON can hold it: bytes by their count, NaN as null, dates as ISO 8601.

    >>> to_json({"a": (1, float("nan")), "b": b"xyz"})
    {'a': [1, None], 'b': {'bytes': 3}}
    """
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): to_json(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(member) for member in value]
    if isinstance(value, bytes):
        return {"bytes": len(value)}
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _with_languages(items: list[Item], languages: Sequence[Any]) -> list[Item]:
    told = [text_of(language) for language in languages]
    if len(told) != len(items):
        told = [None] * len(items)
    return [Item(item.kind, item.role, item.text, None, language) for item, language in zip(items, told, strict=True)]
