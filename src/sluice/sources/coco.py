"""COCO captions or instances: a sample an image, its captions as captions, its objects in the image's `meta`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sluice.errors import SourceError
from sluice.sources.base import JSON, Item, RawSample, Rights, SourceFile
from sluice.sources.config import CocoConfig
from sluice.sources.fields import text_of, to_json
from sluice.sources.images import ImageFolder
from sluice.sources.json_scan import Index, JsonFile, open_json
from sluice.sources.names import Keys, Names
from sluice.sources.paths import default_name, list_files
from sluice.sources.texts import Refused

_USED = ("id", "file_name", "license", "flickr_url", "coco_url", "date_captured")


@dataclass
class _Survey:
    """What one scan of a file finds: where everything lies, and the small tables whole."""

    images: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    image_ids: Index = field(default_factory=Index)
    annotations: Index = field(default_factory=Index)
    strays: list[int] = field(default_factory=list[int])  # annotations that name no image, by place in the file
    names: Names = field(default_factory=Names)
    licences: dict[Any, Mapping[str, Any]] = field(default_factory=dict[Any, Mapping[str, Any]])
    categories: dict[Any, str] = field(default_factory=dict[Any, str])
    dataset: str | None = None
    arrays: dict[str, None] = field(default_factory=dict[str, None])


@dataclass(frozen=True)
class CocoSource:
    """The images of one or more files in their order, then the annotations of images that are not there."""

    name: str
    config: CocoConfig
    base: Path

    def files(self) -> list[SourceFile]:
        """The annotation files."""
        return list_files(self.config.path, self.base, (".json",), "COCO files (.json)")[1]

    def samples(self) -> Iterator[RawSample]:
        """A sample an image; the name of its file is its name in the source."""
        folder = ImageFolder(self.config.images, self.base)
        files = self.files()
        for file in files:
            prefix = f"{Path(file.uri).stem}/" if len(files) > 1 else ""
            with open_json(file.uri) as opened:
                yield from _samples(opened, folder, prefix)


def _survey(file: JsonFile) -> _Survey:
    found = _Survey()
    for element in file.elements():
        found.arrays[element.name] = None
        value = element.value
        entry: Mapping[str, Any] = value if isinstance(value, Mapping) else {}
        if element.name == "images":
            found.images.append((element.start, element.size))
            found.image_ids.add(entry.get("id"), element)
            found.names.add(str(entry.get("file_name")))
        elif element.name == "annotations":
            if entry.get("image_id") is None:
                found.strays.append(element.start)
            else:
                found.annotations.add(entry["image_id"], element)
        elif element.name == "licenses" and isinstance(entry.get("id"), int | str):
            found.licences[entry["id"]] = file.read(element.start, element.size)
        elif element.name == "categories" and isinstance(entry.get("id"), int | str):
            found.categories[entry["id"]] = str(file.read(element.start, element.size).get("name"))
        elif element.name == "info" and entry:
            found.dataset = text_of(file.read(element.start, element.size).get("description"))
    if not found.images:
        names = ", ".join(name or "one array" for name in found.arrays) or "nothing"
        raise SourceError(
            f"{file.uri}: expected a COCO file with `images` and `annotations`, found {names}. "
            "A list of conversations is `type: llava`, questions are `type: vqa`"
        )
    for index in (found.image_ids, found.annotations, found.names):
        index.seal()
    return found


def _samples(file: JsonFile, folder: ImageFolder, prefix: str) -> Iterator[RawSample]:
    try:
        survey = _survey(file)
    except Refused as refused:
        raise SourceError(refused.failure[1]) from refused
    keys = Keys(survey.names)
    for number, (start, size) in enumerate(survey.images):
        key = f"images[{number}]"
        try:
            entry = file.read(start, size)
            name = entry.get("file_name")
            if not isinstance(name, str) or not name:
                raise Refused("decode", f"{file.uri}: images[{number}] has no file_name")
            key = keys.of(name)
            if len(survey.image_ids.places(entry.get("id"))) > 1:
                raise Refused("decode", f"{file.uri}: the image id {entry.get('id')} is there twice")
            yield _sample(file, survey, folder, entry, f"{prefix}{key}")
        except Refused as refused:
            yield RawSample(f"{prefix}{key}", (), failure=refused.failure)
    for start, size in survey.annotations.without(survey.image_ids):
        yield _stray(file, start, size, prefix)
    for start in survey.strays:
        message = f"{file.uri}: the annotation at byte {start:,} names no image"
        yield RawSample(f"{prefix}annotation@{start}", (), failure=("decode", message))


def _sample(file: JsonFile, survey: _Survey, folder: ImageFolder, entry: dict[str, Any], key: str) -> RawSample:
    captions: list[Item] = []
    objects: list[JSON] = []
    failure: Refused | None = None
    for start, size in survey.annotations.places(entry.get("id")):
        annotation = file.read(start, size)
        if "caption" not in annotation:
            objects.append(_object(annotation, survey))
        elif not isinstance(annotation["caption"], str):
            failure = Refused("decode", f"{file.uri}: the annotation at byte {start:,} has a caption that is no text")
        elif annotation["caption"].strip():
            captions.append(Item("text", "caption", annotation["caption"], meta=_rest(annotation, "caption")))
    meta: dict[str, JSON] = {"image_id": to_json(entry.get("id"))}
    meta |= {name: to_json(value) for name, value in entry.items() if name not in _USED}
    meta |= {name: to_json(entry[name]) for name in ("flickr_url", "coco_url") if entry.get(name)}
    rights = _rights(entry, survey, meta)
    try:
        image = folder.item(entry["file_name"], file.uri, {"objects": objects} if objects else None)
    except Refused as refused:
        return RawSample(key, tuple(captions), rights, meta, refused.failure)
    return RawSample(key, (image, *captions), rights, meta, failure.failure if failure else None)


def _object(annotation: dict[str, Any], survey: _Survey) -> JSON:
    """An annotation that is no caption (box, segments, keypoints), with the name of its category."""
    found = _rest(annotation)
    number = annotation.get("category_id")
    category = survey.categories.get(number) if isinstance(number, int | str) else None
    return found if category is None else {"category": category, **found}


def _rest(annotation: dict[str, Any], *used: str) -> dict[str, JSON]:
    return {name: to_json(value) for name, value in annotation.items() if name != "image_id" and name not in used}


def _rights(entry: dict[str, Any], survey: _Survey, meta: dict[str, JSON]) -> Rights:
    number = entry.get("license")
    licence = survey.licences.get(number) if isinstance(number, int | str) else None
    if licence is None and number is not None:
        meta["license"] = to_json(number)  # a number that the file's own table does not know says nothing
    name = text_of(licence.get("name")) if licence else None
    url = text_of(licence.get("url")) if licence else None
    if url and name:
        meta["licence_name"] = name
    captured = text_of(entry.get("date_captured"))
    return Rights(
        licence=url or name,
        source_url=text_of(entry.get("flickr_url")) or text_of(entry.get("coco_url")),
        fetched=captured.replace(" ", "T") if captured else None,
        dataset=survey.dataset,
    )


def _stray(file: JsonFile, start: int, size: int, prefix: str) -> RawSample:
    try:
        name = file.read(start, size).get("image_id")
    except Refused as refused:
        return RawSample(f"{prefix}annotation@{start}", (), failure=refused.failure)
    message = f"{file.uri}: annotations name the image {name}, which `images` does not have"
    return RawSample(f"{prefix}image {name}", (), failure=("io", message))


def open_coco(config: CocoConfig, base: Path) -> CocoSource:
    """The COCO source that `config` describes."""
    return CocoSource(config.name or default_name(config.path, "coco"), config, base)
