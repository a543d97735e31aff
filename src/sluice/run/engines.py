"""The engine that a recipe names, with what its workers may take and must find."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from sluice.engine import LocalEngine
from sluice.errors import RecipeError
from sluice.run.lock import VERSIONED
from sluice.table.commit import write_bytes
from sluice.table.layout import Layout

if TYPE_CHECKING:
    from sluice.engine.on_ray import Needs, RayEngine
    from sluice.run.recipe import RecipeFile

_TOKEN: Final = "engine"  # in the run folder's state: what workers must see there


def make_engine(file: RecipeFile) -> LocalEngine | RayEngine:
    """The engine that the recipe names."""
    config, limits = file.recipe.engine, file.recipe.limits
    if config.type == "local":
        return local_engine(file)
    from sluice.engine.on_ray import RayEngine

    needs = _needs(file, 0.0, one_node=False)
    return RayEngine(config.address, config.workers, seconds=limits.seconds, memory=limits.memory, needs=needs)


def make_model_engine(file: RecipeFile, *, one_node: bool = False) -> LocalEngine | RayEngine:
    """The engine for work with models: its workers may take longer and hold more.

    `one_node`: all are on one machine of a cluster, for what they share is no mere file: the cache of answers.
    """
    config, models = file.recipe.engine, file.recipe.models
    if config.type == "local":
        return local_model_engine(file)
    from sluice.engine.on_ray import RayEngine

    needs = _needs(file, (config.gpus or 1.0) if _on_gpu(file) else 0.0, one_node=one_node)
    return RayEngine(config.address, config.workers, seconds=models.seconds, memory=models.memory, needs=needs)


def local_engine(file: RecipeFile) -> LocalEngine:
    """Workers on this machine, whatever the recipe names."""
    limits = file.recipe.limits
    return LocalEngine(file.recipe.engine.workers_here, seconds=limits.seconds, memory=limits.memory)


def local_model_engine(file: RecipeFile) -> LocalEngine:
    """Workers on this machine that may have models, whatever the recipe names."""
    models = file.recipe.models
    return LocalEngine(file.recipe.engine.workers_here, seconds=models.seconds, memory=models.memory)


def _needs(file: RecipeFile, gpus: float, *, one_node: bool) -> Needs:
    from sluice.engine.on_ray import Needs

    path = Layout(file.run_folder).state.absolute() / _TOKEN
    if not path.is_file():  # one for all engines of the run: workers may start at any time
        write_bytes(path, secrets.token_hex(8).encode())
    return Needs(gpus, one_node, VERSIONED, tuple(_shared(file)), (str(path), path.read_text()))


def _shared(file: RecipeFile) -> Iterator[str]:
    """The files and folders that the recipe names and that are here: every node must see them as well."""
    named = [*file.recipe.plugins, *(source.path for source in file.recipe.sources)]
    yield from (str(path.absolute()) for path in (file.base / name for name in named) if path.exists())


def _on_gpu(file: RecipeFile) -> bool:
    """Whether a model of the recipe is to run on a GPU; Ray says on which, so a recipe cannot."""
    devices = set(_devices(file.recipe.model_dump(mode="json")))
    for device in devices:
        if device.startswith("cuda:"):
            where = file.where("engine")
            raise RecipeError(f"{where}: Ray gives each worker a GPU of its own: say `device: cuda`, not `{device}`")
    return "cuda" in devices


def _devices(part: Any) -> Iterator[str]:
    """The `device` of every model in this part of the recipe."""
    inner = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    for value in inner:
        yield from _devices(value)
    if isinstance(part, dict) and isinstance(part.get("device"), str):
        yield part["device"]
