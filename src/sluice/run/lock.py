"""`recipe.lock.yaml`: the recipe as it ran, defaults filled in, with versions."""

from __future__ import annotations

from importlib.metadata import version
from typing import Final

import yaml

from sluice.run.measure_plan import MeasurePlan
from sluice.run.recipe import RecipeFile
from sluice.run.scores import load_scores
from sluice.table.commit import write_bytes
from sluice.table.layout import Layout

VERSIONED: Final[tuple[str, ...]] = ("sluice", "numpy", "pyarrow", "duckdb", "pillow", "simplejpeg")


def write_lock(layout: Layout, file: RecipeFile, plan: MeasurePlan, vectors: str = "") -> None:
    """Write the lock file; unchanged where it says the same already. `vectors`: hash of the files that hold them."""
    identities = plan.load().identities()
    scores = {
        score.name: {
            "model": score.identity.name,
            "revision": score.identity.revision,
            "hash": score.identity.hash,
            "columns": {name: str(kind) for name, kind in score.columns.items()},
        }
        for score in load_scores(file)
    }
    document = {
        "versions": {name: version(name) for name in VERSIONED},
        "measures": {
            identity: {
                "version": measure.version,
                "params": dict(measure.params),
                "model": measure.model,
                "columns": {name: str(kind) for name, kind in measure.writes.items()},
            }
            for identity, measure in identities.items()
        },
        **({"scores": scores} if scores else {}),
        **({"vectors": vectors} if vectors else {}),
        "decoding": plan.load().decoding.name,
        "recipe_file": str(file.path),
        "recipe": file.recipe.model_dump(mode="json"),
    }
    text = "# The recipe as it ran, defaults filled in. Written by `sluice run`.\n"
    data = (text + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100)).encode()
    if not layout.recipe_lock.is_file() or layout.recipe_lock.read_bytes() != data:
        write_bytes(layout.recipe_lock, data)
