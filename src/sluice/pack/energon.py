"""Megatron-Energon: WebDataset shards, the offsets of their samples beside them, and a `.nv-meta` that lists them.

| file | holds |
| --- | --- |
| `train/shard-000000.tar` | the shard, as a WebDataset has it |
| `train/shard-000000.tar.idx` | where each sample begins and the last one ends, 8 bytes each, little endian |
| `.nv-meta/.info.json` | how many samples each shard holds |
| `.nv-meta/index.sqlite` | where each sample and each of its members lies, by key: for joins and look-ups |
| `.nv-meta/index.uuid` | names what is in the shards: another pack has another one |
| `.nv-meta/split.yaml` | the shards of each split |
| `.nv-meta/dataset.yaml` | `CaptioningSample`, or crude where the pack holds more than captioned images |
| `.nv-meta/crude.yaml` | the same pack as crude samples: all that a sample has, for a cooker of your own |
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import yaml

from sluice.pack.energon_index import sqlite_index
from sluice.pack.listed import IndexFile, Listed, by_split
from sluice.pack.tar import LONGEST
from sluice.table.compute import pc

_CRUDE: Final = {"__module__": "megatron.energon", "__class__": "CrudeWebdataset"}


def index(folder: Path, shards: Sequence[Listed]) -> Iterator[IndexFile]:
    """The offsets of each shard and the files of `.nv-meta`; shards without samples are none for Energon."""
    counts: dict[str, int] = {}
    splits: dict[str, list[str]] = {}
    extensions: set[str] = set()
    captioned = True
    filled: list[Listed] = []
    for split, listed in by_split(shards):
        splits[split] = []
        for shard in listed:
            if not shard.samples:
                continue
            rows = shard.rows()
            filled.append(shard)
            counts[f"{split}/{shard.file}"] = shard.samples
            splits[split].append(f"{split}/{shard.file}")
            captioned &= not pc.any(pc.equal(rows.column("captions"), 0)).as_py() and not rows["sha256"].null_count
            extensions |= _extensions(folder / shard.name, rows)
            yield IndexFile(f"{shard.name}.idx", [_offsets(rows)])
    captioned &= not any("." in extension for extension in extensions)
    for name, held in {
        ".info.json": {"energon_version": None, "shard_counts": counts},
        "split.yaml": {"exclude": [], "split_parts": splits},
        "dataset.yaml": _captioning(extensions) if captioned else _CRUDE,
        "crude.yaml": _CRUDE,
    }.items():
        text = json.dumps(held, indent=2) if name.endswith(".json") else yaml.safe_dump(held, sort_keys=False)
        yield IndexFile(f"energon/.nv-meta/{name}", [text.encode()])
    yield IndexFile("energon/.nv-meta/index.uuid", [_uuid(filled).encode()])
    yield sqlite_index("energon/.nv-meta/index.sqlite", folder, filled)


def _uuid(shards: Sequence[Listed]) -> str:
    """A UUID that follows from the shards: where energon caches joins, it takes equal ones for the same data."""
    digest = hashlib.sha256("".join(f"{shard.sha256}  {shard.name}\n" for shard in shards).encode())
    return str(uuid.UUID(bytes=digest.digest()[:16], version=5))


def _captioning(extensions: set[str]) -> dict[str, Any]:
    fields = {"image": ",".join(sorted(extensions)), "caption": "txt"}
    return {"sample_type": {"__module__": "megatron.energon", "__class__": "CaptioningSample"}, "field_map": fields}


def _offsets(rows: pa.Table) -> bytes:
    starts = rows.column("offset").to_numpy()
    end = starts[-1] + rows.column("size").to_numpy()[-1]
    return np.append(starts, end).astype("<u8").tobytes()


def _extensions(path: Path, rows: pa.Table) -> set[str]:
    """What follows the id in the name of the first image of each sample: `jpg`, or `0.jpg` where it has several."""
    found: set[str] = set()
    with path.open("rb") as file:
        for offset in rows.filter(pc.is_valid(rows.column("sha256"))).column("offset").to_pylist():
            file.seek(offset)
            found.add(file.read(LONGEST).rstrip(b"\0").decode().partition(".")[2])
    return found
