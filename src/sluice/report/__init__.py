"""The report: one HTML file that shows what a run did, opens offline, and stays below 6 MB at any corpus size.

    build(layout, recipe, [("blurry", "sharpness < 20", "rejected")])

`tables` and `histograms` reduce the run's tables to counts, `examples` and `clusters` choose what to look at,
`thumbs` draws it, `gather` holds it all as values, `sections` and `page` write it down.

`build` is imported when it is asked for: the worker that draws needs `thumbs` alone, and starts in half the time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sluice.report.facts import RecipePart
    from sluice.report.write import build

__all__ = ["RecipePart", "build"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'sluice.report' has no attribute {name!r}")
    import importlib

    home = "sluice.report.write" if name == "build" else "sluice.report.facts"
    return getattr(importlib.import_module(home), name)
