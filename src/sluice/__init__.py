"""Sluice: a data engine for vision-language models. Measure once, decide many times, never lose a reason.

    import sluice

    run = sluice.run("recipe.yaml")            # or a dict; resumes where it was
    run.samples("kept")                        # an Arrow table
    print(run.why("beach.jpg"))                # the whole story of a sample
    print(run.what_if(["blurry: sharpness < 150"]))
    for batch in sluice.Loader("runs/demo", batch=256):    # packed samples, in an order that resumes exactly
        ...

Everything here is imported when it is first used: `import sluice` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sluice.errors import RecipeError, RunError, SampleFailure, SluiceError, SourceError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sluice.load.loader import Loader
    from sluice.measures.base import data, digest, gray, header, measure, rgb, sample, text, thumbnail
    from sluice.run.events import Listener
    from sluice.run.ledger import Run

    def run(
        recipe: str | Path | Mapping[str, Any],
        *,
        only: str | None = None,
        base: str | Path = ".",
        listener: Listener | None = None,
    ) -> Run:
        """The room `sluice.run`, which can be called; a type checker is told that it is a function."""
        ...


__all__ = [
    "Loader",
    "RecipeError",
    "Run",
    "RunError",
    "SampleFailure",
    "SluiceError",
    "SourceError",
    "data",
    "digest",
    "gray",
    "header",
    "measure",
    "rgb",
    "run",
    "sample",
    "text",
    "thumbnail",
]

_VIEWS = ("data", "digest", "gray", "header", "rgb", "sample", "text", "thumbnail")
_HOMES = dict.fromkeys(("measure", *_VIEWS), "sluice.measures.base") | {
    "Loader": "sluice.load.loader",
    "Run": "sluice.run.ledger",
}


def __getattr__(name: str) -> Any:
    import importlib

    if name == "run":
        return importlib.import_module("sluice.run")  # a room that can be called
    if name not in _HOMES:
        raise AttributeError(f"module 'sluice' has no attribute {name!r}")

    return getattr(importlib.import_module(_HOMES[name]), name)
