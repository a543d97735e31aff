"""Samples to pack, made of real files."""

import hashlib
import io

import numpy as np
from PIL import Image

from sluice.pack.base import PackImage, PackSample, PackText
from sluice.table.ids import sample_id
from sluice.table.refs import Ref

RIGHTS = {
    "licence": "CC BY 4.0",
    "spdx": "CC-BY-4.0",
    "author": "Zoë",
    "source_url": None,
    "fetched": None,
    "dataset": "d",
}
FORMATS = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}


def image_bytes(seed, extension="jpg", side=24):
    pixels = np.random.default_rng(seed).integers(0, 255, (side, side + seed % 7, 3), dtype=np.uint8)
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, FORMATS[extension])
    return sink.getvalue()


def image(folder, seed, item=0, extension="jpg"):
    data = image_bytes(seed, extension)
    path = folder / f"image-{seed}.{extension}"
    path.write_bytes(data)
    return PackImage(
        item,
        Ref("file", str(path), size=len(data)),
        extension,
        24 + seed % 7,
        24,
        hashlib.sha256(data).hexdigest(),
    )


def pair(folder, seed, split="train", captions=None, extension="jpg", **fields):
    key = f"{seed:04d}"
    captions = [f"a red büs №{seed}", "un bus rouge"] if captions is None else captions
    given = {
        "id": sample_id("photos", key),
        "key": key,
        "source": "photos",
        "split": split,
        "images": (image(folder, seed, extension=extension),),
        "texts": tuple(PackText(i + 1, "caption", text, None if i else "en") for i, text in enumerate(captions)),
        "rights": RIGHTS,
        "columns": {"sharpness": 123.5 + seed, "phash": 2**63 + seed, "language": "en", "alpha": False},
    }
    return PackSample(**{**given, **fields})
