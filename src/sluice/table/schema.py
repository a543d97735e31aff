"""The tables of a run, as Arrow schemas: the one place where a column is named.

| table | a row is | sorted by |
| --- | --- | --- |
| `00_raw/samples/unit-*.parquet` | a sample | order of the source |
| `00_raw/items/unit-*.parquet` | an item of a sample | sample, item |
| `verdicts.parquet` | a sample that entered the stage | order of the source |
| `manifest.parquet` | a packed sample | format, split, shard, place in it |
| `redactions.parquet` | an image that was written anew to cover parts of it | as the manifest |

Roles of a text item: `caption` is an *alternative* (one good caption is enough), every other role (`human`,
`gpt`, `system`, `question`, `answer`, `text`) is a *part* (all parts must be good). An image is a part.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

SAMPLES: Final = pa.schema(
    [
        ("id", pa.string()),
        ("key", pa.string()),  # the sample's name in its source
        ("source", pa.string()),
        ("licence", pa.string()),  # as the source wrote it; `rights.licence` gives the SPDX id
        ("author", pa.string()),
        ("source_url", pa.string()),
        ("fetched", pa.string()),  # ISO 8601, as far as the source knows it
        ("dataset", pa.string()),
        ("meta", pa.string()),  # JSON object: whatever else the source holds
        ("failure_class", pa.string()),  # null unless the source could not make a whole sample of it
        ("failure", pa.string()),
    ]
)

ITEMS: Final = pa.schema(
    [
        ("id", pa.string()),
        ("item", pa.int16()),  # place in the sample, from 0
        ("kind", pa.string()),  # image | text
        ("role", pa.string()),  # image | caption | human | gpt | system | question | answer | text
        ("text", pa.string()),  # the text itself; null for an image
        ("container", pa.string()),  # file | tar | parquet | arrow; null for inline text
        ("uri", pa.string()),
        ("member", pa.string()),  # tar member, or the column of a parquet/arrow container
        ("offset", pa.int64()),  # bytes from the start (tar), or the row (parquet, arrow)
        ("size", pa.int64()),  # bytes; null where the source does not say
        ("language", pa.string()),  # declared by the source, BCP 47
        ("weight", pa.float32()),  # soft label of an answer, else null
        ("meta", pa.string()),  # JSON object: boxes, segments, ...
    ]
)

REASON: Final = pa.struct(
    [
        ("rule", pa.string()),  # the rule's name, or near_duplicate, duplicate_bytes, decode, ...
        ("effect", pa.string()),  # rejected | held | failed | caption (this caption alone is left out)
        ("item", pa.int16()),  # the item it spoke on; null where it spoke on the sample
        ("values", pa.string()),  # JSON object: column -> value that the rule saw
    ]
)

VERDICTS: Final = pa.schema(
    [
        ("id", pa.string()),
        ("unit", pa.int32()),
        ("verdict", pa.string()),  # kept | rejected | held | failed
        ("rules", pa.list_(pa.string())),  # every rule that decided it, without repeats
        ("reasons", pa.list_(REASON)),
        ("cluster", pa.string()),  # id of the keeper of its duplicate cluster, else null
        ("distance", pa.int16()),  # Hamming distance in bits to the keeper, else null
        ("captions_left_out", pa.list_(pa.int16())),  # items not packed though the sample is kept
    ]
)

IMAGE_SIZES: Final = pa.list_(pa.struct([("width", pa.int32()), ("height", pa.int32())]))  # px; null: unknown

MANIFEST: Final = pa.schema(
    [
        ("id", pa.string()),
        ("key", pa.string()),
        ("source", pa.string()),
        ("format", pa.string()),  # webdataset | parquet | ...
        ("split", pa.string()),
        ("shard", pa.string()),  # path below 04_final/
        ("index", pa.int32()),  # place in the shard
        ("offset", pa.int64()),  # first byte of the sample in its shard; in a table: the row
        ("size", pa.int64()),  # bytes of the sample, padding included; in a table: image bytes
        ("image_offset", pa.int64()),  # first byte of the first image itself, where it lies in the shard
        ("image_size", pa.int64()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("captions", pa.int16()),
        ("text_tokens", pa.int32()),  # of all turns and the best caption; null where `text.tokens` did not run
        ("image_tokens", pa.int32()),  # null: a loader's rule counts them from width and height
        ("weight", pa.float32()),
        ("repeats", pa.int32()),  # how often an epoch takes the sample; it is packed once
        ("sha256", pa.string()),  # of the first image's bytes
        ("cluster", pa.string()),  # the group that a split never cuts
        ("image_sizes", IMAGE_SIZES),  # of every image, in order; null in manifests that do not know
    ]
)

REDACTIONS: Final = pa.schema(
    [
        ("id", pa.string()),
        ("item", pa.int16()),
        ("method", pa.string()),  # blur | fill
        ("boxes", pa.list_(pa.list_(pa.float32()))),  # left, top, right, bottom in px as a viewer shows the image
        ("sha256_before", pa.string()),  # of the bytes that the source holds
        ("sha256", pa.string()),  # of the bytes that are packed
        ("bytes_before", pa.int64()),
        ("bytes", pa.int64()),
    ]
)
