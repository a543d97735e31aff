"""How far a run is: its stages with counts, reasons, seconds and bytes; live while it goes on.

Seconds are wall time, from the events: of all runs of the folder, for a stage may have been cut off and gone on with.
What each measure took of them, over all workers, stands in `seconds.json`.
"""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sluice.run.holding import is_held
from sluice.run.stage import stage_record
from sluice.run.stored import is_heard_of
from sluice.table.layout import FINAL, STAGES, Layout
from sluice.wording import counted


@dataclass(frozen=True)
class StageStatus:
    """One stage: `done`, `running`, `stopped` (begun and not finished) or `waiting`."""

    stage: str
    state: str
    counts: dict[str, int]
    reasons: dict[str, int]
    seconds: float | None  # wall time, over all runs of the folder
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


def status(layout: Layout, stages: Sequence[str] = STAGES) -> Status:
    """Read `stage.json` and `events.jsonl`; a run that starts meanwhile is not kept out."""
    working = is_held(layout) or is_heard_of(layout)
    told = _events(layout)
    seconds = _seconds(told, time.time() if working else None)
    events = _last_run(told)
    states = tuple(_stage(layout, stage, events, working, seconds.get(stage)) for stage in stages)
    return Status(layout.named, working, states, stage_record(layout, FINAL).get("shards", {}))


def _stage(
    layout: Layout, stage: str, events: Sequence[dict[str, Any]], working: bool, seconds: float | None
) -> StageStatus:
    record = stage_record(layout, stage)
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
        seconds,
        sum(size.values()) if isinstance(size, dict) else size,
        _progress(events, stage) if state in ("running", "stopped") else "",
    )


def _progress(events: Sequence[dict[str, Any]], stage: str) -> str:
    """What the events say of the stage under way."""
    started = [i for i, event in enumerate(events) if event["event"] == "stage_started" and event["stage"] == stage]
    news = events[started[-1] :] if started else []
    counts = Counter(event["event"] for event in news)
    kinds = (
        ("units_known", "unit_measured", "unit"),
        ("embedding", "unit_measured", "unit"),
        ("captioning", "unit_measured", "unit"),
        ("packing", "shard_written", "shard"),
    )
    for plan, done, word in kinds:
        todo = sum(event.get("missing", 0) for event in news if event["event"] == plan)
        if todo:
            return f"{counts[done]:,} of {counted(todo, word)}"
    return f"{counted(counts['unit_measured'], 'unit')} so far" if counts["measuring"] else ""


def _seconds(events: Sequence[dict[str, Any]], now: float | None) -> dict[str, float]:
    """Wall seconds by stage. One that was cut off counts to its last event; one under way to `now`.

    >>> _seconds([{"event": "stage_started", "time": 5.0, "stage": "x"}, {"event": "measuring", "time": 7.0}], None)
    {'x': 2.0}
    """
    seconds: defaultdict[str, float] = defaultdict(float)
    under_way: dict[str, float] = {}  # when each began: units are measured while later ones are still being listed
    last = 0.0

    def cut_off(at: float) -> None:
        for stage, began in under_way.items():
            seconds[stage] += max(0.0, at - began)  # clocks may be set back
        under_way.clear()

    for event in events:
        if event["event"] == "run_started":
            cut_off(last)
        elif event["event"] == "stage_started":
            under_way[event["stage"]] = event["time"]
        elif event["event"] == "stage_done":
            seconds[event["stage"]] += event["seconds"]
            under_way.pop(event["stage"], None)
        last = event["time"]
    cut_off(now or last)
    return {stage: round(took, 3) for stage, took in seconds.items()}


def _last_run(events: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
    """The events since the run was last started."""
    starts = [place for place, event in enumerate(events) if event["event"] == "run_started"]
    return events[starts[-1] :] if starts else events


def _events(layout: Layout) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    if layout.events.is_file():
        for line in layout.events.read_text(encoding="utf-8").splitlines():
            try:
                events.append(json.loads(line))
            except ValueError:
                continue  # the line in which a killed run ended
    return events


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
        lines += ["", f"{name}: {counted(count, 'shard')}"]
    return lines
