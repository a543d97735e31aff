"""A stage's own record: `stage.json`, written last, tied to the configuration that made it.

`stage.json` holds only what equal runs share; seconds and cost go to `seconds.json` beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import pyarrow as pa

from sluice.errors import RunError
from sluice.table.commit import write_json
from sluice.table.compute import pc
from sluice.table.ids import fingerprint
from sluice.table.layout import STAGES, Layout

VERDICT_KINDS: Final = ("kept", "rejected", "held", "failed")


def done(layout: Layout, stage: str, fingerprint: str) -> bool:
    """Whether `stage` is finished for exactly this configuration."""
    return stage_record(layout, stage).get("fingerprint") == fingerprint


def stage_record(layout: Layout, stage: str) -> dict[str, Any]:
    """What `stage.json` says; empty where the stage is not finished."""
    return _json(layout.stage_file(stage))


def stage_seconds(layout: Layout, stage: str) -> dict[str, Any]:
    """What `seconds.json` says; empty where there is none."""
    return _json(layout.seconds_file(stage))


def reopen(layout: Layout, stage: str) -> None:
    """Mark `stage` as unfinished until `finish`, and those after it: they hold what it was, not what it becomes."""
    for later in reversed(STAGES[STAGES.index(stage) :]):
        layout.stage_file(later).unlink(missing_ok=True)


def decided_by(layout: Layout, stage: str) -> str:
    """What later stages follow from: how a stage was decided, and what came of it.

    The second is more than the first where a failure was tried again, and ended well.
    """
    record = stage_record(layout, stage)
    return fingerprint(record["fingerprint"], record["content"])


def unneeded(layout: Layout, stage: str) -> None:
    """Mark a `stage` that the recipe no longer asks for as not done, and those after it; what it measured stays."""
    if layout.stage_file(stage).is_file():
        reopen(layout, stage)


def finish(
    layout: Layout, stage: str, fingerprint: str, counts: Mapping[str, Any], seconds: Mapping[str, float]
) -> None:
    """Write the stage's record; from here on it is done."""
    write_json(layout.seconds_file(stage), {name: round(value, 3) for name, value in seconds.items()})
    write_json(layout.stage_file(stage), {"stage": stage, "fingerprint": fingerprint, **counts})


def law_of_counts(verdicts: pa.Table, entered: int, stage: str) -> dict[str, Any]:
    """The counts of a stage, checked: in = kept + rejected + held + failed, in all and per unit."""
    kinds = verdicts.column("verdict")
    counts = {kind: pc.sum(pc.equal(kinds, kind)).as_py() or 0 for kind in VERDICT_KINDS}
    distinct = len(pc.unique(verdicts.column("id")))  # count_distinct takes four times as long
    if sum(counts.values()) != entered or verdicts.num_rows != entered or distinct != entered:
        raise RunError(
            f"{stage}: {entered} samples came in, but {verdicts.num_rows} verdicts on {distinct} samples came out "
            f"({counts}); this is a bug in Sluice: please report it with events.jsonl"
        )
    return {"in": entered, **counts}


def _json(path: Any) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError:
        return {}  # not ours, or damaged: the stage counts as unfinished and is made again
