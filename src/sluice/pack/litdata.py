"""LitData: chunks with a table of offsets, and an `index.json` a split that lists them.

An item is a dictionary of the five fields of `sluice.pack.fields`; `json` is text. The `updated_at` of the index, by
which LitData knows that a copy in its cache is out of date, follows from the chunks and not from the clock.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from sluice.pack.base import Contents
from sluice.pack.fields import FIELDS
from sluice.pack.listed import IndexFile, Listed, by_split
from sluice.pack.offset_table import OffsetTablePacker

_KINDS: Final = {"caption": "str", "id": "str", "image": "bytes", "json": "str", "other_images": "bytes"}
_LEAF: Final[dict[str, Any]] = {"type": None, "context": None, "children_spec": []}
_TREE: Final = {"type": "builtins.dict", "context": json.dumps(FIELDS), "children_spec": [_LEAF] * len(FIELDS)}
_PYTREE_PROTOCOL: Final = 1  # of `torch.utils._pytree.treespec_dumps`


def litdata_packer(contents: Contents) -> OffsetTablePacker:
    """Writes LitData chunks."""
    return OffsetTablePacker("litdata", contents, b"")


def index(folder: Path, shards: Sequence[Listed]) -> Iterator[IndexFile]:
    """`litdata/<split>/index.json`: the chunks of a split that hold items, in order."""
    for split, listed in by_split(shards):
        held = [shard for shard in listed if shard.samples]
        chunks = [
            {"chunk_bytes": shard.bytes, "chunk_size": shard.samples, "dim": None, "filename": shard.file}
            for shard in held
        ]
        config = {
            "chunk_bytes": max((shard.bytes for shard in held), default=0),
            "chunk_size": None,
            "compression": None,
            "data_format": [_KINDS[name] for name in FIELDS],
            "data_spec": json.dumps([_PYTREE_PROTOCOL, _TREE]),
            "encryption": None,
            "item_loader": "PyTreeLoader",
        }
        updated = hashlib.sha256("".join(shard.sha256 for shard in held).encode()).hexdigest()[:16]
        text = json.dumps({"chunks": chunks, "config": config, "updated_at": updated}, sort_keys=True)
        yield IndexFile(f"litdata/{split}/index.json", [text.encode()])
