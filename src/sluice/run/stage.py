"""A stage's own record: `stage.json`, written last, tied to the configuration that made it.

`stage.json` holds only what equal runs share; seconds and cost go to `seconds.json` beside it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from sluice.errors import RunError
from sluice.table.commit import write_json
from sluice.table.compute import pc
from sluice.table.ids import fingerprint
from sluice.table.keys import Keys, Repeated, among_keys, text_keys
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


class LawOfCounts:
    """in = kept + rejected + held + failed, and each sample once: checked over a table of verdicts, piece by piece."""

    def __init__(self) -> None:
        self._counts = dict.fromkeys(VERDICT_KINDS, 0)
        self._rows = 0
        self._ids = Repeated()

    def counting(self, pieces: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """The same pieces, counted as they pass."""
        for piece in pieces:
            kinds = piece.column("verdict")
            for kind in VERDICT_KINDS:
                self._counts[kind] += pc.sum(pc.equal(kinds, kind)).as_py() or 0
            self._rows += piece.num_rows
            for chunk in piece.column("id").chunks:
                self._ids.add(text_keys(chunk))
            yield piece

    def checked(self, verdicts: Path, entered: int, stage: str) -> dict[str, Any]:
        """The counts of a stage that `entered` samples entered, whose verdicts were written to the file `verdicts`."""
        repeats = _repeats(verdicts, self._ids.keys())
        if sum(self._counts.values()) != entered or self._rows != entered or repeats:
            raise RunError(
                f"{stage}: {entered} samples came in, but {self._rows} verdicts on {self._rows - repeats} samples came "
                f"out ({self._counts}); this is a bug in Sluice: please report it with events.jsonl"
            )
        return {"in": entered, **self._counts}


def _repeats(verdicts: Path, keys: Keys) -> int:
    """How many rows of a file repeat an id, of those whose key stands twice: that alone does not say so yet."""
    if not len(keys):
        return 0
    found = [pa.array([], pa.string())]
    with pq.ParquetFile(verdicts) as file:
        for batch in file.iter_batches(columns=["id"]):
            ids = batch.column(0)
            found.append(ids.filter(pa.array(among_keys(text_keys(ids), keys))))
    ids = pa.concat_arrays(found)
    return len(ids) - len(pc.unique(ids))


def _json(path: Any) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError:
        return {}  # not ours, or damaged: the stage counts as unfinished and is made again
