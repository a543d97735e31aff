"""Captions from models of `transformers`: BLIP, BLIP-2, Florence-2, Qwen-VL, LLaVA and others, by one adapter.

A model is asked in the way that it takes: with a chat template, by Florence-2's task tokens, or (BLIP) with the
image alone. What it said is cached as a service's answers are, so a run that was killed generates nothing twice.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from sluice.caption.base import (
    Box,
    Caption,
    CaptionerIdentity,
    CaptionFailure,
    CaptionOutcome,
    CaptionRequest,
    Spent,
)
from sluice.caption.batches import Batches, OutOfMemoryError
from sluice.caption.cache import Answer, AnswerCache
from sluice.caption.config import TransformersConfig
from sluice.caption.gaps import Gaps, MissingFieldError
from sluice.caption.image_text_model import ImageTextModel
from sluice.caption.picture import picture_name, pixels_of
from sluice.caption.prompts import language_name
from sluice.caption.reading import UnreadableError, read_caption
from sluice.errors import SampleFailure, SluiceError
from sluice.media.header import read_header
from sluice.media.limits import Limits
from sluice.models.offline import Say
from sluice.models.transformers_model import find_on_hub, first_line
from sluice.table.ids import fingerprint

_VERSION: Final = "image_text/1"
_AHEAD: Final = 64  # requests looked up in the cache at a time


def load_image_text(config: TransformersConfig, cache: AnswerCache, *, again: bool, say: Say) -> ImageTextCaptioner:
    """The model that `config` names, from its folder or the hub's copy on this machine."""
    if config.path is not None:
        folder, revision = Path(config.path), "local"
        if not folder.is_dir():
            raise SluiceError(f"{folder}: there is no such folder")
    else:
        folder, revision = find_on_hub(config.model or "", config.revision, config.download, say)
    return ImageTextCaptioner(config, folder, revision, cache, again=again)


@dataclass(frozen=True)
class _Job:
    """A request that is to be generated for."""

    request: CaptionRequest
    key: str
    prompt: str | None

    @cached_property
    def size(self) -> float:
        """Pixels of the image, from its header; 0 where that cannot be read yet."""
        if self.request.image is None:
            return 0.0
        try:
            header = read_header(self.request.image, Limits())
        except SampleFailure:
            return 0.0
        return float(header.width * header.height)


