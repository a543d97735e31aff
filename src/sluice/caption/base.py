"""What a captioner is: requests in, an outcome for each out, and who it is that speaks.

Every outcome holds captions or a failure, never neither: a refusal, an empty or cut answer is a failure with a kind.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from sluice.errors import FailureClass

N = TypeVar("N", int, float)
CaptionKind = Literal["short", "dense", "ocr", "grounded", "qa"]
FailureKind = Literal[
    "budget",  # not asked: the budget is used up
    "connection",  # no answer: the connection failed
    "cut",  # the answer ends before its end
    "decode",  # the image cannot be read
    "empty",  # an answer without a text
    "field",  # the sample lacks a field that the template or prompt needs
    "json",  # the whole answer is no JSON
    "memory",  # no memory for this one image alone
    "model",  # the model or the plugin failed on it
    "rate",  # 429 until the last try
    "refused",  # the model will not
    "rejected",  # the service takes no such input (400, 413, 422)
    "schema",  # not what was asked for: no boxes, no pairs, no message
    "server",  # 5xx until the last try
    "timeout",  # no whole answer in time
]

SCALE: Final = 1000  # boxes of grounded captions are in [0, 1000] across and down, whatever the size of the image


@dataclass(frozen=True)
class CaptionRequest:
    """One image to be described. `image` is encoded as stored; `pixels` are called only where they are needed."""

    id: str
    image: bytes | None = None
    pixels: Callable[[], npt.NDArray[np.uint8]] | None = None  # (height, width, 3), sRGB
    fields: Mapping[str, object] = field(default_factory=dict[str, object])  # what templates and prompts may name
    language: str | None = None  # BCP 47, of the caption that is wanted


@dataclass(frozen=True)
class Box:
    """A thing and where it is: left, top, right, bottom in [0, 1000]."""

    label: str
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Pair:
    """A question about an image, and its answer."""

    question: str
    answer: str


@dataclass(frozen=True)
class Caption:
    """One generated text. Of the kind `ocr`, an empty text says that there is nothing to read in the image."""

    text: str
    kind: CaptionKind
    boxes: tuple[Box, ...] = ()
    pairs: tuple[Pair, ...] = ()
    language: str | None = None  # the one asked for

    @property
    def data(self) -> str | None:
        """Boxes or pairs as JSON; None where there are none.

        >>> Caption("a dog", "grounded", (Box("dog", (10, 20, 500, 900)),)).data
        '{"boxes": [{"label": "dog", "box": [10, 20, 500, 900]}]}'
        """
        if self.boxes:
            fields = {"boxes": [{"label": one.label, "box": list(one.box)} for one in self.boxes]}
        elif self.pairs:
            fields = {"pairs": [{"question": one.question, "answer": one.answer} for one in self.pairs]}
        else:
            return None
        return json.dumps(fields, ensure_ascii=False)


@dataclass(frozen=True)
class Spent:
    """What a request took, all its tries together. None: nobody said, or no price is known."""

    attempts: int = 0
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost: float | None = None  # in the currency of the price
    seconds: float = 0.0  # of the exchange that gave the answer, without waits

    def __add__(self, other: Spent) -> Spent:
        """
        >>> Spent(1, 20, None) + Spent(2, 10, 4)
        Spent(attempts=3, tokens_in=30, tokens_out=4, cost=None, seconds=0.0)
        """
        return Spent(
            self.attempts + other.attempts,
            _sum(self.tokens_in, other.tokens_in),
            _sum(self.tokens_out, other.tokens_out),
            _sum(self.cost, other.cost),
            self.seconds + other.seconds,
        )


def _sum(one: N | None, other: N | None) -> N | None:
    if one is None or other is None:
        return one if other is None else other
    return one + other


@dataclass(frozen=True)
class CaptionFailure:
    """Why there is no caption: the class under which it can be tried again, and a kind within it."""

    failure_class: FailureClass
    kind: FailureKind
    message: str


@dataclass(frozen=True)
class CaptionOutcome:
    """What became of one request: captions, or a failure."""

    id: str
    captions: tuple[Caption, ...] = ()
    failure: CaptionFailure | None = None
    spent: Spent = field(default_factory=Spent)
    cached: bool = False  # answered before, by this run or another: `spent` is what it took then

    def __post_init__(self) -> None:
        if bool(self.captions) == (self.failure is not None):
            raise ValueError(f"{self.id}: an outcome has captions or a failure, and one of them only")


@dataclass(frozen=True)
class CaptionerIdentity:
    """Who says it. Two captioners with one fingerprint ask the same thing of the same model in the same way."""

    name: str  # as the recipe calls it
    model: str
    revision: str
    kind: CaptionKind
    prompt: str
    prompt_version: str
    temperature: float | None
    seed: int | None
    fingerprint: str  # 16 hexadecimal digits over all that changes what is said

    @property
    def folder(self) -> str:
        """The name of its folder in `02_captioned/captions`."""
        return f"{self.name}@{self.fingerprint}"


class Captioner(Protocol):
    """Describes images. Outcomes come in the order of the requests, one each, as they are ready."""

    @property
    def identity(self) -> CaptionerIdentity: ...

    @property
    def stopped(self) -> str | None:
        """Why it takes no more requests (its budget), and what is left; None while it does."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of how it went, such as a batch that was halved for want of memory."""
        ...

    def caption(self, requests: Iterable[CaptionRequest]) -> Iterator[CaptionOutcome]:
        """An outcome for each request. Few are held at a time: both sides stream."""
        ...

    def close(self) -> None:
        """Give back what it holds."""
        ...
