"""A classifier behind an address: texts or images in, a score a label out, as OpenAI's `/v1/moderations` speaks.

    {"model": ..., "input": ["a text", ...]}          ->  {"results": [{"category_scores": {"violence": 0.01}}, ...]}
    {"model": ..., "input": [{"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,..."}}]}

What it could not score is NaN: unscored, which is no score of 0.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from sluice.errors import SampleFailure
from sluice.models.base import Identity
from sluice.models.digest import check_hash, content_hash
from sluice.models.http_post import Poster, PostFailure, poster_to

_FORMATS: Final = ((b"\xff\xd8\xff", "jpeg"), (b"\x89PNG", "png"), (b"GIF8", "gif"), (b"RIFF", "webp"))

_OF_THE_INPUT: Final = ("rejected", "answer")  # troubles that one input of a batch may make

T = TypeVar("T")


class ClassifierConfig(BaseModel):
    """What a recipe may say of a classifying service."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(pattern="^https?://", description="Base URL, such as `https://host/v1`; `/moderations` is added.")
    model: str = Field(min_length=1, description="Name of the model, as the service knows it.")
    revision: str = Field(default="not stated", description="What you know of its version.")
    labels: tuple[str, ...] = Field(
        min_length=1, description="The labels to keep, as the service names them, such as `violence`: a column each."
    )
    key_variable: str | None = Field(
        default=None, description="Environment variable that holds the key. It is never logged or stored."
    )
    batch: int = Field(default=32, ge=1, description="Texts in a request. Images are sent one at a time.")
    timeout: float = Field(default=60, gt=0, description="Seconds for a whole request, however slowly it drips.")
    tries: int = Field(default=3, ge=1, le=10, description="Tries of a request that failed for a passing reason.")
    longest_wait: float = Field(default=120, ge=0, description="Seconds to wait at most before another try.")
    hash: str | None = Field(default=None, pattern="^[0-9a-f]{32}$", description="The hash that it must have.")


class HttpClassifier:
    """Scores of a service. Its hash is over what was asked of whom: the weights are out of sight."""

    def __init__(self, config: ClassifierConfig, poster: Poster | None = None) -> None:
        self._config = config
        self._post = poster or poster_to(config, "moderations")
        stated = config.model_dump(include={"url", "model", "revision", "labels"})
        found = content_hash({"classifier": json.dumps(stated, sort_keys=True).encode()})
        self.identity: Final = Identity(config.model, config.revision, check_hash(found, config.hash, config.url), None)
        self.labels: Final = config.labels

    def score_texts(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.float32], list[str | None]]:
        """(n, labels), and why a row is NaN: `api: ...`, or None where the service scored it."""
        return self._scored(texts, self._config.batch, list)

    def score_images(self, images: Sequence[bytes]) -> tuple[npt.NDArray[np.float32], list[str | None]]:
        """The same of encoded images (JPEG, PNG, GIF, WebP)."""
        return self._scored(images, 1, lambda some: [image_input(image) for image in some])

    def _scored(
        self, items: Sequence[T], size: int, body: Callable[[Sequence[T]], list[Any]]
    ) -> tuple[npt.NDArray[np.float32], list[str | None]]:
        scores = np.full((len(items), len(self.labels)), np.nan, np.float32)
        errors: list[str | None] = [None] * len(items)
        waiting = [(start, min(start + size, len(items))) for start in range(0, len(items), size)]
        while waiting:
            start, end = waiting.pop(0)
            piece = items[start:end]
            read = partial(self._read, len(piece))
            try:
                request = {"model": self._config.model, "input": body(piece)}
                scores[start:end] = self._post(request, read)
            except SampleFailure as failure:
                if len(piece) > 1 and isinstance(failure, PostFailure) and failure.kind in _OF_THE_INPUT:
                    middle = (start + end) // 2  # one input that is refused must not cost the others their score
                    waiting[:0] = [(start, middle), (middle, end)]
                else:
                    errors[start:end] = [str(failure)] * len(piece)
        return scores, errors

    def _read(self, count: int, answer: object) -> npt.NDArray[np.float32]:
        """The scores of an answer; one that is not a score a label and an input is a failure."""
        results: object = answer.get("results") if isinstance(answer, dict) else None
        if not isinstance(results, list) or len(results) != count:
            found = f"{len(results)} results" if isinstance(results, list) else "no list under 'results'"
            raise SampleFailure("api", f"the answer has {found} for {count} inputs")
        scores = np.empty((count, len(self.labels)), np.float32)
        for row, result in enumerate(results):
            named: object = result.get("category_scores") if isinstance(result, dict) else None
            for column, label in enumerate(self.labels):
                score: object = named.get(label) if isinstance(named, dict) else None
                if isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score):
                    raise SampleFailure("api", f"the answer's result {row} has no score for {label!r}")
                scores[row, column] = score
        return scores


def image_input(image: bytes) -> dict[str, Any]:
    """An encoded image as these services take it."""
    kind = next((name for magic, name in _FORMATS if image.startswith(magic)), None)
    if kind is None:
        raise SampleFailure("decode", "the service takes JPEG, PNG, GIF and WebP")
    url = f"data:image/{kind};base64,{base64.b64encode(image).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}
