"""A packed sample as an example: its first image, all its texts, and the boxes that were packed with it.

Boxes are looked for under one name: among the measured values that the pack carries (`pack.columns`), or in the
document itself where another tool wrote it. There they are a list, or the JSON text of one; a box is four numbers, or
an object `{bbox, label, relevant}`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import numpy as np

from sluice.errors import SampleFailure
from sluice.load.augment.example import CAPTION, Boxes, Example, Flags, Said
from sluice.load.augment.moving import with_boxes
from sluice.media.decode import decode
from sluice.media.header import read_header
from sluice.media.limits import Limits

if TYPE_CHECKING:
    from sluice.load.reading import Sample

Relevant: TypeAlias = Callable[[Example], Flags]

_ASKED: Final = ("question", "answer", "human", "user", "gpt")
_LABELS: Final = ("label", "category", "name")


@dataclass(frozen=True)
class Found:
    """The boxes of a sample as its document has them."""

    boxes: Boxes
    labels: tuple[str, ...]
    relevant: Flags


def asked_about(example: Example) -> Flags:
    """Which boxes the questions and answers are about: those whose label they name; all, where they name none.

    >>> boxes = np.array([[0.0, 0, 2, 2], [2, 2, 4, 4]])
    >>> texts = (Said("Is the cat asleep?", "question"),)
    >>> asked_about(Example("a", np.zeros((4, 4, 3), np.uint8), texts, boxes, ("cat", "dog"))).tolist()
    [True, False]
    """
    words = " ".join(said.text for said in example.texts if said.role in _ASKED)
    if not words.strip():
        return np.zeros(len(example.labels), np.bool_)
    named = [bool(label) and _names(words, label) for label in example.labels]
    return np.array(named if any(named) else [True] * len(named), np.bool_)


@dataclass(frozen=True)
class Examples:
    """Decodes samples to examples. `relevant` is a function of yours that says which boxes must not be cut away.

    Without it those are relevant that say so themselves; where none does, those that a question names. `side` lets
    a JPEG be decoded at a smaller scale of its own, its longer side at least so many px: faster, and boxes follow.
    """

    boxes: str = "boxes"  # the name of the field
    form: Literal["xyxy", "xywh"] = "xyxy"
    share: bool = False  # whether boxes are shares of the image's sides, not px
    text_flag: str = "has_text"  # a field that says that there is writing in the image
    relevant: Relevant | None = None
    side: int | None = None
    limits: Limits = field(default_factory=Limits)

    def __call__(self, sample: Sample) -> Example:
        """The example of `sample`; SampleFailure where it has no image, or its boxes cannot be understood."""
        if not sample.images:
            raise SampleFailure("decode", "a sample without an image")
        data = sample.images[0]
        header = read_header(data, self.limits)
        pixels = decode(data, header, self.side, "rgb", self.limits)
        height, width = pixels.shape[:2]
        document = sample.document
        found = self._found(_field(document, self.boxes))
        sides = (1, 1) if self.share else (header.width, header.height)
        scale = np.array([width / sides[0], height / sides[1]] * 2)
        example = Example(
            sample.id,
            pixels,
            texts_of(document),
            found.boxes * scale,
            found.labels,
            found.relevant,
            has_text=bool(_field(document, self.text_flag)),
        )
        if self.relevant is not None:
            example = replace(example, relevant=np.asarray(self.relevant(example), np.bool_))
        elif not example.relevant.any():
            example = replace(example, relevant=asked_about(example))
        return replace(with_boxes(example, example.boxes, 0), seen=np.zeros(0))

    def _found(self, value: Any) -> Found:
        try:
            entries = json.loads(value) if isinstance(value, str) else value
            entries = [] if entries is None else [entry for entry in entries if entry is not None]
            plain = [entry["bbox"] if isinstance(entry, Mapping) else entry for entry in entries]
            boxes = np.array(plain, np.float64).reshape(len(plain), 4)
        except (KeyError, TypeError, ValueError) as error:
            told = f"field {self.boxes}: {str(value)[:80]!r} is no list of boxes ({type(error).__name__}: {error})"
            raise SampleFailure("decode", told) from error
        if self.form == "xywh":
            boxes[:, 2:] += boxes[:, :2]
        said = [entry if isinstance(entry, Mapping) else {} for entry in entries]
        labels = tuple(str(next((one[name] for name in _LABELS if one.get(name)), "")) for one in said)
        return Found(boxes, labels, np.array([bool(one.get("relevant")) for one in said], np.bool_))


def texts_of(document: Mapping[str, Any]) -> tuple[Said, ...]:
    """All texts of a sample, captions first, as a tar's JSON or a Parquet row has them.

    A text whose language nobody states is taken to be in that of the captions, where they are all in one.
    """
    captions: Sequence[Any] = document.get("captions") or ()
    if captions and isinstance(captions[0], str):
        languages = document.get("languages") or [None] * len(captions)
        said = [Said(text, CAPTION, language) for text, language in zip(captions, languages, strict=True)]
    else:
        said = [Said(one["text"], CAPTION, one.get("language")) for one in captions]
    said += [Said(one["text"], one["role"], one.get("language")) for one in document.get("texts") or ()]
    said += [Said(one["value"], one["from"]) for one in document.get("conversations") or ()]
    stated = {one.language for one in said if one.language}
    common = next(iter(stated)) if len(stated) == 1 else None
    return tuple(replace(one, language=one.language or common) for one in said)


def _field(document: Mapping[str, Any], name: str) -> Any:
    """A field of the document, or of the measured values in it."""
    value = document.get(name)
    columns = document.get("columns")
    return columns.get(name) if value is None and isinstance(columns, Mapping) else value


def _names(words: str, label: str) -> bool:
    """Whether `words` hold the label as a word; in scripts without spaces, anywhere."""
    if not label.isascii():
        return label.lower() in words.lower()
    return re.search(rf"\b{re.escape(label)}(?:e?s)?\b", words, re.IGNORECASE) is not None
