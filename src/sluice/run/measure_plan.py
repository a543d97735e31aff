"""Which measures a run runs: built in, from installed packages, from the recipe's plugin files; with what settings."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from sluice.errors import RecipeError, SluiceError
from sluice.measures.base import Measure, all_registered, registered, stamp
from sluice.measures.views import DecodePlan, try_out
from sluice.media.limits import Limits
from sluice.table.ids import fingerprint

if TYPE_CHECKING:  # pydantic and what it makes of a recipe take a worker 0.2 s and 10 MB, and it reads none
    from sluice.run.recipe import RecipeFile
    from sluice.run.yaml_lines import Place

BUILT_IN: Final = (
    "sluice.measures.image",
    "sluice.measures.image_hash",
    "sluice.measures.text",
    "sluice.measures.generated",
    "sluice.measures.claims",
    "sluice.measures.pii",
    "sluice.measures.language",
    "sluice.measures.rights",
    "sluice.measures.optout",
)
ON_REQUEST: Final = (  # they need what only a recipe can give, and run where it names them
    "sluice.measures.word_list",
    "sluice.measures.tokens",
)
DEFAULTS: Final = "defaults"  # in a recipe's list: all that would run without one
ENTRY_POINTS: Final = "sluice.measures"


class PluginError(RecipeError):
    """A plugin file that cannot be used; `problem` goes on after its name."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path} {problem}")
        self.problem = problem


class MeasureChoice(Protocol):
    """A measure as a recipe asks for it."""

    @property
    def name(self) -> str: ...
    @property
    def params(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True)
class MeasurePlan:
    """What a run measures, by name and parameters: picklable, the same in every process."""

    measures: tuple[tuple[str, tuple[tuple[str, Any], ...]], ...]
    plugins: tuple[str, ...]
    limits: Limits

    def load(self) -> LoadedPlan:
        """Import what registers the measures, and bind their parameters."""
        load_plugins(self.plugins)
        return LoadedPlan(tuple(registered(name).bind(dict(params)) for name, params in self.measures), self.limits)


@dataclass(frozen=True)
class LoadedPlan:
    """The measures of a run, with the identity that each has in this company."""

    measures: tuple[Measure, ...]
    limits: Limits
    batch: int | None = None  # rows that a measure gets at a time, where a model wants its own number

    @property
    def decoding(self) -> DecodePlan:
        """How a pass decodes: by all measures of the recipe, not only those still missing."""
        return DecodePlan.of(self.measures)

    def identities(self) -> dict[str, Measure]:
        """The measures by `name@fingerprint`."""
        limits = self.limits
        refused = f"{limits.pixels} {limits.bytes} {limits.ratio:g} {limits.truncated}"
        return {measure.identity(self.decoding.name, refused): measure for measure in self.measures}


def measure_plan(choices: Sequence[MeasureChoice] | None, file: RecipeFile) -> MeasurePlan:
    """The plan for the `measures` of the recipe `file`; None: all built-in, installed and plugged-in ones."""
    paths = tuple(str((file.base / plugin).absolute()) for plugin in file.recipe.plugins)
    homes = _homes(file, paths)
    chosen: list[Measure] = []
    places: list[Place] = []
    named = {choice.name for choice in choices or ()}
    if choices is None or DEFAULTS in named:  # one that the list names beside them runs as it says there
        default = [m for m in all_registered().values() if m.function.__module__ in homes and m.name not in named]
        chosen += default
        places += [homes[measure.function.__module__] for measure in default]
    asked = [(measure.name, ()) for measure in chosen]
    for number, choice in enumerate(choices or ()):
        if choice.name != DEFAULTS:
            measure = _bound(file, number, choice)
            chosen.append(measure)
            places.append(("measures", number))
            asked.append((choice.name, tuple(sorted((name, measure.params[name]) for name in choice.params))))
    owners: dict[str, str] = {}
    for measure, place in zip(chosen, places, strict=True):
        for column in measure.writes:
            if column in owners:
                both = f"measures {owners[column]} and {measure.name} both write the column {column!r}"
                raise RecipeError(f"{file.where(*place)}: {both}")
            owners[column] = measure.name
    return MeasurePlan(tuple(asked), paths, file.recipe.limits.limits())


def _homes(file: RecipeFile, paths: tuple[str, ...]) -> dict[str, Place]:
    """The modules that hold measures, each with the place of the recipe that names it."""
    homes: dict[str, Place] = dict.fromkeys(load_plugins(()), ("measures",))
    for number, path in enumerate(paths):
        place = ("plugins", number)
        try:
            homes[_load_file(path)] = place
        except PluginError as error:
            shown = file.recipe.plugins[number]
            raise RecipeError(f"{file.where(*place)}: {shown} {error.problem}") from error
    return homes


def _bound(file: RecipeFile, number: int, choice: MeasureChoice) -> Measure:
    """The measure that entry `number` of the recipe's `measures` asks for."""
    place: Place = ("measures", number)
    try:
        measure = registered(choice.name)
        place = (*place, *sorted(set(choice.params) - set(measure.params))[:1])
        if missing := [name for name in measure.files if measure.params[name] is None and name not in choice.params]:
            raise RecipeError(f"{measure.name} needs `{missing[0]}`: the path of a file, relative to the recipe")
        files = {name: str((file.base / path).absolute()) for name, path in _paths(measure, choice)}
        bound = measure.bind({**choice.params, **files})
        bound.identity("", "")  # reads the files: one that is not there is said before anything runs
        if measure.function.__module__ in ON_REQUEST:
            try_out(bound)  # and one that is not what it should be
        return bound
    except SluiceError as error:
        raise RecipeError(f"{file.where(*place)}: {error}") from None


def _paths(measure: Measure, choice: MeasureChoice) -> Iterator[tuple[str, str]]:
    """The parameters that name files, as the recipe has them."""
    for name in measure.files:
        if isinstance(path := choice.params.get(name), str):
            yield name, path


@cache
def load_plugins(paths: tuple[str, ...]) -> frozenset[str]:
    """Import the built-in measures, those of installed packages, and the plugin files `paths`; their modules."""
    for module in (*BUILT_IN, *ON_REQUEST):
        importlib.import_module(module)
    installed = {point.load().__module__ for point in entry_points(group=ENTRY_POINTS)}
    return frozenset({*BUILT_IN, *installed, *map(_load_file, paths)})


@cache
def _load_file(path: str) -> str:
    """Import the plugin file `path`; the name of its module, which tells apart what it holds from what it held."""
    try:
        code = fingerprint(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise PluginError(path, f"cannot be read as a Python file: {error}") from None
    name = f"sluice_plugin_{Path(path).stem}_{code}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginError(path, "is not a Python file; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever a user's file raises, it is the user's file to mend
        del sys.modules[name]
        raise PluginError(path, f"does not import: {type(error).__name__}: {error}") from error
    stamp(name, code)
    return name
