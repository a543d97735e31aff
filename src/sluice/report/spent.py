"""What a run took: seconds by work, bytes read and stored; from `seconds.json`, `events.jsonl` and the files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from sluice.report.facts import Stages
from sluice.table.layout import FILTERED, RAW, Layout

_SHARED: Final = ("read", "decode")  # what all measures of a pass share
_Loader: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Measuring:
    """A part of measuring: seconds of all workers, and the bytes of its tables; None where it writes none."""

    name: str
    seconds: float
    stored: int | None


@dataclass(frozen=True)
class Spent:
    """What the run took."""

    measuring: tuple[Measuring, ...]  # most seconds first
    clock: tuple[tuple[str, str, float], ...]  # (stage, work, seconds on the clock)
    units: int
    timed: int  # of the units: those that the seconds of measuring are of
    read: int | None  # bytes of media read by all passes; None where nothing says
    engines: tuple[str, ...]  # that carried the units of its runs
    lost: int  # tries of units whose worker went away with its machine


def spent(layout: Layout, stages: Stages) -> Spent:
    """Read it; measurements of earlier recipes, which lie beside those of this one, are left out."""
    stored = {identity.partition("@")[0]: _size(layout, identity) for identity in _identities(layout)}
    seconds = dict(stages.seconds.get(FILTERED, {}))
    parts = [Measuring(name, seconds.pop(name), None) for name in _SHARED if name in seconds]
    parts += [Measuring(name, seconds.pop(name, 0.0), stored[name]) for name in stored]
    clock = [
        (stage, name, value)
        for stage, works in stages.seconds.items()
        for name, value in (seconds if stage == FILTERED else works).items()
    ]
    told = _told(layout)
    return Spent(
        tuple(sorted(parts, key=lambda part: (-part.seconds, part.name))),
        tuple(clock),
        stages.count(RAW, "units"),
        len(told.timed) if any(part.seconds for part in parts) else 0,
        told.read,
        tuple(told.engines),
        told.lost,
    )


def _identities(layout: Layout) -> list[str]:
    if not layout.recipe_lock.is_file():
        return []
    lock: dict[str, Any] = yaml.load(layout.recipe_lock.read_bytes(), Loader=_Loader)
    return list(lock.get("measures") or {})


def _size(layout: Layout, identity: str) -> int:
    folder = layout.measures() / identity
    return sum(file.stat().st_size for file in folder.glob("*.parquet")) if folder.is_dir() else 0


@dataclass
class _Told:
    """What the events of all runs say."""

    timed: set[int] = field(
        default_factory=set[int]
    )  # units measured by runs that went on to decide: their seconds are known
    read: int | None = None
    engines: dict[str, None] = field(default_factory=dict[str, None])
    lost: int = 0


def _told(layout: Layout) -> _Told:
    told = _Told()
    now: set[int] = set()
    for event in _events(layout):
        kind = event.get("event")
        if kind == "run_started":
            now = set()
            told.engines[event.get("engine", "local")] = None
        elif kind == "unit_measured":
            now.add(event["unit"])
            told.read = (told.read or 0) + int(event.get("bytes", 0))
            told.lost += sum(str(death).startswith("lost:") for death in event.get("deaths", ()))
        elif kind == "stage_done" and event.get("stage") == FILTERED:
            told.timed |= now
    return told


def _events(layout: Layout) -> Iterator[dict[str, Any]]:
    if not layout.events.is_file():
        return
    with layout.events.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                yield json.loads(line)
            except ValueError:
                continue  # a run that was killed may leave half a line
