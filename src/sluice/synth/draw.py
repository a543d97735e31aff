"""Drawing one sample of a world: its image file, its row in the table, its questions, its truth."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from PIL import Image

from sluice.synth import spoil
from sluice.synth.grammar import captions, questions, swapped
from sluice.synth.imagine import imagine
from sluice.synth.paint import Picture, render
from sluice.synth.plan import Part
from sluice.synth.scene import Scene

_SIDES: Final = (256, 320, 384, 448, 512, 576, 640)  # px of the longer side
_SIDE_SHARES: Final = (0.10, 0.27, 0.32, 0.18, 0.07, 0.04, 0.02)
_ASPECTS: Final = (4 / 3, 3 / 4, 3 / 2, 2 / 3, 1.0, 16 / 9, 9 / 16, 5 / 4, 2.6)
_ASPECT_SHARES: Final = (0.28, 0.14, 0.18, 0.08, 0.14, 0.07, 0.03, 0.06, 0.02)
_AUTHORS: Final = ("A. Lindqvist", "B. Moreau", "C. Okafor", "D. Tanaka", "E. Rossi", "F. Novak", "G. Silva", "H. Wei")
_QUOTED: Final = {"de": "„{}“", "fr": "« {} »", "es": "«{}»", "zh": "“{}”"}
_HIDDEN: Final = ("tiny", "dark", "blur", "truncated")  # the picture no longer shows what the scene says


@dataclass(frozen=True)
class Drawn:
    """A sample on its way out: the file, its row in the table, what is true of it."""

    data: bytes
    mask: Image.Image | None
    row: dict[str, Any]
    questions: list[dict[str, str]]
    truth: dict[str, Any]


def scene_of(part: Part, seed: int) -> tuple[Scene, tuple[int, int]]:
    """The scene of a sample and its size (width, height) in px."""
    rng = _rng(seed, part.index, 0)
    long = int(rng.choice(_SIDES, p=_SIDE_SHARES))
    aspect = float(rng.choice(_ASPECTS, p=_ASPECT_SHARES))
    if part.defect == "banner":
        aspect, long = float(rng.uniform(4.6, 8.0)), int(rng.integers(560, 840))
        aspect = 1 / aspect if part.detail == "tall" else aspect
    size = (long, round(long / aspect)) if aspect >= 1 else (round(long * aspect), long)
    groups = 2 if part.defect == "attribute_swapped_caption" else None
    return imagine(rng, size[0] / size[1], groups), size


def draw(part: Part, parts: tuple[Part, ...], seed: int, masks: bool = False) -> Drawn:
    """One sample of the world that `parts` plans."""
    shown = (
        parts[part.partner]
        if part.defect in ("near_duplicate", "exact_duplicate") and part.partner is not None
        else part
    )
    scene, size = scene_of(shown, seed)
    picture = render(scene, size, _rng(seed, shown.index, 1))
    data = _file(picture, part, shown, seed)
    with_box = part.detail != "cropped"
    described = scene
    if part.defect == "mismatched_caption" and part.partner is not None:
        described = scene_of(parts[part.partner], seed)[0]
    rng = _rng(seed, part.index, 2)
    row = _row(part, described, rng)
    asked = [] if part.defect in _HIDDEN else questions(scene, part.language, rng)
    truth = {
        "key": part.key,
        "defect": part.defect,
        "detail": part.detail,
        "partner": None if part.partner is None else parts[part.partner].key,
        "language": part.language,
        "objects": len(scene.things),
        "scene": scene.to_json(),
        "boxes": json.dumps(picture.boxes(len(scene.things))) if with_box else None,
    }
    mask = Image.fromarray(picture.mask) if masks and with_box else None
    return Drawn(data, mask, row, [{"path": part.key, "language": part.language, **asdict(q)} for q in asked], truth)


def _rng(seed: int, index: int, purpose: int) -> np.random.Generator:
    return np.random.default_rng((seed, index, purpose))


def _quality(seed: int, index: int) -> int:
    return int(_rng(seed, index, 3).integers(87, 96))


def _file(picture: Picture, part: Part, shown: Part, seed: int) -> bytes:
    """The bytes of a sample's image, spoiled if it is to be."""
    rng = _rng(seed, part.index, 4)
    image, quality, detail = picture.image, _quality(seed, shown.index), part.detail or ""
    match part.defect:
        case "blur":
            image = spoil.blurred(image, detail, rng)
        case "dark":
            image = spoil.darkened(image, rng)
        case "tiny":
            image = spoil.thumbnail(image, rng)
        case "near_duplicate":
            image = spoil.near_duplicate(image, detail, rng)
            quality = int(rng.integers(38, 62)) if detail == "recompressed" else quality - int(rng.integers(2, 10))
        case "exif_rotated":
            image, exif = spoil.rotated(image, int(detail[-1]))
            return spoil.encode(image, part.form, quality, exif)
        case "truncated":
            return spoil.truncated(spoil.encode(image, part.form, quality), rng)
        case _:
            pass
    return spoil.encode(image, part.form, quality)


def _row(part: Part, described: Scene, rng: np.random.Generator) -> dict[str, Any]:
    """The sample's row in captions.jsonl."""
    texts = captions(described, part.language, rng)
    declared, licence = part.language, str(rng.choice(spoil.LICENCES))
    match part.defect:
        case "attribute_swapped_caption":
            texts = captions(swapped(described, rng), part.language, rng)
        case "boilerplate_caption":
            declared = "en"
            texts = [spoil.REPEATED if part.detail == "repeated" else str(rng.choice(spoil.PHRASES))]
        case "file_name_caption":
            texts = [spoil.file_name(rng)]
        case "wrong_language_tag":
            declared = spoil.other_language(part.language, rng)
        case "mojibake":
            # one caption, in quotes: not every sentence has a letter outside ASCII, and there must be some to garble
            texts = [_QUOTED[part.language].format(texts[0])]
            texts = [spoil.mojibake(text, part.detail or "") for text in texts]
        case "missing_licence":
            licence = None
        case "forbidden_licence":
            licence = str(rng.choice(spoil.FORBIDDEN[part.detail or ""]))
        case _:
            pass
    return {
        "path": part.key,
        "captions": texts,
        "language": declared,
        "licence": licence,
        "author": str(rng.choice(_AUTHORS)),
        "source_url": f"https://photos.example/{rng.integers(16**8):08x}",
        "dataset": "sluice-world",
    }
