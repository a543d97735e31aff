"""LLaVA conversations: the images, then the turns, verbatim; exactly as many `<image>` as images, else it failed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sluice.errors import SourceError
from sluice.sources.base import Item, RawSample, SourceFile
from sluice.sources.chat import PLACEHOLDER, is_conversation, turns
from sluice.sources.config import LlavaConfig
from sluice.sources.fields import Plans, text_of
from sluice.sources.images import ImageFolder
from sluice.sources.json_scan import open_json
from sluice.sources.names import Keys, Names
from sluice.sources.paths import default_name, list_files
from sluice.sources.rows import BadRow, rows
from sluice.sources.texts import Refused

_TAKEN = ("id", "image", "images", "conversations")
_EXPECTED = 'expected a list of {"id", "image", "conversations": [{"from", "value"}, ...]}'


@dataclass(frozen=True)
class LlavaSource:
    """The conversations of one or more files, in their order."""

    name: str
    config: LlavaConfig
    base: Path

    def files(self) -> list[SourceFile]:
        """The conversation files."""
        suffixes = (".json", ".jsonl")
        return list_files(self.config.path, self.base, suffixes, "LLaVA files (.json, .jsonl)")[1]

    def samples(self) -> Iterator[RawSample]:
        """A sample a conversation; its id is its name in the source, with `#2` where an id comes back."""
        folder = ImageFolder(self.config.images, self.base)
        plans = Plans((), _TAKEN)
        files = self.files()
        names = Names()
        for file in files:
            conversations = 0
            for number, entry in _entries(file.uri):
                names.add(_name(entry, file.uri, number))
                conversations += isinstance(entry, dict) and "conversations" in entry
            if not conversations:
                raise SourceError(f"{file.uri}: {_EXPECTED}, found none")
        names.seal()
        keys = Keys(names)
        for file in files:
            for number, entry in _entries(file.uri):
                key = keys.of(_name(entry, file.uri, number))
                if isinstance(entry, BadRow):
                    yield RawSample(key, (), failure=entry.failure)
                else:
                    yield _sample(entry, key, f"{file.uri}: entry {number:,}", folder, plans)


def _entries(uri: str) -> Iterator[tuple[int, dict[str, Any] | BadRow]]:
    """The entries of a file, numbered from 1."""
    if not uri.lower().endswith(".json"):
        for number, names, values in rows(uri):
            yield number, values if isinstance(values, BadRow) else dict(zip(names, values, strict=True))
        return
    with open_json(uri) as file:
        for number, element in enumerate(file.elements(), 1):
            if element.name:
                raise SourceError(f"{uri}: {_EXPECTED}, found an object with {element.name!r}")
            try:
                yield number, file.read(element.start, element.size)
            except Refused as refused:
                yield number, BadRow(refused.failure)


def _name(entry: dict[str, Any] | BadRow, uri: str, number: int) -> str:
    given = None if isinstance(entry, BadRow) else text_of(entry.get("id"))
    return given or f"{uri.rpartition('/')[2]}:{number}"


def _sample(entry: dict[str, Any], key: str, where: str, folder: ImageFolder, plans: Plans) -> RawSample:
    fields = plans.of(tuple(entry))
    values = list(entry.values())
    rights, meta = fields.rights(values), fields.meta(values)
    images: list[Item] = []
    said: list[Item] = []
    try:
        conversation = entry.get("conversations")
        if not is_conversation(conversation):
            raise Refused("decode", f"{where}: {_EXPECTED}")
        said, called = turns(conversation, where)
        names = _image_names(entry, where)
        if called != len(names):
            message = f"{where}: {len(names)} images, but {called} {PLACEHOLDER} placeholders in its turns"
            raise Refused("decode", message)
        images = [folder.item(name, where) for name in names]
    except Refused as refused:
        return RawSample(key, (*images, *said), rights, meta, refused.failure)
    return RawSample(key, (*images, *said), rights, meta)


def _image_names(entry: dict[str, Any], where: str) -> list[str]:
    value = entry.get("image", entry.get("images"))
    if value is None or value == "":
        return []
    names = value if isinstance(value, list) else [value]
    if not all(isinstance(name, str) and name for name in names):
        raise Refused("decode", f"{where}: `image` is to be a file name or a list of them")
    return names


def open_llava(config: LlavaConfig, base: Path) -> LlavaSource:
    """The LLaVA source that `config` describes."""
    return LlavaSource(config.name or default_name(config.path, "llava"), config, base)
