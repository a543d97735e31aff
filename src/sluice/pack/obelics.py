"""Interleaved Parquet shards as OBELICS has them: two lists of one length, an image or a text at each place.

| column | holds |
| --- | --- |
| `id` | the sample's id |
| `images` | `{bytes, path}` a place, the Hugging Face image feature; null where the place is a text |
| `texts` | the text of a place; null where the place is an image |
| `metadata` | JSON: a list, with `{item, sha256, width, height}` or `{item, role, language}` a place |
| `general_metadata` | JSON: the document that the `.json` of a WebDataset holds |

The places are the items of the sample in their order. Captions are alternatives, so only the best one has a place; the
others are in `general_metadata`.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from sluice.pack.base import Contents, Loaded, PackImage, PackSample, PackText
from sluice.pack.parquet import IMAGE, Row, TableShard, feature, open_parquet
from sluice.pack.receipt import Rows
from sluice.pack.webdataset import image_names, sample_json

_KINDS: Final = {
    "id": pa.string(),
    "images": pa.list_(IMAGE),
    "texts": pa.list_(pa.string()),
    "metadata": pa.string(),
    "general_metadata": pa.string(),
}
_FEATURES: Final = {name: feature(kind) for name, kind in _KINDS.items()}
SCHEMA: Final = pa.schema(_KINDS, metadata={"huggingface": json.dumps({"info": {"features": _FEATURES}})})


class ObelicsPacker:
    """Writes interleaved Parquet shards."""

    format: str = "obelics"

    def __init__(self, contents: Contents) -> None:
        self._contents = contents

    @contextmanager
    def open_shard(self, path: Path, name: str) -> Generator[TableShard]:
        """Commit one Parquet file; one row group of samples is held in memory at a time."""
        with open_parquet(path, Rows(self.format, name), SCHEMA, partial(_row, contents=self._contents)) as shard:
            yield shard


def places(sample: PackSample) -> list[PackImage | PackText]:
    """What is interleaved: the images, the texts that are parts, and the best caption, in the order of the items."""
    parts = [*sample.images, *sample.turns, *sample.captions[:1]]
    return sorted(parts, key=lambda part: part.item)


def _row(sample: PackSample, loaded: Sequence[Loaded], contents: Contents) -> Row:
    names = image_names(sample)
    data = {
        image.item: ((name, one.data), _image_facts(image, one))
        for image, name, one in zip(sample.images, names, loaded, strict=True)
    }
    ordered = places(sample)
    metadata = [data[part.item][1] if isinstance(part, PackImage) else _text_facts(part) for part in ordered]
    fields = {
        "id": sample.id,
        "texts": [None if isinstance(part, PackImage) else part.text for part in ordered],
        "metadata": json.dumps(metadata, ensure_ascii=False, separators=(",", ":")),
        "general_metadata": sample_json(sample, loaded, names, contents).decode(),
    }
    return Row([data[part.item][0] if isinstance(part, PackImage) else None for part in ordered], fields)


def _image_facts(image: PackImage, loaded: Loaded) -> dict[str, Any]:
    return {"item": image.item, "sha256": loaded.sha256, "width": image.width, "height": image.height}


def _text_facts(text: PackText) -> dict[str, Any]:
    return {"item": text.item, "role": text.role, "language": text.language}
