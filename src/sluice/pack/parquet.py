"""Parquet shards that `datasets` reads as images: bytes inside, one row a sample, row groups sized for streaming.

| column | holds |
| --- | --- |
| `id`, `key`, `source`, `split`, `cluster`, `weight`, `repeats` | the sample |
| `image` | struct `{bytes, path}`, the Hugging Face image feature; null where a sample has no image |
| `sha256`, `width`, `height` | of the image |
| `images` and the three above as lists | in place of them where any sample of the pack has several images |
| `caption`, `captions`, `languages` | the best caption; all of them, best first; what the source declares of each |
| `caption_weights`, `caption_origins` | how much each caption counts; who wrote it, null for its source; where known |
| `conversations` | `{from, value}` a turn, a question, an answer; only where any sample of the pack has such texts |
| `conversation_weights`, `conversation_origins` | the soft label of each; who wrote it; only where there are any |
| `licence`, `spdx`, `author`, `source_url`, `fetched`, `dataset` | the rights |
| `sha256_before` | of the image as the source has it, where `redact` covered parts of it; only where a recipe asks |
| anything else | the measured values that the pack carries; one of them never takes the place of a column above |

Image bytes are stored as they are (they are compressed already), all else with zstd. Memory is a row group's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from sluice.errors import SampleFailure
from sluice.pack.base import Contents, PackSample, Read, ShardReceipt
from sluice.pack.receipt import HashedFile, Loaded, Rows, load
from sluice.pack.webdataset import image_names
from sluice.table.commit import commit

ROW_GROUP_BYTES: Final = 16 * 2**20  # of images: what a streaming reader holds
ROW_GROUP_ROWS: Final = 8_192
RIGHTS: Final = ("licence", "spdx", "author", "source_url", "fetched", "dataset")

_PAGE_ROWS: Final = 16  # after so many the size of a page is looked at; 1,024 by default: a whole row group of images
_IMAGE: Final = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_TURN: Final = pa.struct([("from", pa.string()), ("value", pa.string())])
_VALUE_NAMES: Final = {"float": "float32", "double": "float64", "halffloat": "float16"}


class ParquetPacker:
    """Writes Parquet shards of one schema, fixed by what the whole pack may hold."""

    format: str = "parquet"
    suffix: str = ".parquet"

    def __init__(self, contents: Contents, row_group_bytes: int = ROW_GROUP_BYTES) -> None:
        self._contents = contents
        self._row_group_bytes = row_group_bytes
        self.schema = shard_schema(contents)

    def write_shard(self, path: Path, name: str, samples: Iterable[PackSample], read: Read) -> ShardReceipt:
        """Commit one Parquet file; one row group of samples is held in memory at a time."""
        rows = Rows(self.format, name)
        group = _RowGroup(self.schema)
        with commit(path) as partial, HashedFile(partial) as file:
            with shard_writer(file, self.schema) as writer:
                for sample in samples:
                    try:
                        loaded = load(sample, read)
                    except SampleFailure as failure:
                        rows.fail(sample, failure)
                        continue
                    size = sum(len(image.data) for image in loaded)
                    if len(group) == ROW_GROUP_ROWS or (len(group) and group.size + size > self._row_group_bytes):
                        group = _write(group, writer)
                    rows.add(sample, loaded, offset=len(rows), size=size, image=None)
                    group.add(sample, loaded)
                if len(group):
                    _write(group, writer)
            file.close()
            return rows.receipt(file)


class _RowGroup:
    """Samples on their way into one row group; image bytes lie end to end in one buffer that Arrow takes over."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._several = "images" in schema.names
        self._rows: list[dict[str, Any]] = []
        self._data = bytearray()
        self._ends = [0]  # of each image in the buffer
        self._paths: list[str | None] = []  # of each image; one a sample, null where it has none, unless several
        self._starts = [0]  # of each sample among the images

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def size(self) -> int:
        """Bytes of images."""
        return len(self._data)

    def add(self, sample: PackSample, loaded: Sequence[Loaded]) -> None:
        """Take a sample in; its images are copied, so what was loaded can go."""
        if len(loaded) > 1 and not self._several:
            raise ValueError(f"sample {sample.id} has {len(loaded)} images in a pack of one a sample")
        self._rows.append({**_fields(sample), **_per_image(sample, loaded, self._several)})
        for image in loaded:
            self._data += image.data
            self._ends.append(len(self._data))
        self._paths += image_names(sample)
        if not loaded and not self._several:
            self._ends.append(len(self._data))
            self._paths.append(None)
        self._starts.append(len(self._paths))

    def table(self) -> pa.Table:
        """The samples as Arrow; nothing can be added afterwards."""
        images = self._images()
        arrays = [
            images if field.type == images.type else pa.array([row.get(field.name) for row in self._rows], field.type)
            for field in self._schema
        ]
        return pa.Table.from_arrays(arrays, schema=self._schema)

    def _images(self) -> pa.Array:
        ends = pa.array(self._ends, pa.int32()).buffers()[1]
        data = pa.Array.from_buffers(pa.binary(), len(self._paths), [None, ends, pa.py_buffer(self._data)])
        paths = pa.array(self._paths, pa.string())
        images = pa.StructArray.from_arrays([data, paths], fields=list(_IMAGE), mask=paths.is_null())
        if not self._several:
            return images
        return pa.ListArray.from_arrays(pa.array(self._starts, pa.int32()), images)


