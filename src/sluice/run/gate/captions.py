"""What captioners left behind: what they were paid, and under which revision they are recorded."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Collection

from sluice.table.compute import pc
from sluice.table.layout import CAPTIONED, Layout
from sluice.table.read import read_table


def paid(layout: Layout, free: Collection[str]) -> tuple[float, Counter[str]]:
    """What was paid for all answers that are stored, those of earlier recipes too; by captioner, answers of no price.

    `free` are captioners that nobody is paid for. A captioner that the recipe no longer has may have been a service.
    """
    money = 0.0
    unpriced: Counter[str] = Counter()
    for path in sorted((layout.root / CAPTIONED / "captions").glob("*/unit-*.parquet")):
        name = path.parent.name.partition("@")[0]
        if name in free:
            continue
        said = read_table(path, ["cost", "attempts"])
        money += pc.sum(said.column("cost")).as_py() or 0.0
        asked = said.filter(pc.greater(pc.fill_null(said.column("attempts"), 0), 0))
        unpriced[name] += asked.column("cost").null_count
    return round(money, 6), +unpriced


def revisions(layout: Layout) -> dict[str, set[str]]:
    """By captioner whose captions are in the run as items, the model revisions that they are recorded with."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for path in sorted((layout.root / CAPTIONED / "items").glob("unit-*.parquet")):
        for meta in read_table(path, ["meta"]).column("meta").to_pylist():
            origin = json.loads(meta or "{}")
            found[str(origin.get("captioner"))].add(origin.get("revision") or "")
    return dict(found)
