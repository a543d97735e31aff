"""How far a run is: its stages with counts, reasons, seconds and bytes; live while it goes on."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from sluice.run.stage import stage_record, stage_seconds
from sluice.table.layout import FINAL, STAGES, Layout

_STALE: Final = 120.0  # seconds without an event after which a run that holds no lock is taken for stopped


@dataclass(frozen=True)
class StageStatus:
    """One stage: `done`, `running`, `stopped` (begun and not finished) or `waiting`."""

    stage: str
    state: str
    counts: dict[str, int]
    reasons: dict[str, int]
    seconds: float | None
    bytes: int | None
    progress: str = ""


@dataclass(frozen=True)
class Status:
    """All stages of a run."""

    run: str
    working: bool  # a process holds the run
    stages: tuple[StageStatus, ...]
    shards: dict[str, int] = field(default_factory=dict[str, int])

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        return {**vars(self), "stages": [vars(stage) for stage in self.stages]}

    def __str__(self) -> str:
        return "\n".join(_text(self))


def status(layout: Layout) -> Status:
    """Read `stage.json`, `seconds.json` and the end of `events.jsonl`."""
    events = list(_last_run(layout))
    working = _is_held(layout)
    stages = tuple(_stage(layout, stage, events, working) for stage in STAGES)
    return Status(str(layout.root), working, stages, stage_record(layout, FINAL).get("shards", {}))


def _stage(layout: Layout, stage: str, events: list[dict[str, Any]], working: bool) -> StageStatus:
    record, seconds = stage_record(layout, stage), stage_seconds(layout, stage)
    begun = any(event["event"] == "stage_started" and event.get("stage") == stage for event in events)
    ended = any(event["event"] == "stage_done" and event.get("stage") == stage for event in events)
    unfinished = "running" if working else "stopped"
    state = unfinished if begun and not ended else "done" if record else "waiting"
    counts = {name: record[name] for name in ("in", "kept", "rejected", "held", "failed") if name in record}
    rules = {name: rule["samples"] for name, rule in record.get("rules", {}).items() if rule["samples"]}
    reasons = {**rules, **{f"failed: {name}": n for name, n in record.get("failures", {}).items()}}
    size = record.get("bytes")
    return StageStatus(
        stage,
        state,
        counts,
        dict(sorted(reasons.items(), key=lambda reason: -reason[1])),
        sum(value for name, value in seconds.items() if name in ("ingest", "decide", "pack", "measure")) or None,
        sum(size.values()) if isinstance(size, dict) else size,
        _progress(events, stage) if state in ("running", "stopped") else "",
    )


def _progress(events: list[dict[str, Any]], stage: str) -> str:
    """What the events say of the stage under way."""
    started = [i for i, event in enumerate(events) if event["event"] == "stage_started" and event["stage"] == stage]
    news = events[started[-1] :] if started else []
    counts = Counter(event["event"] for event in news)
    for plan, done, word in (("units_known", "unit_measured", "units"), ("packing", "shard_written", "shards")):
        todo = sum(event.get("missing", 0) for event in news if event["event"] == plan)
        if todo:
            return f"{counts[done]:,} of {todo:,} {word}"
    return f"{counts['unit_measured']:,} units so far" if counts["measuring"] else ""


def _last_run(layout: Layout) -> Iterator[dict[str, Any]]:
    """The events since the run was last started."""
    events: list[dict[str, Any]] = []
    if layout.events.is_file():
        for line in layout.events.read_text(encoding="utf-8").splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue  # the line in which a killed run ended
            if event["event"] == "run_started":
                events.clear()
            events.append(event)
    yield from events


def _is_held(layout: Layout) -> bool:
    import fcntl

    lock = layout.state / "lock"
    if not lock.is_file():
        return False
    with lock.open("rb") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _text(status: Status) -> list[str]:
    word = "working now" if status.working else "nobody is working in it"
    lines = [f"{status.run}  ({word}, {time.strftime('%H:%M:%S')})", ""]
    lines.append(f"{'stage':<22}{'':<10}{'in':>10}{'kept':>10}{'rejected':>10}{'held':>8}{'failed':>8}{'seconds':>10}")
    for stage in status.stages:
        counts = [stage.counts.get(name) for name in ("in", "kept", "rejected", "held", "failed")]
        widths = (10, 10, 10, 8, 8)
        cells = "".join(f"{'' if n is None else format(n, ',')!s:>{w}}" for n, w in zip(counts, widths, strict=True))
        seconds = f"{stage.seconds:,.1f}" if stage.seconds is not None else ""
        lines.append(f"{stage.stage:<22}{stage.state:<10}{cells}{seconds:>10}  {stage.progress}".rstrip())
    for stage in status.stages:
        if stage.reasons:
            lines += ["", f"{stage.stage}: reasons"]
            lines += [f"  {name:<30}{count:>10,}" for name, count in stage.reasons.items()]
    for name, count in status.shards.items():
        lines += ["", f"{name}: {count:,} shards"]
    return lines
