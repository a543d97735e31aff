"""WebDataset shards: a tar whose members share a sample's id up to the first dot.

| member | holds |
| --- | --- |
| `ID.jpg` (or its format), `ID.0.jpg`, `ID.1.png` ... where a sample has several | the image, bit for bit |
| `ID.txt` | the best caption; absent where there is none |
| `ID.json` | everything: captions, other texts, images, rights, measured values, split, cluster |

Measured values of type uint64 (perceptual hashes) are 16 hexadecimal digits in the JSON: as numbers they would lose
bits in readers that hold numbers as doubles, and `datasets` would refuse those past 2^63.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from sluice.errors import SampleFailure
from sluice.pack.base import Contents, PackImage, PackSample, PackText, Read, Scalar, ShardReceipt
from sluice.pack.receipt import HashedFile, Loaded, Rows, load
from sluice.pack.tar import Sink, member_parts, write_end
from sluice.table.commit import commit

_GOOD_ID: Final = re.compile(r"(?!__)[A-Za-z0-9_-]+")  # a dot or slash would split the sample, `__` hide it
_SMALL: Final = 8_192  # bytes: less to copy them than to pass them on alone
_PLAIN: Final = Contents()
_JSON: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


class WebDatasetPacker:
    """Writes WebDataset tars."""

    format: str = "webdataset"
    suffix: str = ".tar"

    def __init__(self, contents: Contents) -> None:
        self._contents = contents

    def write_shard(self, path: Path, name: str, samples: Iterable[PackSample], read: Read) -> ShardReceipt:
        """Commit one tar; one sample is held in memory at a time."""
        rows = Rows(self.format, name)
        with commit(path) as partial, HashedFile(partial) as file:
            for sample in samples:
                try:
                    loaded = load(sample, read)
                except SampleFailure as failure:
                    rows.fail(sample, failure)
                    continue
                start = file.position
                head = write_members(file, sample_members(sample, loaded, self._contents))
                rows.add(sample, loaded, start, file.position - start, start + head if loaded else None)
            write_end(file, file.position)
            file.close()
            return rows.receipt(file)


def write_members(sink: Sink, members: Iterable[tuple[str, bytes]]) -> int:
    """Write files to a tar; returns the bytes of the first one's headers. What is small goes out as one."""
    first = 0
    small: list[bytes] = []
    for member in members:
        head, data, pad = member_parts(*member)
        first = first or len(head)
        small.append(head)
        if len(data) > _SMALL:
            sink.write(b"".join(small))
            sink.write(data)
            small = [pad]
        else:
            small += (data, pad)
    sink.write(b"".join(small))
    return first


def sample_members(
    sample: PackSample, loaded: Sequence[Loaded], contents: Contents = _PLAIN
) -> list[tuple[str, bytes]]:
    """The members of one sample, names and data, in the order they are written: images, caption, JSON."""
    if not _GOOD_ID.fullmatch(sample.id):
        raise ValueError(f"the id {sample.id!r} cannot name a WebDataset member")
    names = image_names(sample)
    members = [(name, image.data) for name, image in zip(names, loaded, strict=True)]
    captions = sample.captions
    if captions:
        members.append((f"{sample.id}.txt", captions[0].text.encode()))
    members.append((f"{sample.id}.json", sample_json(sample, loaded, names, contents)))
    return members


def image_names(sample: PackSample) -> list[str]:
    """The member names of a sample's images."""
    if len(sample.images) == 1:
        return [f"{sample.id}.{sample.images[0].extension}"]
    return [f"{sample.id}.{place}.{image.extension}" for place, image in enumerate(sample.images)]


def sample_json(
    sample: PackSample, loaded: Sequence[Loaded], names: Sequence[str], contents: Contents = _PLAIN
) -> bytes:
    """The `.json` member: keys in this order, UTF-8, no spaces; what is no JSON number (NaN) becomes null."""
    document: dict[str, Any] = {
        "id": sample.id,
        "key": sample.key,
        "source": sample.source,
        "split": sample.split,
        "images": [_image(*entry) for entry in zip(sample.images, loaded, names, strict=True)],
        "captions": [_caption(text, contents) for text in sample.captions],
        "texts": [_text(text, contents) for text in sample.turns],
        "rights": dict(sample.rights),
        "columns": {**sample.columns, **_hexadecimal(sample.columns, contents.columns)},
        "cluster": sample.cluster,
        "weight": sample.weight,
        "repeats": sample.repeats,
    }
    try:
        return _JSON.encode(document).encode()
    except ValueError:  # NaN or infinity among the measured values: rare, so looked for only then
        document["columns"] = _finite(document["columns"])
        return _JSON.encode(document).encode()


def _image(image: PackImage, loaded: Loaded, name: str) -> dict[str, Scalar]:
    told: dict[str, Scalar] = {
        "file": name,
        "item": image.item,
        "width": image.width,
        "height": image.height,
        "bytes": len(loaded.data),
        "sha256": loaded.sha256,
    }
    if loaded.redaction:  # these bytes are no longer those of the source
        told |= {"redacted": loaded.redaction.method, "sha256_before": loaded.redaction.sha256_before}
    return told


def _caption(text: PackText, contents: Contents) -> dict[str, Scalar]:
    """All captions of a pack have the same keys."""
    said: dict[str, Scalar] = {"text": text.text, "language": text.language}
    if contents.scored:
        said["weight"] = text.weight
    if contents.generated:
        said["origin"] = text.origin
    return said


def _text(text: PackText, contents: Contents) -> dict[str, Scalar]:
    said: dict[str, Scalar] = {
        "item": text.item,
        "role": text.role,
        "text": text.text,
        "language": text.language,
        "weight": text.weight,
    }
    return {**said, "origin": text.origin} if contents.generated else said


def _hexadecimal(columns: Mapping[str, Scalar], kinds: Mapping[str, pa.DataType]) -> dict[str, str]:
    values = ((name, columns.get(name)) for name, kind in kinds.items() if kind == pa.uint64())
    return {name: f"{value:016x}" for name, value in values if isinstance(value, int)}


def _finite(columns: Mapping[str, Scalar]) -> dict[str, Scalar]:
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in columns.items()
    }