def _write(group: _RowGroup, writer: pq.ParquetWriter) -> _RowGroup:
    """Write the row group; returns an empty one to go on with."""
    writer.write_table(group.table(), row_group_size=len(group))
    return _RowGroup(writer.schema)


def _fields(sample: PackSample) -> dict[str, Any]:
    captions, turns = sample.captions, sample.turns
    return {
        **sample.columns,
        **{name: sample.rights.get(name) for name in RIGHTS},
        "id": sample.id,
        "key": sample.key,
        "source": sample.source,
        "split": sample.split,
        "cluster": sample.cluster,
        "weight": sample.weight,
        "repeats": sample.repeats,
        "caption": captions[0].text if captions else None,
        "captions": [text.text for text in captions],
        "languages": [text.language for text in captions],
        "caption_weights": [text.weight for text in captions],
        "caption_origins": [text.origin for text in captions],
        "conversations": [{"from": text.role, "value": text.text} for text in turns],
        "conversation_weights": [text.weight for text in turns],
        "conversation_origins": [text.origin for text in turns],
    }


def _per_image(sample: PackSample, loaded: Sequence[Loaded], several: bool) -> dict[str, Any]:
    """What is said of each image: lists where the pack has several a sample, else the only one's or null."""
    said: dict[str, list[Any]] = {
        "sha256": [image.sha256 for image in loaded],
        "width": [image.width for image in sample.images],
        "height": [image.height for image in sample.images],
    }
    said["sha256_before"] = [image.redaction.sha256_before if image.redaction else None for image in loaded]
    return {name: values if several else next(iter(values), None) for name, values in said.items()}


def shard_schema(contents: Contents) -> pa.Schema:
    """The schema of every shard of a pack, with the feature types that `datasets` reads from it.

    >>> shard_schema(Contents(columns={"sharpness": pa.float32()})).names[:5]
    ['id', 'key', 'source', 'split', 'image']
    """
    several = contents.images > 1

    def per_image(kind: pa.DataType) -> pa.DataType:
        return pa.list_(kind) if several else kind

    fields = [
        ("id", pa.string()),
        ("key", pa.string()),
        ("source", pa.string()),
        ("split", pa.string()),
        ("images" if several else "image", per_image(_IMAGE)),
        ("caption", pa.string()),
        ("captions", pa.list_(pa.string())),
        ("languages", pa.list_(pa.string())),
    ]
    if contents.scored:
        fields.append(("caption_weights", pa.list_(pa.float32())))
    if contents.generated:
        fields.append(("caption_origins", pa.list_(pa.string())))
    if contents.turns:
        fields.append(("conversations", pa.list_(_TURN)))
        if contents.weights:
            fields.append(("conversation_weights", pa.list_(pa.float32())))
        if contents.generated:
            fields.append(("conversation_origins", pa.list_(pa.string())))
    fields += [(name, pa.string()) for name in RIGHTS]
    fields += [("sha256", per_image(pa.string()))]
    fields += [(name, per_image(pa.int32())) for name in ("width", "height")]
    if contents.redacted:
        fields += [("sha256_before", per_image(pa.string()))]
    fields += [("cluster", pa.string()), ("weight", pa.float32()), ("repeats", pa.int32())]
    taken = {name for name, _ in fields}
    fields += [(name, kind) for name, kind in contents.columns.items() if name not in taken]
    features = {name: _feature(kind) for name, kind in fields}
    return pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": features}})})


def shard_writer(file: HashedFile, schema: pa.Schema) -> pq.ParquetWriter:
    """A writer of shards to `file`: images as they are, without statistics or dictionary; all else with zstd."""
    leaves = [leaf for field in schema for leaf in _leaves(field.name, field.type)]
    plain = [leaf for leaf in leaves if not leaf.endswith(".bytes")]
    settings: dict[str, Any] = {  # pyarrow's own signature knows only the one-for-all forms of these
        "compression": {leaf: "zstd" if leaf in plain else "none" for leaf in leaves},
        "use_dictionary": plain,
        "write_statistics": plain,
        "write_batch_size": _PAGE_ROWS,
    }
    return pq.ParquetWriter(file, schema, version="2.6", **settings)


def _leaves(path: str, kind: pa.DataType) -> list[str]:
    if pa.types.is_struct(kind):
        return [leaf for field in kind for leaf in _leaves(f"{path}.{field.name}", field.type)]
    if pa.types.is_list(kind):
        return _leaves(f"{path}.list.element", kind.value_type)
    return [path]


def _feature(kind: pa.DataType) -> Any:
    """The Hugging Face feature of an Arrow type; a struct in a list stays a list of structs."""
    if kind == _IMAGE:
        return {"_type": "Image"}
    if pa.types.is_struct(kind):
        return {field.name: _feature(field.type) for field in kind}
    if pa.types.is_list(kind):
        inner = _feature(kind.value_type)
        return {"feature": inner, "_type": "Sequence"} if "_type" in inner else [inner]
    return {"dtype": _VALUE_NAMES.get(str(kind), str(kind)), "_type": "Value"}
