"""A sample as five named fields, for formats that hold records of bytes: the same fields in each of them.

| field | holds |
| --- | --- |
| `caption` | the best caption, UTF-8; empty where there is none |
| `id` | the sample's id |
| `image` | the first image, bit for bit; empty where there is none |
| `json` | the document that the `.json` of a WebDataset holds |
| `other_images` | the images after the first, end to end; `images[1:].bytes` of `json` says where each ends |

All packs have all five, so that packs can be mixed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sluice.pack.base import Contents, Loaded, PackSample
from sluice.pack.webdataset import image_names, sample_json

FIELDS: Final = ("caption", "id", "image", "json", "other_images")  # sorted: MDS and LitData keep them so


class RecordError(ValueError):
    """Bytes that are no record of ours: damaged, cut or of another kind."""


@dataclass(frozen=True)
class Record:
    """A sample as a record holds it."""

    id: str
    images: tuple[bytes, ...]
    caption: str | None
    document: dict[str, Any]
    image_offset: int | None  # of the first image, in the record


def sample_fields(sample: PackSample, loaded: Sequence[Loaded], contents: Contents) -> dict[str, bytes]:
    """The fields of a sample, in the order of `FIELDS`."""
    captions = sample.captions
    return {
        "caption": captions[0].text.encode() if captions else b"",
        "id": sample.id.encode(),
        "image": loaded[0].data if loaded else b"",
        "json": sample_json(sample, loaded, image_names(sample), contents),
        "other_images": b"".join(image.data for image in loaded[1:]),
    }


def record_of(fields: dict[str, bytes], image_offset: int) -> Record:
    """The record that has these fields; RecordError where they do not fit together."""
    try:
        document = json.loads(fields["json"])
        sizes = [image["bytes"] for image in document["images"]]
        captioned = bool(document["captions"])
        first, others = fields["image"], fields["other_images"]
        images = [first][: len(sizes)]
        place = 0
        for size in sizes[1:]:
            images.append(others[place : place + size])
            place += size
        if place != len(others) or (not sizes and first):
            raise RecordError("its images are not as long as its json says")
        caption = fields["caption"].decode() if captioned else None
        if not captioned and fields["caption"]:
            raise RecordError("it has a caption that its json does not know")
        return Record(fields["id"].decode(), tuple(images), caption, document, image_offset if sizes else None)
    except RecordError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RecordError(f"damaged fields: {type(error).__name__}: {error}") from error
