"""What lies in a folder: the sources it could be, each with the evidence in a sentence. `sluice init` starts here."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from sluice.errors import SourceError
from sluice.sources.base import JSON
from sluice.sources.columns import find_image_column
from sluice.sources.fields import PATH_NAMES
from sluice.sources.folder import IMAGE_SUFFIXES
from sluice.sources.json_scan import open_json
from sluice.sources.listing import walk
from sluice.sources.rows import BadRow, rows
from sluice.sources.urls import URL_NAMES, headerless

_MOST_FILES: Final = 200_000  # looked at; a larger folder is told from its first files
_MOST_JSON: Final = 64  # JSON files opened to see what they hold
_ELEMENTS: Final = 64


@dataclass(frozen=True)
class Found:
    """A source as a recipe would name it, and why it is thought to be one."""

    config: dict[str, JSON]
    evidence: str


@dataclass
class _Look:
    """The files below a folder by kind; `claimed` folders hold images that an annotation file names."""

    root: str
    tars: dict[str, list[str]] = field(default_factory=lambda: defaultdict[str, list[str]](list))
    parquets: dict[str, list[str]] = field(default_factory=lambda: defaultdict[str, list[str]](list))
    arrows: dict[str, list[str]] = field(default_factory=lambda: defaultdict[str, list[str]](list))
    tables: list[str] = field(default_factory=list[str])
    jsons: list[str] = field(default_factory=list[str])
    images: Counter[str] = field(default_factory=Counter[str])  # by folder
    captioned: Counter[str] = field(default_factory=Counter[str])
    claimed: set[str] = field(default_factory=set[str])


def detect(path: str) -> list[Found]:
    """The sources that the folder or file `path` seems to hold, the most telling first; local paths only.

    >>> import tempfile, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp(), "photos"); folder.mkdir()
    >>> _ = (folder / "a.jpg").write_bytes(b""), (folder / "a.txt").write_text("a kite")
    >>> [found] = detect(str(folder))
    >>> found.config["type"], found.evidence
    ('folder', '1 image, 1 with a caption file beside it')
    """
    whole = os.path.normpath(path)
    if not os.path.lexists(whole):
        raise SourceError(f"{path}: no such file or folder")
    single = not Path(whole).is_dir()
    look = _look(str(Path(whole).parent) if single else whole, whole if single else None)
    found = [*_shards(look), *_parquets(look), *_arrows(look), *_annotations(look), *_tables(look)]
    return [*found, *_folder(look)]


def _look(root: str, only: str | None) -> _Look:
    look = _Look(root)
    stems: set[str] = set()
    images: set[str] = set()
    for file in islice(walk(root), _MOST_FILES):
        name = file.uri
        if only is not None and name != only and not name.lower().endswith(IMAGE_SUFFIXES):
            continue
        folder = name.rpartition("/")[0]
        stem, _, suffix = name.rpartition(".")
        suffix = suffix.lower()
        if f".{suffix}" in IMAGE_SUFFIXES:
            look.images[folder] += 1
            images.add(stem)
        elif suffix in ("tar", "parquet", "arrow"):
            {"tar": look.tars, "parquet": look.parquets, "arrow": look.arrows}[suffix][folder].append(name)
        elif suffix in ("csv", "tsv", "jsonl", "ndjson"):
            look.tables.append(name)
        elif suffix in ("json", "txt"):
            stems.add(stem)
            look.jsons += [name] if suffix == "json" else []
    for stem in images & stems:
        look.captioned[stem.rpartition("/")[0]] += 1
    look.jsons = [name for name in look.jsons if name.rpartition(".")[0] not in images]
    return look


def _shards(look: _Look) -> Iterator[Found]:
    for folder, tars in look.tars.items():
        tables = {name.removesuffix(".parquet") for name in look.parquets.get(folder, ())}
        paired = [name for name in tars if name.removesuffix(".tar") in tables]
        if paired and _columns(f"{paired[0].removesuffix('.tar')}.parquet") >= {"key", "status"}:
            look.parquets.pop(folder)
            yield Found({"type": "img2dataset", "path": folder}, f"{_many(len(tars), 'tar')} with img2dataset's tables")
        else:
            pattern = f"{folder}/*.tar" if len(tars) > 1 else tars[0]
            yield Found({"type": "webdataset", "path": pattern}, f"{_many(len(tars), 'tar shard')}")


def _parquets(look: _Look) -> Iterator[Found]:
    for folder, names in look.parquets.items():
        try:
            schema = pq.read_schema(names[0])
        except (pa.ArrowException, OSError):
            continue
        path = f"{folder}/*.parquet" if len(names) > 1 else names[0]
        try:
            image = find_image_column(schema, None, names[0])
        except SourceError:
            loose = [stem for name in names if (stem := name.removesuffix(".parquet")) in look.images]
            if loose and {"key", "status", "url"} <= set(schema.names):
                look.claimed.update(loose)
                evidence = f"{_many(len(loose), 'folder')} of images with img2dataset's tables"
                yield Found({"type": "img2dataset", "path": folder}, evidence)
            else:
                look.tables += names
            continue
        if {"key", "status", "url"} <= set(schema.names):
            yield Found({"type": "img2dataset", "path": folder}, f"{_many(len(names), 'Parquet shard')} of img2dataset")
        else:
            evidence = f"{_many(len(names), 'Parquet file')} with images in the column {image.name!r}"
            yield Found({"type": "parquet", "path": path}, evidence)


def _arrows(look: _Look) -> Iterator[Found]:
    for folder, names in look.arrows.items():
        path = f"{folder}/*.arrow" if len(names) > 1 else names[0]
        yield Found({"type": "arrow", "path": path}, f"{_many(len(names), 'Arrow file')}")


def _annotations(look: _Look) -> Iterator[Found]:
    """COCO, LLaVA and VQA files, told by their first elements."""
    heads = {name: _head(name) for name in look.jsons[:_MOST_JSON]}
    answers = {
        name: element.get("question_id")
        for name, head in heads.items()
        for kind, element in head[:_ELEMENTS]
        if kind == "annotations" and "answers" in element
    }
    for name, head in heads.items():
        kinds = dict(reversed(head))  # the first of each
        if "questions" in kinds:
            config: dict[str, JSON] = {"type": "vqa", "path": name}
            beside = [other for other in answers if other.rpartition("/")[0] == name.rpartition("/")[0]]
            known = kinds["questions"].get("question_id")
            match = next((other for other in beside if answers[other] == known), beside[0] if beside else None)
            config |= {"annotations": match} if match else {}
            config["images"] = _claim(look, None)
            yield Found(
                config, f"{_name(name)} holds VQA questions" + (f", {_name(match)} the answers" if match else "")
            )
        elif "file_name" in kinds.get("images", {}):
            images = _claim(look, str(kinds["images"]["file_name"]))
            yield Found({"type": "coco", "path": name, "images": images}, f"{_name(name)} is a COCO file")
        elif "conversations" in kinds.get("", {}):
            images = _claim(look, _first_text(kinds[""].get("image")))
            yield Found({"type": "llava", "path": name, "images": images}, f"{_name(name)} holds LLaVA conversations")


def _tables(look: _Look) -> Iterator[Found]:
    for name in look.tables:
        row = _first_row(name)
        if row is None:
            continue
        if "conversations" in row:
            images = _claim(look, _first_text(row.get("image")))
            yield Found({"type": "llava", "path": name, "images": images}, f"{_name(name)} holds LLaVA conversations")
            continue
        column = next((column for column in row if column.strip().lower() in PATH_NAMES), None)
        path = _first_text(row.get(column)) if column else None
        if path is None:
            yield from _urls(name, row)
            continue
        images = _claim(look, path)
        config: dict[str, JSON] = {"type": "table", "path": name}
        config |= {} if images == name.rpartition("/")[0] else {"images": images}
        yield Found(config, f"{_name(name)} names images in its column {column!r}")


def _urls(name: str, row: dict[str, Any]) -> Iterator[Found]:
    """A list of URLs, told by a column of them or, without a header, by its first line."""
    if headerless(name) is not None:
        yield Found({"type": "urls", "path": name}, f"{_name(name)} lists URLs, without a header")
        return
    column = next((column for column in row if column.strip().lower() in URL_NAMES), None)
    url = _first_text(row.get(column)) if column else None
    if url is not None and url.lower().startswith(("http://", "https://")):
        yield Found({"type": "urls", "path": name}, f"{_name(name)} lists URLs in its column {column!r}")


def _folder(look: _Look) -> Iterator[Found]:
    """Images that no file names."""
    left = {folder: count for folder, count in look.images.items() if not _within(folder, look.claimed)}
    if not left:
        return
    top = os.path.commonpath(left)
    captioned = sum(look.captioned[folder] for folder in left)
    evidence = f"{_many(sum(left.values()), 'image')}, {captioned:,} with a caption file beside it"
    yield Found({"type": "folder", "path": top}, evidence)


def _claim(look: _Look, name: str | None) -> str:
    """The folder below which `name` (the first image that a file names) lies; else the one with most images."""
    folders = [look.root, *sorted({part for folder in look.images for part in _above(folder, look.root)})]
    there = [folder for folder in folders if name and Path(folder, name).is_file()]
    most = look.images.most_common(1)
    chosen = there[0] if there else most[0][0] if most else look.root
    look.claimed.add(chosen)
    return chosen


def _above(folder: str, root: str) -> Iterator[str]:
    while folder.startswith(root):
        yield folder
        folder = folder.rpartition("/")[0]


def _within(folder: str, claimed: set[str]) -> bool:
    return any(folder == other or folder.startswith(f"{other}/") for other in claimed)


def _head(name: str) -> list[tuple[str, Mapping[str, Any]]]:
    """The first elements of a JSON file that are objects; none where it is no JSON."""
    try:
        with open_json(name) as file:
            elements = list(islice(file.elements(), _ELEMENTS))
    except SourceError:
        return []
    return [(element.name, element.value) for element in elements if isinstance(element.value, Mapping)]


def _first_row(name: str) -> dict[str, Any] | None:
    try:
        for _, names, values in islice(rows(name), 8):
            if not isinstance(values, BadRow):
                return dict(zip(names, values, strict=True))
    except SourceError:
        pass  # not a table after all: nothing to propose
    return None


def _first_text(value: Any) -> str | None:
    first = value[0] if isinstance(value, list) and value else value
    return first if isinstance(first, str) and first else None


def _columns(name: str) -> set[str]:
    try:
        return set(pq.read_schema(name).names)
    except (pa.ArrowException, OSError):
        return set()


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
