"""Detectors: what finds faces, plates or names in images, so that these can be covered. Sluice brings none.

One of yours is a function over a batch of images, registered under a name in a plugin file:

    @detector("my.faces", version=1)
    def faces(images, *, least=0.5):
        return [[box for box, score in model(image) if score >= least] for image in images]

An image is sRGB, uint8 (height, width, 3), as a viewer shows it; a box is left, top, right, bottom in its px. An empty
list says that there is nothing; None that nothing can be said.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias, TypeVar

from sluice.errors import SampleFailure
from sluice.media.redact import Box
from sluice.models.http_classifier import image_input
from sluice.models.http_post import Poster
from sluice.models.registered import Registered, Registry

DetectorFunction: TypeAlias = Callable[..., Sequence[Sequence[Sequence[float]] | None]]

F = TypeVar("F", bound=DetectorFunction)


_REGISTRY: Final = Registry[DetectorFunction]("detector")


def detector(name: str, *, version: int) -> Callable[[F], F]:
    """Register the decorated function as the detector `name`; its keyword arguments are the parameters.

    >>> @detector("example.middle", version=1)
    ... def middle(images, *, side=10):
    ...     return [[(0, 0, side, side)] for image in images]
    >>> registered_detector("example.middle").defaults
    {'side': 10}
    """

    def register(function: F) -> F:
        _REGISTRY.register(name, version, function)
        return function

    return register


def registered_detector(name: str) -> Registered[DetectorFunction]:
    """The detector called `name`; an unknown name says which are near."""
    return _REGISTRY.get(name)


def detect_over_http(post: Poster, model: str, image: bytes) -> list[Box]:
    """The boxes that a service finds in an encoded image, in its px.

    {"model": ..., "input": [{"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,..."}}]}
    ->  {"results": [{"boxes": [[left, top, right, bottom], ...]}]}
    """
    return post({"model": model, "input": [image_input(image)]}, _read)


def checked_boxes(boxes: object, form: str = "xyxy") -> list[Box]:
    """`boxes` as left, top, right, bottom; a SampleFailure where one is none: an image is not half covered.

    >>> checked_boxes([[10, 20, 5, 5]], "xywh")
    [(10.0, 20.0, 15.0, 25.0)]
    """
    if not isinstance(boxes, Sequence) or isinstance(boxes, str | bytes):
        raise SampleFailure("model", f"{str(boxes)[:80]!r} is no list of boxes")
    return [_checked(box, form) for box in boxes]


def _checked(box: Any, form: str) -> Box:
    try:
        left, top, right, bottom = (float(number) for number in box)
    except (TypeError, ValueError):
        raise SampleFailure("model", f"{str(box)[:80]!r} is no box of four numbers") from None
    if form == "xywh":
        right, bottom = left + right, top + bottom
    if not (all(map(math.isfinite, (left, top, right, bottom))) and left < right and top < bottom):
        raise SampleFailure("model", f"a box from ({left}, {top}) to ({right}, {bottom}) holds nothing")
    return left, top, right, bottom


def _read(answer: object) -> list[Box]:
    results: object = answer.get("results") if isinstance(answer, dict) else None
    if not isinstance(results, list) or len(results) != 1 or not isinstance(results[0], dict):
        raise SampleFailure("api", "the answer has no list of one object under 'results'")
    if "boxes" not in results[0]:
        raise SampleFailure("api", "the answer's result has no 'boxes'")
    try:
        return checked_boxes(results[0]["boxes"])
    except SampleFailure as failure:
        raise SampleFailure("api", failure.message) from None
