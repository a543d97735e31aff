"""Shards that are a JSON document a line, the images beside them as files: what LLaVA and COCO files are made from.

`train/shard-000000.jsonl` holds the documents, each the one that the `.json` of a WebDataset holds;
`train/shard-000000/` holds the images, each bit for bit, under the names that the documents give them.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sluice.pack.base import Contents, Loaded, PackSample
from sluice.pack.receipt import FileShard, HashedFile, Rows
from sluice.pack.webdataset import image_names, sample_json
from sluice.table.commit import commit, commit_folder


class DocumentsPacker:
    """Writes documents and the files of their images."""

    def __init__(self, format: str, contents: Contents) -> None:
        self.format = format
        self._contents = contents

    @contextmanager
    def open_shard(self, path: Path, name: str) -> Generator[FileShard]:
        """Commit the images, then the documents; one sample is held in memory at a time."""
        # Until the new documents are there, there are none: the old ones do not describe the new images.
        path.unlink(missing_ok=True)
        with commit(path) as partial, HashedFile(partial) as file:
            with commit_folder(path.with_suffix("")) as images:
                yield _Documents(Rows(self.format, name), file, images, self._contents)
            file.close()


class _Documents(FileShard):
    def __init__(self, rows: Rows, file: HashedFile, images: Path, contents: Contents) -> None:
        super().__init__(rows, file)
        self._images = images
        self._contents = contents

    def add(self, sample: PackSample, loaded: Sequence[Loaded]) -> None:
        names = image_names(sample)
        for name, image in zip(names, loaded, strict=True):
            (self._images / name).write_bytes(image.data)
        line = sample_json(sample, loaded, names, self._contents) + b"\n"
        self.rows.add(sample, loaded, self.file.position, len(line), None)
        self.file.write(line)


def spans(file: Any) -> Iterator[tuple[int, int]]:
    """Where each document lies, as (first byte, bytes)."""
    file.seek(0)
    position = 0
    for line in file:
        yield position, len(line)
        position += len(line)


def documents(path: Path) -> Iterator[dict[str, Any]]:
    """The documents of the shard at `path`, in order."""
    with path.open("rb") as file:
        for line in file:
            yield json.loads(line)


def image_files(path: Path) -> Iterator[tuple[str, str]]:
    """The files of images of the shard at `path`: the name beside the shard, the SHA-256."""
    for document in documents(path):
        for image in document["images"]:
            yield f"{path.stem}/{image['file']}", image["sha256"]
