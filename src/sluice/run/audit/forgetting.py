"""Takedown in audits: what is taken down leaves their images, sheets, pages and notes, too."""

from __future__ import annotations

import shutil
from collections.abc import Collection

from sluice.run.audit.drawing import drawn_in
from sluice.table.layout import Layout


def forget_in_audits(layout: Layout, ids: Collection[str]) -> int:
    """Remove the audits that show one of `ids`; how many. After a takedown they are stale, results included."""
    removed = 0
    for folder in sorted(path for path in layout.audits.glob("*") if path.is_dir() and ids):
        drawn = drawn_in(folder)
        if drawn is None or {row["id"] for row in drawn["rows"]} & set(ids):  # None: nothing says whom it shows
            shutil.rmtree(folder)
            removed += 1
    return removed
