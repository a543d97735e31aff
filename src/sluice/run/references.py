"""Reference sets to be free of (a benchmark's test images): hashed once, like any source."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from sluice.corpus.against import load_hashes
from sluice.engine import Engine
from sluice.run.corpus_measuring import Reference
from sluice.run.events import Events
from sluice.run.filter_config import AgainstConfig
from sluice.run.filtering import measure_units
from sluice.run.ingest import ingest, unit_count
from sluice.run.measure_plan import measure_plan
from sluice.run.recipe import MeasureConfig, Recipe, RecipeFile
from sluice.table.compute import pc
from sluice.table.layout import Layout
from sluice.table.read import read_table


def load_references(file: RecipeFile, layout: Layout, engine: Engine, events: Events) -> list[Reference]:
    """The hashes of every reference set that the recipe names; images are hashed where that is still to do."""
    duplicates = file.recipe.filter.duplicates
    column = duplicates.near.hash if duplicates.near else "phash"
    references: list[Reference] = []
    for config in duplicates.against:
        if config.hashes is not None:
            hashes, keys = load_hashes(file.base / config.hashes, column)
        else:
            hashes, keys = _hash_images(file, layout, config, column, engine, events)
        references.append(Reference(config.name, hashes, keys, config.distance))
    return references


def _hash_images(
    file: RecipeFile, layout: Layout, config: AgainstConfig, column: str, engine: Engine, events: Events
) -> tuple[np.ndarray, list[str]]:
    inner = Layout(layout.state / "against" / config.name)
    recipe = Recipe.model_validate({"name": "reference", "sources": [config.source], "unit": file.recipe.unit})
    ingest(RecipeFile(recipe, file.path, {}, ""), inner)
    measures = (MeasureConfig(name=f"image.{column}"),)
    plan = measure_plan(measures, file)
    (identity,) = plan.load().identities()
    units = unit_count(inner)
    measure_units(inner, plan, (identity,), range(units), engine, events)
    hashes: list[pa.ChunkedArray] = []
    keys: list[str] = []
    for unit in range(units):
        table = read_table(inner.measured(identity, unit))
        table = table.filter(pc.is_valid(table.column(column)))
        names = dict(zip(*(read_table(inner.samples(unit)).column(c).to_pylist() for c in ("id", "key")), strict=True))
        keys += [names[identity] for identity in table.column("id").to_pylist()]
        hashes.append(table.column(column))
    flat = np.concatenate([part.to_numpy() for part in hashes]) if hashes else np.zeros(0, np.uint64)
    return flat, keys
