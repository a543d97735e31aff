"""COCO captions: a JSON file a split, made from the documents of the shards.

`images` has an entry an image, with `sample`, the id of the sample that it is of; `annotations` has an entry a
caption, all of them and not the best alone, on the first image of their sample. Ids are numbers from 1 in the order of
the split, as `pycocotools` wants them. `file_name` is below the folder `coco/`. Texts that are no captions, and samples
without an image, have no place in COCO: they are in the documents beside the images.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from sluice.pack.documents import documents
from sluice.pack.listed import IndexFile, Listed, by_split

_JSON: Final = json.JSONEncoder(ensure_ascii=False)


def index(folder: Path, shards: Sequence[Listed]) -> Iterator[IndexFile]:
    """`coco/captions_<split>.json`."""
    for split, listed in by_split(shards):
        yield IndexFile(f"coco/captions_{split}.json", _pieces(folder, listed, split))


def _pieces(folder: Path, shards: Sequence[Listed], split: str) -> Iterator[bytes]:
    def held() -> Iterator[tuple[str, dict[str, Any]]]:
        for shard in shards:
            place = shard.name.partition("/")[2].removesuffix(".jsonl")
            for document in documents(folder / shard.name):
                yield place, document

    licences: dict[str, int] = {}
    for _, document in held():
        named = _licence(document)
        if named is not None:
            licences.setdefault(named, len(licences) + 1)
    info = {"description": "captions, packed by Sluice", "split": split}
    table = [{"id": number, "name": name, "url": ""} for name, number in licences.items()]
    yield b'{"info": ' + _JSON.encode(info).encode() + b',\n"licenses": ' + _JSON.encode(table).encode()
    for name, entries in (("images", _images), ("annotations", _annotations)):
        yield b',\n"%b": [' % name.encode()
        before = "\n"
        for entry in entries(held, licences):
            yield (before + _JSON.encode(entry)).encode()
            before = ",\n"
        yield b"]"
    yield b"}\n"


_Held = Callable[[], Iterator[tuple[str, dict[str, Any]]]]


def _images(held: _Held, licences: dict[str, int]) -> Iterator[dict[str, Any]]:
    number = 0
    for place, document in held():
        named = _licence(document)
        for image in document["images"]:
            number += 1
            yield {
                "id": number,
                "file_name": f"{place}/{image['file']}",
                "width": image["width"],
                "height": image["height"],
                "license": None if named is None else licences[named],
                "coco_url": document["rights"].get("source_url") or "",
                "date_captured": "",
                "sample": document["id"],
            }


def _annotations(held: _Held, licences: dict[str, int]) -> Iterator[dict[str, Any]]:
    image = number = 0
    for _, document in held():
        for caption in document["captions"] if document["images"] else ():
            number += 1
            yield {"id": number, "image_id": image + 1, "caption": caption["text"]}
        image += len(document["images"])


def _licence(document: dict[str, Any]) -> str | None:
    return document["rights"].get("spdx") or document["rights"].get("licence")