class ImageTextCaptioner:
    """A model on this machine, batch by batch."""

    def __init__(
        self, config: TransformersConfig, folder: Path, revision: str, cache: AnswerCache, *, again: bool = False
    ) -> None:
        self._config = config
        self._cache = cache
        self._again = again
        self._model: ImageTextModel | None = ImageTextModel(config, folder)
        prompt = self._model.prompt()
        self._prompt = None if prompt is None else Gaps(prompt.text)
        self._batches = Batches[_Job, CaptionOutcome](
            self._described, config.batch, weigh=lambda job: job.size, failed=_failed
        )
        said = config.model_dump(include={"kind", "temperature", "seed", "beams", "max_tokens", "max_side", "dtype"})
        asked = "" if prompt is None else prompt.model_dump_json()
        self.identity: Final = CaptionerIdentity(
            name=config.name,
            model=config.model or folder.resolve().name,
            revision=f"{revision} {self._model.hash}",
            kind=config.kind,
            prompt="none" if prompt is None else prompt.name,
            prompt_version="-" if prompt is None else prompt.version,
            temperature=config.temperature,
            seed=config.seed,
            fingerprint=fingerprint(_VERSION, self._model.hash, json.dumps(said, sort_keys=True), asked),
        )
        self.stopped: str | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """Whether batches had to be halved."""
        if not self._batches.halvings:
            return ()
        size = f"from {self._config.batch} to {self._batches.size}"
        return (f"memory ran out {self._batches.halvings} times: batches went down {size}; write batch: to begin so",)

    def caption(self, requests: Iterable[CaptionRequest]) -> Iterator[CaptionOutcome]:
        """An outcome for each request, in order."""
        waiting = iter(requests)
        while some := list(islice(waiting, max(_AHEAD, 16 * self._batches.size))):
            known = [self._known(request) for request in some]
            made = self._batches(one for one in known if isinstance(one, _Job))
            for one in known:
                yield next(made) if isinstance(one, _Job) else one

    def close(self) -> None:
        """Let the model's memory go."""
        self._model = None

    def _known(self, request: CaptionRequest) -> _Job | CaptionOutcome:
        """What is cached, or what there is to do."""
        try:
            fields = {**request.fields, "language": request.language and language_name(request.language)}
            prompt = None if self._prompt is None else self._prompt.filled(fields)
            name = picture_name(request, self._config.max_side)
        except MissingFieldError as error:
            missing = f"the prompt needs the field {error}, which this sample lacks"
            return CaptionOutcome(request.id, failure=CaptionFailure("model", "field", missing))
        except SampleFailure as failure:
            return _failed_request(request, failure)
        if name is None:
            return _failed_request(request, SampleFailure("decode", "there is no image to describe"))
        key = hashlib.sha256(json.dumps([self.identity.fingerprint, name, prompt]).encode()).hexdigest()
        found = self._cache.find(key)
        if found is None or (self._again and not found.good):
            return _Job(request, key, prompt)
        return self._outcome(request, found, cached=True)

    def _described(self, jobs: list[_Job]) -> list[CaptionOutcome]:
        made: dict[int, CaptionOutcome] = {}
        pixels: dict[int, npt.NDArray[np.uint8]] = {}
        for place, job in enumerate(jobs):
            try:
                pixels[place] = pixels_of(job.request, self._config.max_side)
            except SampleFailure as failure:
                made[place] = _failed_request(job.request, failure)
        if pixels and self._model is not None:
            began = time.monotonic()
            said = self._model.say(list(pixels.values()), [jobs[place].prompt for place in pixels])
            seconds = (time.monotonic() - began) / len(pixels)
            for place, one in zip(pixels, said, strict=True):
                text = json.dumps(one.fields, ensure_ascii=False)
                answer = Answer(text, "kind" not in one.fields, 1, one.tokens_in, one.tokens_out, None, seconds)
                self._cache.store(jobs[place].key, answer)
                made[place] = self._outcome(jobs[place].request, answer)
        return [made[place] for place in range(len(jobs))]

    def _outcome(self, request: CaptionRequest, answer: Answer, cached: bool = False) -> CaptionOutcome:
        fields = json.loads(answer.answer)
        spent = Spent(answer.attempts, answer.tokens_in, answer.tokens_out, answer.cost, answer.seconds)
        if "kind" in fields:
            failure = CaptionFailure("model", fields["kind"], fields["message"])
            return CaptionOutcome(request.id, failure=failure, spent=spent, cached=cached)
        if "boxes" in fields:
            boxes = tuple(Box(label, tuple(box)) for label, box in fields["boxes"])
            caption = Caption(", ".join(box.label for box in boxes), "grounded", boxes, language=request.language)
            return CaptionOutcome(request.id, (caption,), spent=spent, cached=cached)
        try:
            caption = read_caption(fields["text"], self._config.kind, request.language)
        except UnreadableError as error:
            failure = CaptionFailure("model", error.kind, error.message)
            return CaptionOutcome(request.id, failure=failure, spent=spent, cached=cached)
        return CaptionOutcome(request.id, (caption,), spent=spent, cached=cached)


def _failed(job: _Job, error: Exception) -> CaptionOutcome:
    if isinstance(error, SampleFailure):
        return _failed_request(job.request, error)
    if isinstance(error, OutOfMemoryError):
        failure = CaptionFailure("model", "memory", f"it does not fit into memory even alone: {error}")
    else:
        failure = CaptionFailure("model", "model", first_line(error))
    return CaptionOutcome(job.request.id, failure=failure)


def _failed_request(request: CaptionRequest, failure: SampleFailure) -> CaptionOutcome:
    return CaptionOutcome(request.id, failure=CaptionFailure(failure.failure_class, "decode", failure.message))
