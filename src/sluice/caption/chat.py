"""Captions from a service that speaks as OpenAI's `/v1/chat/completions` does."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from sluice.caption.base import CaptionerIdentity, CaptionFailure, CaptionOutcome, CaptionRequest
from sluice.caption.cache import Amount
from sluice.caption.chat_service import ChatService, Question
from sluice.caption.config import ChatConfig
from sluice.caption.gaps import Gaps, MissingFieldError
from sluice.caption.in_order import in_order
from sluice.caption.picture import data_url, picture_name
from sluice.caption.prompts import PROMPTS, SCHEMAS, language_name
from sluice.caption.reading import read_caption
from sluice.errors import SampleFailure
from sluice.table.ids import fingerprint

_VERSION: Final = "chat/1"  # of how an image is prepared, asked about and read
_SAID: Final = frozenset(
    {"url", "model", "revision", "temperature", "seed", "max_tokens", "extra", "max_side", "response_format", "kind"}
)


class ChatCaptioner:
    """A captioner behind an address."""

    def __init__(self, config: ChatConfig, service: ChatService) -> None:
        self._config = config
        self._service = service
        prompt = config.prompt or PROMPTS[config.kind]
        self._prompt = Gaps(prompt.text)
        self._system = None if prompt.system is None else Gaps(prompt.system)
        self._format = _response_format(config)
        said = json.dumps(config.model_dump(mode="json", include=set(_SAID)), sort_keys=True)
        self.identity: Final = CaptionerIdentity(
            name=config.name,
            model=config.model,
            revision=config.revision,
            kind=config.kind,
            prompt=prompt.name,
            prompt_version=prompt.version,
            temperature=config.temperature,
            seed=config.seed,
            fingerprint=fingerprint(_VERSION, said, prompt.model_dump_json()),
        )
        self.notes: tuple[str, ...] = ()

    @property
    def stopped(self) -> str | None:
        """What is left of what, once the budget is used up."""
        return self._service.stopped

    @property
    def spent(self) -> Amount:
        """What its budget has borne so far, in all processes and runs."""
        return self._service.spent

    def caption(self, requests: Iterable[CaptionRequest]) -> Iterator[CaptionOutcome]:
        """An outcome for each request, in order."""
        service = self._service
        service.interrupted.clear()
        return in_order(requests, self._one, self._config.limits.concurrency, service.interrupted.set)

    def close(self) -> None:
        """Nothing is held; the cache is its opener's to close."""

    def _one(self, request: CaptionRequest) -> CaptionOutcome:
        try:
            question = self._question(request)
        except MissingFieldError as error:
            missing = f"the prompt needs the field {error}, which this sample lacks"
            return CaptionOutcome(request.id, failure=CaptionFailure("model", "field", missing))
        except SampleFailure as failure:
            return CaptionOutcome(request.id, failure=CaptionFailure(failure.failure_class, "decode", failure.message))
        kind, language = self._config.kind, request.language
        reply = self._service.ask(question, lambda text: read_caption(text, kind, language))
        captions = () if reply.value is None else (reply.value,)
        return CaptionOutcome(request.id, captions, reply.failure, reply.spent, reply.cached)

    def _question(self, request: CaptionRequest) -> Question:
        name = picture_name(request, self._config.max_side)
        if name is None:
            raise SampleFailure("decode", "there is no image to describe")
        fields = {**request.fields, "language": request.language and language_name(request.language)}
        return Question(
            self._prompt.filled(fields),
            self._system and self._system.filled(fields),
            name,
            lambda: data_url(request, self._config.max_side),
            self._format,
        )


def _response_format(config: ChatConfig) -> Mapping[str, Any] | None:
    schema = SCHEMAS.get(config.kind)
    if config.response_format == "none" or schema is None:
        return None
    if config.response_format == "json_object":
        return {"type": "json_object"}
    return {"type": "json_schema", "json_schema": {"name": config.kind, "strict": True, "schema": schema}}
