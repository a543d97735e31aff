"""MosaicML MDS: shards with a table of offsets, and an `index.json` a split that lists them.

The columns are the five fields of `sluice.pack.fields`. Images are of encoding `bytes`: MDS's own `jpeg` would hand
over pictures, and writing them would encode them again. The index names the SHA-256 of each shard, so
`validate_hash="sha256"` checks a copy as it streams.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from sluice.pack.base import Contents
from sluice.pack.fields import FIELDS
from sluice.pack.listed import IndexFile, Listed, by_split
from sluice.pack.offset_table import OffsetTablePacker

_ENCODINGS: Final = {"caption": "str", "id": "str", "image": "bytes", "json": "json", "other_images": "bytes"}
_CONFIG: Final[dict[str, Any]] = {
    "column_encodings": [_ENCODINGS[name] for name in FIELDS],
    "column_names": list(FIELDS),
    "column_sizes": [None] * len(FIELDS),
    "compression": None,
    "format": "mds",
    "hashes": ["sha256"],
    "size_limit": None,
    "version": 2,
}


def mds_packer(contents: Contents) -> OffsetTablePacker:
    """Writes MDS shards."""
    return OffsetTablePacker("mds", contents, json.dumps(_CONFIG, sort_keys=True).encode())


def index(folder: Path, shards: Sequence[Listed]) -> Iterator[IndexFile]:
    """`mds/<split>/index.json`: the shards of a split that hold samples, in order."""
    for split, listed in by_split(shards):
        entries = [
            {
                **_CONFIG,
                "raw_data": {"basename": shard.file, "bytes": shard.bytes, "hashes": {"sha256": shard.sha256}},
                "samples": shard.samples,
                "zip_data": None,
            }
            for shard in listed
            if shard.samples
        ]
        text = json.dumps({"shards": entries, "version": 2}, sort_keys=True)
        yield IndexFile(f"mds/{split}/index.json", [text.encode()])
