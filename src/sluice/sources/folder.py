"""A folder of images; `a.txt` beside `a.jpg` is its caption, `a.json` holds its captions, rights and other fields."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sluice.errors import SourceError
from sluice.sources.base import JSON, NO_RIGHTS, Item, RawSample, Rights, SourceFile
from sluice.sources.config import FolderConfig
from sluice.sources.fields import Plans
from sluice.sources.listing import Folder, folders, grouped, stat_file, walk
from sluice.sources.paths import default_name, key_of, list_files, place
from sluice.sources.texts import Refused, parsed_object, read_text
from sluice.table.refs import Ref

IMAGE_SUFFIXES: Final = (
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".heif")
)  # fmt: skip
SIDECARS: Final = (".txt", ".json")
# Files that describe a whole folder: a sidecar without an image otherwise counts as a failed sample.
_NOTES: Final = ("readme", "licence", "license", "notice", "copying", "dataset_info", "state")


@dataclass(frozen=True)
class FolderSource:
    """Images below a folder (or those that a glob names), each with what lies beside it."""

    name: str
    config: FolderConfig
    base: Path

    def files(self) -> Iterator[SourceFile]:
        """Every image and sidecar."""
        for folder in self._folders()[1]:
            for name in folder.names:
                if name.lower().endswith(IMAGE_SUFFIXES + SIDECARS):
                    yield folder.file(name)

    def samples(self) -> Iterator[RawSample]:
        """Folder by folder, every image as a sample, then every sidecar that has no image as a failed one."""
        root, found = self._folders()
        plans = Plans()
        images = 0
        for folder in found:
            beside = _Sidecars(folder)
            for name in folder.names:
                if name.lower().endswith(IMAGE_SUFFIXES):
                    images += 1
                    yield _sample(folder.file(name), beside.of(name), root, plans)
            for uri in beside.left():
                yield RawSample(key_of(uri, root), (), failure=("io", f"{uri}: no image of this name lies beside it"))
        if not images:
            raise SourceError(
                f"{self.config.path}: no image below {root}; expected files that end in {', '.join(IMAGE_SUFFIXES)}. "
                "Is it the right folder, and the right `type` of source?"
            )

    def _folders(self) -> tuple[str, Iterator[Folder]]:
        where = place(self.config.path, self.base)
        if where.patterns == (where.root,) and stat_file(where.root) is None:
            if not where.remote and not Path(where.root).is_dir():
                raise SourceError(
                    f"{self.config.path}: no such folder ({where.root}); `path` is relative to the recipe"
                )
            return where.root, folders(where.root)
        root, files = list_files(self.config.path, self.base, IMAGE_SUFFIXES + SIDECARS, "images")
        listed = {file.uri: file for file in files}
        there = {file.uri: file for file in walk(root)} if where.remote else None  # a listing, not requests one by one
        # a glob such as `*.jpg` names the images alone: what lies beside them belongs to them all the same
        for uri in list(listed):
            for beside in _sidecar_names(uri) if uri.lower().endswith(IMAGE_SUFFIXES) else ():
                if beside in listed:
                    continue
                found = stat_file(beside) if there is None else there.get(beside)
                if found is not None:
                    listed[beside] = found
        return root, grouped(sorted(listed.values(), key=lambda file: file.uri.rpartition("/")[::2]))


class _Sidecars:
    """The sidecars of one folder, and which of them no image has claimed."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._names = {name: False for name in folder.names if name.lower().endswith(SIDECARS)}
        self._by_lower = {lower: name for name in self._names if (lower := name.lower()) != name}

    def of(self, image: str) -> list[str]:
        """The uris of the sidecars of `image`; where no name fits exactly, upper and lower case are one."""
        found: list[str] = []
        for wanted in _sidecar_names(image):
            lower = wanted.lower()
            name = next((name for name in (wanted, lower) if name in self._names), self._by_lower.get(lower))
            if name is not None:
                self._names[name] = True
                found.append(self._folder.uri_of(name))
        return found

    def left(self) -> list[str]:
        """The uris of the sidecars without an image, notes on the whole folder left out."""
        alone = [name for name, claimed in self._names.items() if not claimed]
        return [self._folder.uri_of(name) for name in alone if name.lower().partition(".")[0] not in _NOTES]


def _sample(image: SourceFile, sidecars: list[str], root: str, plans: Plans) -> RawSample:
    key = key_of(image.uri, root)
    item = image_item(image.uri, image.size)
    try:
        captions, rights, meta = _described(sidecars, plans)
    except Refused as refused:
        return RawSample(key, (item,), failure=refused.failure)
    return RawSample(key, (item, *captions), rights, meta)


def image_item(uri: str, size: int | None) -> Item:
    """An image that is a file of its own."""
    return Item("image", "image", None, Ref("file", uri, None, None, size))


def _described(sidecars: list[str], plans: Plans) -> tuple[list[Item], Rights, dict[str, JSON]]:
    captions: list[Item] = []
    rights = NO_RIGHTS
    meta: dict[str, JSON] = {}
    for uri in sidecars:
        text = read_text(uri)
        if uri.lower().endswith(".txt"):
            captions += [Item("text", "caption", text.strip())] if text.strip() else []
            continue
        row = parsed_object(text, uri)
        fields = plans.of(tuple(row))
        values = list(row.values())
        texts = {item.text for item in captions}
        captions += [item for item in fields.captions(values) if item.text not in texts]  # both may say the same
        rights = fields.rights(values)
        meta |= fields.meta(values)
    return captions, rights, meta


def _sidecar_names(image: str) -> list[str]:
    """What the sidecars of an image may be called: `a.txt`, `a.jpg.txt`, `a.json`, `a.jpg.json`."""
    stem = image[: image.rindex(".")]
    return [f"{start}{suffix}" for suffix in SIDECARS for start in (stem, image)]


def open_folder(config: FolderConfig, base: Path) -> FolderSource:
    """The folder source that `config` describes."""
    return FolderSource(config.name or default_name(config.path, "folder"), config, base)
