"""Formats asked for after a run, beside those of its recipe: they are kept up to date like those."""

from __future__ import annotations

import json

from sluice.errors import RunError
from sluice.run.recipe import PackConfig, Recipe
from sluice.table.commit import write_json
from sluice.table.layout import Layout


def packs_of(recipe: Recipe, layout: Layout) -> tuple[PackConfig, ...]:
    """The formats of the recipe, then those exported since that it does not name."""
    named = {pack.format for pack in recipe.pack}
    return (*recipe.pack, *(pack for pack in exported(layout) if pack.format not in named))


def exported(layout: Layout) -> list[PackConfig]:
    """The formats that were asked for after the run, in the order of their names."""
    if not layout.exports.is_file():
        return []
    try:
        listed = json.loads(layout.exports.read_bytes())["formats"]
        return [PackConfig.model_validate(entry) for entry in listed]
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{layout.exports}: is damaged ({error}); remove it and export again") from error


def keep_exported(layout: Layout, packs: list[PackConfig]) -> None:
    """Commit the formats that were asked for; without any there is no such file."""
    if not packs:
        layout.exports.unlink(missing_ok=True)
        return
    ordered = sorted(packs, key=lambda pack: pack.format)
    write_json(layout.exports, {"formats": [pack.model_dump(mode="json") for pack in ordered]})
