"""A small pile of captioned images with every kind of trouble in it: seeded, quick to draw, the same every time."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

FORMATS = ("JPEG", "PNG", "WEBP")
EXTENSIONS = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}


def picture(seed: int, side: int = 96, *, soft: bool = False) -> Image.Image:
    """Coarse coloured noise, smoothed: far from every other seed's in perceptual hash. `soft` has no edges."""
    rng = np.random.default_rng(seed)
    cells = rng.integers(0, 256, (2, 2, 3) if soft else (9, 12, 3), dtype=np.uint8)
    image = Image.fromarray(cells).resize((side + side // 3, side), Image.Resampling.BICUBIC)
    if soft:
        return image
    grain = rng.integers(-24, 25, (side, side + side // 3, 1))
    return Image.fromarray(np.clip(np.asarray(image).astype(np.int16) + grain, 0, 255).astype(np.uint8))


def encoded(image: Image.Image, form: str = "JPEG", **options: object) -> bytes:
    """`image` as a file."""
    data = io.BytesIO()
    image.save(data, form, **options)
    return data.getvalue()


def build_corpus(folder: Path, count: int = 72, seed: int = 0) -> Path:
    """`count` images with sidecars below `folder`; about two in three are good. The kind goes by the number:

    of every 24: 3 near-duplicate of 2, 5 equal to 4 in bytes, 7 truncated, 9 tiny, 11 soft, 13 with a short caption,
    15 with one bad caption of three, 17 without a caption, 19 with the caption of all 19s, 21 no image at all.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        form = FORMATS[number % 3]
        base = seed * 100_000 + number
        kind = number % 24
        data = encoded(picture(base), form)
        caption: str | list[str] = f"a picture of thing number {base}, seen in good light"
        match kind:
            case 3:
                data = encoded(picture(base - 1), "JPEG", quality=60)
            case 5:
                data = encoded(picture(base - 1), FORMATS[(number - 1) % 3])
            case 7:
                data = data[: len(data) // 2]
            case 9:
                data = encoded(picture(base, 24), form)
            case 11:
                data = encoded(picture(base, soft=True), form)
            case 13:
                caption = "hm"
            case 15:
                caption = [f"first words on number {base}", "hm", f"last words on number {base}"]
            case 17:
                caption = []
            case 19:
                caption = "the same words on every one of these"
            case 21:
                data = b"this is not an image at all"
        stem = folder / f"part{number % 2}" / f"{number:04d}"
        stem.parent.mkdir(exist_ok=True)
        stem.with_suffix(f".{EXTENSIONS[form]}").write_bytes(data)
        side = {
            "captions": [caption] if isinstance(caption, str) else caption,
            "licence": ("CC BY 4.0", "all rights reserved", "CC0")[number % 3],
            "author": f"author-{base}",
            "url": f"https://host{number % 5}.example/{base}.jpg",
            "shot": f"roll-{base}",
        }
        stem.with_suffix(".json").write_text(json.dumps(side))
    return folder
