"""What augmentation moves: an image with all that is said of it and in it. A value; steps make new ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sluice.errors import SampleFailure

Pixels = npt.NDArray[np.uint8]
Boxes = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Masks = npt.NDArray[Any]

CAPTION: Final = "caption"


@dataclass(frozen=True)
class Said:
    """A text of a sample: a caption, or a turn, question or answer."""

    text: str
    role: str = CAPTION
    language: str | None = None  # BCP 47


def _no_boxes() -> Boxes:
    return np.zeros((0, 4))


def _nothing_seen() -> Boxes:
    return np.zeros(0)


def _no_flags() -> Flags:
    return np.zeros(0, np.bool_)


@dataclass(frozen=True, eq=False)
class Example:
    """An image, uint8 (height, width, 3), its texts, and where things are in it.

    >>> example = Example("a", np.zeros((20, 30, 3), np.uint8), boxes=np.array([[1.0, 2, 11, 12]]), labels=("cat",))
    >>> example.width, example.height, example.relevant.tolist()
    (30, 20, [False])
    """

    id: str
    pixels: Pixels
    texts: tuple[Said, ...] = ()  # captions best first
    boxes: Boxes = field(default_factory=_no_boxes)  # (n, 4): left, top, right, bottom, in px of `pixels`
    labels: tuple[str, ...] = ()  # of the boxes; empty strings where they have none
    relevant: Flags = field(default_factory=_no_flags)  # (n,): what a question asks about; never cut away
    masks: Masks | None = None  # (k, height, width) of integers; 0 is nothing
    has_text: bool = False  # whether writing is to be read in the image: it is never mirrored then
    seen: Boxes = field(default_factory=_nothing_seen)  # (n,): share of each box's first area that is still there

    def __post_init__(self) -> None:
        if self.pixels.dtype != np.uint8 or self.pixels.ndim != 3 or self.pixels.shape[2] != 3 or not self.pixels.size:
            found = f"{self.pixels.dtype} {self.pixels.shape}"
            raise SampleFailure("decode", f"an example has pixels uint8 (height, width, 3), not {found}")
        boxes = np.asarray(self.boxes, np.float64)
        count = len(boxes)
        if boxes.shape != (count, 4) or not np.isfinite(boxes).all() or (boxes[:, 2:] < boxes[:, :2]).any():
            raise SampleFailure("decode", "a box is left, top, right, bottom: four finite numbers in this order")
        object.__setattr__(self, "boxes", boxes)  # frozen for all others
        if not self.labels:
            object.__setattr__(self, "labels", ("",) * count)
        if not len(self.relevant):
            object.__setattr__(self, "relevant", np.zeros(count, np.bool_))
        if not len(self.seen):
            object.__setattr__(self, "seen", np.ones(count))
        if not len(self.labels) == len(self.relevant) == len(self.seen) == count:
            told = f"{count} boxes, {len(self.labels)} labels, {len(self.relevant)} flags of relevance"
            raise SampleFailure("decode", f"{told}: there must be as many of each")
        if self.masks is not None and self.masks.shape[1:] != self.pixels.shape[:2]:
            raise SampleFailure("decode", f"masks {self.masks.shape} do not lie on an image {self.pixels.shape}")

    @property
    def width(self) -> int:
        """Of the image, px."""
        return self.pixels.shape[1]

    @property
    def height(self) -> int:
        """Of the image, px."""
        return self.pixels.shape[0]

    @property
    def caption(self) -> str | None:
        """The best caption."""
        return next((said.text for said in self.texts if said.role == CAPTION), None)

    @property
    def union(self) -> tuple[float, float, float, float] | None:
        """The box around all relevant boxes; None where there are none."""
        if not self.relevant.any():
            return None
        kept = self.boxes[self.relevant]
        left, top, right, bottom = *kept[:, :2].min(axis=0).tolist(), *kept[:, 2:].max(axis=0).tolist()
        return left, top, right, bottom
