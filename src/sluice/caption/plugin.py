"""Captioners of yours: a function over a batch of requests, registered under a name.

    @captioner("my.blip", version=1)
    def describe(requests, *, beams=3):
        return [model.describe(request.pixels(), beams) for request in requests]

It gives a text or a `Caption` for each request, or a `SampleFailure` where there is none. What it raises costs the
sample that it is raised for: the batch is given again, one at a time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, TypeAlias, TypeVar

from sluice.caption.base import Caption, CaptionerIdentity, CaptionFailure, CaptionOutcome, CaptionRequest
from sluice.caption.config import PluginConfig
from sluice.errors import RecipeError, SampleFailure
from sluice.models.registered import Registered, Registry
from sluice.table.ids import fingerprint

Given: TypeAlias = "str | Caption | SampleFailure | None"
CaptionFunction: TypeAlias = Callable[..., Sequence[Given]]

F = TypeVar("F", bound=CaptionFunction)


_REGISTRY: Final = Registry[CaptionFunction]("captioner function")


def captioner(name: str, *, version: int) -> Callable[[F], F]:
    """Register the decorated function as the captioner `name`; its keyword arguments are the parameters.

    >>> @captioner("example.alt", version=1)
    ... def from_alt(requests, *, prefix=""):
    ...     return [prefix + str(request.fields["alt"]) for request in requests]
    >>> registered_captioner("example.alt").defaults
    {'prefix': ''}
    """

    def register(function: F) -> F:
        _REGISTRY.register(name, version, function)
        return function

    return register


def registered_captioner(name: str) -> Registered[CaptionFunction]:
    """The captioner called `name`; an unknown name says which are near."""
    return _REGISTRY.get(name)


class PluginCaptioner:
    """Runs a registered function, batch by batch."""

    def __init__(self, config: PluginConfig) -> None:
        found = registered_captioner(config.function)
        self._function = found.function
        try:
            self._params = found.with_params(config.params)
        except RecipeError as error:
            raise RecipeError(f"captioner {config.name}: {error}") from None
        self._batch = config.batch
        said = json.dumps([found.version, self._params, config.kind], sort_keys=True, default=repr)
        self.identity: Final = CaptionerIdentity(
            name=config.name,
            model=config.function,
            revision=str(found.version),
            kind=config.kind,
            prompt=config.function,
            prompt_version=str(found.version),
            temperature=None,
            seed=None,
            fingerprint=fingerprint("plugin/1", config.function, said, found.text),
        )
        self.stopped: str | None = None
        self.notes: tuple[str, ...] = ()

    def caption(self, requests: Iterable[CaptionRequest]) -> Iterator[CaptionOutcome]:
        """An outcome for each request, in order."""
        waiting = iter(requests)
        while batch := list(islice(waiting, self._batch)):
            yield from self._described(batch)

    def close(self) -> None:
        """Nothing of ours is held."""

    def _described(self, batch: list[CaptionRequest]) -> list[CaptionOutcome]:
        try:
            given = list(self._function(batch, **self._params))
        except Exception as error:  # whatever a user's function raises
            if len(batch) > 1:
                return [outcome for request in batch for outcome in self._described([request])]
            return [CaptionOutcome(batch[0].id, failure=_failure(error))]
        if len(given) != len(batch):
            wrong = f"{self.identity.model} gave {len(given)} captions for {len(batch)} images"
            raise RecipeError(f"captioner {self.identity.name}: {wrong}")
        return [self._outcome(request, one) for request, one in zip(batch, given, strict=True)]

    def _outcome(self, request: CaptionRequest, given: Given) -> CaptionOutcome:
        if isinstance(given, SampleFailure):
            return CaptionOutcome(request.id, failure=_failure(given))
        if isinstance(given, str):
            given = Caption(given.strip(), self.identity.kind, language=request.language)
        if given is None or not (given.text or given.kind == "ocr"):
            return CaptionOutcome(request.id, failure=CaptionFailure("model", "empty", "the plugin gave no text"))
        return CaptionOutcome(request.id, (given,))


def _failure(error: Exception) -> CaptionFailure:
    if isinstance(error, SampleFailure):
        return CaptionFailure(error.failure_class, "model", error.message)
    return CaptionFailure("model", "model", f"{type(error).__name__}: {error}")
