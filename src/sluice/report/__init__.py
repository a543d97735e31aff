"""The report: one HTML file that shows what a run did, opens offline, and stays below 6 MB at any corpus size.

    build(layout, recipe, [("blurry", "sharpness < 20", "rejected")])

`tables` and `histograms` reduce the run's tables to counts, `examples` and `clusters` choose what to look at,
`thumbs` draws it, `gather` holds it all as values, `sections` and `page` write it down.
"""

from __future__ import annotations

from sluice.report.facts import RecipePart
from sluice.report.write import build

__all__ = ["RecipePart", "build"]
