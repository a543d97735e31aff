"""A folder of images; `a.txt` beside `a.jpg` is its caption, `a.json` holds its captions, rights and other fields."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final

from sluice.errors import SourceError
from sluice.sources.base import JSON, NO_RIGHTS, Item, RawSample, Rights, SourceFile
from sluice.sources.config import FolderConfig
from sluice.sources.fields import Plans
from sluice.sources.paths import default_name, key_of, list_files, place, stat_file, walk
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

    def files(self) -> list[SourceFile]:
        """Every image and sidecar."""
        return [file for file in self._listing()[1] if _is_image(file.uri) or _is_sidecar(file.uri)]

    def samples(self) -> Iterator[RawSample]:
        """Every image as a sample; then, folder by folder, every sidecar that has no image."""
        root, files = self._listing()
        plans = Plans()
        for _, group in groupby(files, key=lambda file: file.uri.rpartition("/")[0]):
            members = list(group)
            sidecars = {file.uri: file for file in members if _is_sidecar(file.uri)}
            lower = {uri.lower(): uri for uri in sidecars}
            used: set[str] = set()
            for image in (file for file in members if _is_image(file.uri)):
                beside = [lower[name] for name in _sidecar_names(image.uri) if name in lower]
                used.update(beside)
                yield _sample(image, [sidecars[uri] for uri in beside], root, plans)
            for uri in sidecars:
                if uri not in used and not _is_note(uri):
                    key = key_of(uri, root)
                    yield RawSample(key, (), failure=("io", f"{uri}: no image of this name lies beside it"))

    def _listing(self) -> tuple[str, Iterator[SourceFile] | list[SourceFile]]:
        where = place(self.config.path, self.base)
        if where.patterns == (where.root,) and stat_file(where.root) is None:
            if not where.remote and not Path(where.root).is_dir():
                raise SourceError(
                    f"{self.config.path}: no such folder ({where.root}); `path` is relative to the recipe"
                )
            return where.root, _at_least_one_image(where.root, self.config.path)
        root, files = list_files(self.config.path, self.base, IMAGE_SUFFIXES + SIDECARS, "images")
        images = {file.uri: file for file in files if _is_image(file.uri)}
        # a glob such as `*.jpg` names the images alone: what lies beside them belongs to them all the same
        for uri in list(images):
            for beside in _sidecar_names(uri, exact=True):
                if beside not in images and (found := stat_file(beside)) is not None:
                    images[beside] = found
        listed = {file.uri: file for file in files} | images
        return root, sorted(listed.values(), key=lambda file: file.uri.rpartition("/")[::2])


def _at_least_one_image(root: str, path: str) -> Iterator[SourceFile]:
    images = 0
    for file in walk(root):
        images += _is_image(file.uri)
        yield file
    if not images:
        raise SourceError(
            f"{path}: no image below {root}; expected files that end in {', '.join(IMAGE_SUFFIXES)}. "
            "Is it the right folder, and the right `type` of source?"
        )


def _sample(image: SourceFile, sidecars: list[SourceFile], root: str, plans: Plans) -> RawSample:
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


def _described(sidecars: list[SourceFile], plans: Plans) -> tuple[list[Item], Rights, dict[str, JSON]]:
    captions: list[Item] = []
    rights = NO_RIGHTS
    meta: dict[str, JSON] = {}
    for file in sidecars:
        text = read_text(file.uri)
        if file.uri.lower().endswith(".txt"):
            captions += [Item("text", "caption", text.strip())] if text.strip() else []
            continue
        row = parsed_object(text, file.uri)
        fields = plans.of(tuple(row))
        values = list(row.values())
        texts = {item.text for item in captions}
        captions += [item for item in fields.captions(values) if item.text not in texts]  # both may say the same
        rights = fields.rights(values)
        meta |= fields.meta(values)
    return captions, rights, meta


def _is_image(uri: str) -> bool:
    return uri.lower().endswith(IMAGE_SUFFIXES)


def _is_sidecar(uri: str) -> bool:
    return uri.lower().endswith(SIDECARS)


def _is_note(uri: str) -> bool:
    return uri.rpartition("/")[2].lower().partition(".")[0] in _NOTES


def _sidecar_names(uri: str, exact: bool = False) -> list[str]:
    """Where the sidecars of an image may lie: `a.txt`, `a.jpg.txt`, `a.json`, `a.jpg.json`."""
    name = uri if exact else uri.lower()
    stem = name[: name.rindex(".")]
    return [f"{start}{suffix}" for suffix in SIDECARS for start in (stem, name)]


def open_folder(config: FolderConfig, base: Path) -> FolderSource:
    """The folder source that `config` describes."""
    return FolderSource(config.name or default_name(config.path, "folder"), config, base)
