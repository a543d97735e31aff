"""Captioners of yours: a function over a batch of requests, registered under a name.

    @captioner("my.blip", version=1)
    def describe(requests, *, beams=3):
        return [model.describe(request.pixels(), beams) for request in requests]

It gives a text or a `Caption` for each request, or a `SampleFailure` where there is none. What it raises costs the
sample that it is raised for: the batch is given again, one at a time.
"""

from __future__ import annotations

import difflib
import inspect
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

from sluice.caption.base import Caption, CaptionerIdentity, CaptionFailure, CaptionOutcome, CaptionRequest
from sluice.caption.config import PluginConfig
from sluice.errors import RecipeError, SampleFailure
from sluice.table.ids import fingerprint

Given: TypeAlias = "str | Caption | SampleFailure | None"
CaptionFunction: TypeAlias = Callable[..., Sequence[Given]]

F = TypeVar("F", bound=CaptionFunction)


@dataclass(frozen=True)
class Registered:
    """A captioner as it was registered."""

    name: str
    version: int
    function: CaptionFunction
    defaults: Mapping[str, Any]


_REGISTRY: Final[dict[str, Registered]] = {}


def captioner(name: str, *, version: int) -> Callable[[F], F]:
    """Register the decorated function as the captioner `name`; its keyword arguments are the parameters.

    >>> @captioner("example.alt", version=1)
    ... def from_alt(requests, *, prefix=""):
    ...     return [prefix + str(request.fields["alt"]) for request in requests]
    >>> registered_captioner("example.alt").defaults
    {'prefix': ''}
    """

    def register(function: F) -> F:
        parameters = list(inspect.signature(function).parameters.values())[1:]
        defaults = {one.name: one.default for one in parameters if one.default is not inspect.Parameter.empty}
        _REGISTRY[name] = Registered(name, version, function, defaults)
        return function

    return register


def registered_captioner(name: str) -> Registered:
    """The captioner called `name`; an unknown name says which are near."""
    if name not in _REGISTRY:
        near = difflib.get_close_matches(name, _REGISTRY, n=3, cutoff=0.5)
        known = f"there are: {', '.join(sorted(_REGISTRY))}" if _REGISTRY else "no plugin registers any"
        hint = f"did you mean {' or '.join(near)}?" if near else known
        raise RecipeError(f"unknown captioner function {name!r} ({hint})")
    return _REGISTRY[name]


class PluginCaptioner:
    """Runs a registered function, batch by batch."""

    def __init__(self, config: PluginConfig) -> None:
        found = registered_captioner(config.function)
        if unknown := sorted(config.params.keys() - found.defaults.keys()):
            takes = ", ".join(found.defaults) or "none"
            raise RecipeError(
                f"captioner {config.name}: {config.function} takes no {', '.join(unknown)} (it takes: {takes})"
            )
        self._function = found.function
        self._params = {**found.defaults, **config.params}
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
            fingerprint=fingerprint("plugin/1", config.function, said, _code(found.function)),
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


def _code(function: CaptionFunction) -> str:
    """The text of the file that the function is in: another text, another captioner."""
    place = getattr(sys.modules.get(function.__module__), "__file__", None)
    try:
        return Path(place).read_text("utf-8") if place else inspect.getsource(function)
    except (OSError, UnicodeDecodeError):
        return ""  # typed at a prompt: its version tells
