"""Recipes for tests: small units and small shards, so that a small corpus has many of both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

QUICK_MEASURES = (
    "image.header",
    "image.quality",
    "image.phash",
    "image.content_hash",
    "text.basic",
    "text.content_hash",
)
"""All that the rules below read; without the language model, which takes a worker half a second to load."""

RULES = {"tiny": "min_side < 64", "soft": "sharpness < 20", "short": "characters < 5"}


def recipe_values(source: Path | str, **changes: Any) -> dict[str, Any]:
    """The fields of a recipe over the folder `source`; `changes` replace top fields."""
    return {
        "name": "small",
        "run": "run",
        "seed": 1,
        "sources": [{"type": "folder", "path": str(source), "name": "photos"}],
        "unit": 12,
        "measures": list(QUICK_MEASURES),
        "filter": {"reject": dict(RULES), "duplicates": {"boilerplate": 2}},
        "split": {"train": 0.7, "val": 0.3},
        "pack": [{"format": "webdataset", "shard_samples": 8}, {"format": "parquet", "shard_samples": 8}],
        "engine": {"workers": 1},
        **changes,
    }


def write_recipe(path: Path, source: Path | str, **changes: Any) -> Path:
    """Such a recipe as the file `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(recipe_values(source, **changes), sort_keys=False))
    return path
