"""Functions of a user's own, registered under a name in a plugin file: captioners, detectors."""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from sluice.errors import RecipeError

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Registered(Generic[F]):
    """A function as it was registered."""

    name: str
    version: int
    function: F
    defaults: Mapping[str, Any]

    @property
    def text(self) -> str:
        """The text of the file that the function is in: another text, another function."""
        place = getattr(sys.modules.get(self.function.__module__), "__file__", None)
        try:
            return Path(place).read_text("utf-8") if place else inspect.getsource(self.function)
        except (OSError, UnicodeDecodeError):
            return ""  # typed at a prompt: its version tells

    def with_params(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Its parameters, those of a recipe in place of the defaults; RecipeError for one that it does not take."""
        if unknown := sorted(params.keys() - self.defaults.keys()):
            takes = ", ".join(self.defaults) or "none"
            raise RecipeError(f"{self.name} takes no {', '.join(unknown)} (it takes: {takes})")
        return {**self.defaults, **params}


class Registry(Generic[F]):
    """The functions of one kind, by name."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._found: dict[str, Registered[F]] = {}

    def register(self, name: str, version: int, function: F) -> None:
        """Keep `function`; what it takes beside its first argument are parameters, by keyword."""
        parameters = list(inspect.signature(function).parameters.values())[1:]
        defaults = {one.name: one.default for one in parameters if one.default is not inspect.Parameter.empty}
        self._found[name] = Registered(name, version, function, defaults)

    def get(self, name: str) -> Registered[F]:
        """The function called `name`; an unknown name says which are near."""
        if name not in self._found:
            near = difflib.get_close_matches(name, self._found, n=3, cutoff=0.5)
            known = f"there are: {', '.join(sorted(self._found))}" if self._found else "no plugin registers any"
            hint = f"did you mean {' or '.join(near)}?" if near else known
            raise RecipeError(f"unknown {self._kind} {name!r} ({hint})")
        return self._found[name]
