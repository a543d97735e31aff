"""Augmentation as it is declared: a list of steps, in Python, in a file, in a recipe, or recorded in a pack."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from sluice.errors import RecipeError, RunError
from sluice.load.augment.example import Example
from sluice.load.augment.steps import DRAWS, Step
from sluice.load.philox import uniform
from sluice.pack.manifest import AUGMENT_FILE

if TYPE_CHECKING:
    from sluice.load.reading import Sample
    from sluice.load.store import Store

TRAIN: Final = "train"
_STEPS: Final = TypeAdapter(tuple[Step, ...])


class Augment(BaseModel):
    """Steps in their order, and the splits that they augment; in others only those stay that draw nothing.

    >>> from sluice.load.augment.steps import Flip, Resize
    >>> steps = Augment(steps=(Resize(side=64), Flip()))
    >>> [step.type for step in steps.of_split("train").steps], [step.type for step in steps.of_split("val").steps]
    (['resize', 'flip'], ['resize'])
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: tuple[Step, ...] = Field(description="what is done, in order")
    splits: tuple[str, ...] = Field(default=(TRAIN,), description="splits that are augmented")

    @classmethod
    def of(cls, steps: Sequence[Any], where: str = "augment") -> Augment:
        """The steps of a list of mappings (or of steps); RecipeError names `where` and the field that is wrong."""
        try:
            return cls(steps=_STEPS.validate_python([_plain(step) for step in steps]))
        except ValidationError as error:
            raise RecipeError("\n".join(_told(one, where) for one in error.errors())) from None

    @classmethod
    def load(cls, path: Path | str) -> Augment:
        """The steps in a YAML or JSON file: a list, or the list under `augment` of a recipe."""
        try:
            return cls.read(Path(path).read_bytes(), str(path))
        except OSError as error:
            raise RecipeError(f"{path}: cannot be read: {error}") from error

    @classmethod
    def read(cls, data: bytes, where: str) -> Augment:
        """The steps in the bytes of such a file."""
        try:
            value = yaml.safe_load(data.decode())
        except (UnicodeDecodeError, yaml.YAMLError) as error:
            raise RecipeError(f"{where}: cannot be read as YAML or JSON: {error}") from error
        value = value.get("augment") if isinstance(value, Mapping) else value
        if not isinstance(value, list):
            raise RecipeError(f"{where}: wants a list of steps (`- {{type: flip}}`), alone or under `augment`")
        return cls.of(value, where)

    def on(self, *splits: str) -> Augment:
        """The same steps for these splits: how another than `train` is augmented, by its name."""
        return Augment(steps=self.steps, splits=splits)

    def of_split(self, split: str) -> Augment:
        """What is done to `split`: all steps, or those that draw nothing."""
        return self if split in self.splits else Augment(steps=tuple(step for step in self.steps if not step.drawn))

    def __call__(self, example: Example, key: int) -> Example:
        """The example after all steps; equal keys, equal bytes. Each step has numbers of its own under `key`."""
        drawn = uniform(key, DRAWS * len(self.steps)).reshape(-1, DRAWS)
        for step, draws in zip(self.steps, drawn, strict=True):
            example = step.apply(example, draws)
        return example


@dataclass(frozen=True)
class Recorded:
    """What a recipe declares, as its pack holds it."""

    steps: tuple[Step, ...]

    def to_json(self) -> bytes:
        """The bytes of `augment.json`: all fields are written, so a default that changes later changes nothing."""
        steps = [step.model_dump(mode="json") for step in self.steps]
        return json.dumps({"version": 1, "augment": steps}, indent=1).encode() + b"\n"

    @staticmethod
    def in_pack(store: Store) -> Augment:
        """The steps that a pack holds; RunError where it holds none."""
        data = store.small(AUGMENT_FILE)
        if data is None:
            raise RunError(
                f"{store.where} has no {AUGMENT_FILE}, for its recipe declares no `augment`: declare it and run again, "
                "or give the loader the steps (Augment.load)"
            )
        return Augment.read(data, f"{store.where}/{AUGMENT_FILE}")


@dataclass(frozen=True)
class Augmented:
    """A decoder whose examples are augmented by a key of theirs; without a key they are only prepared."""

    decode: Any  # Callable[[Sample], Example]; what it gives is checked, for any decoder may be handed in
    augment: Augment

    def __call__(self, sample: Sample) -> Example:
        """The example after the steps that draw nothing."""
        return self.augment.of_split("")(self._example(sample), 0)

    def seeded(self, sample: Sample, key: int) -> Example:
        """The example after all steps."""
        return self.augment(self._example(sample), key)

    def _example(self, sample: Sample) -> Example:
        example = self.decode(sample)
        if not isinstance(example, Example):
            raise RecipeError(
                f"augmentation moves examples, and decode gave a {type(example).__name__}: give the loader "
                "decode=Examples(...) of sluice.load.augment, a function that returns an Example, or none"
            )
        return example


def _plain(step: Any) -> Any:
    return step.model_dump() if isinstance(step, BaseModel) else step


def _told(problem: Any, where: str) -> str:
    place = ".".join(str(part) for part in problem["loc"] if not _is_tag(part, problem["loc"]))
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        message = "there is no such field"
    elif problem["type"] == "missing":
        message = "this field is missing"
    return f"{where}: step {place}: {message}"


def _is_tag(part: int | str, place: tuple[int | str, ...]) -> bool:
    """Whether a part of an error's place is the type of the step, which pydantic puts after its number."""
    return len(place) > 1 and part == place[1] and isinstance(part, str)
