"""A check of the gate: what was found, what is asked, and whether that is a go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

State = Literal["go", "no-go", "unknown"]
_HEAD: Final = ("heading", "check", "value", "limit", "")


@dataclass(frozen=True)
class Check:
    """One line of the gate. `how`: what mends it, or makes known what is not known; `details`: the figures, for CI."""

    heading: str
    check: str
    value: str
    limit: str  # "" where the recipe sets none: then it is shown only
    state: State
    required: bool = True
    how: str = ""
    details: Any = None

    @property
    def stops(self) -> bool:
        """Whether it keeps the dataset from going out: what must be known and is not does, too."""
        return self.state == "no-go" or (self.state == "unknown" and self.required)


@dataclass(frozen=True)
class Decision:
    """All checks of a run."""

    run: str
    state: str  # which shards it is about
    fast: bool
    checks: tuple[Check, ...]

    @property
    def go(self) -> bool:
        """Whether nothing stops it."""
        return not any(check.stops for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        checks = [{**asdict(check), "stops": check.stops} for check in self.checks]
        return {**vars(self), "verdict": "go" if self.go else "no-go", "checks": checks}

    def __str__(self) -> str:
        return "\n".join(_text(self))


def limited(
    heading: str, check: str, value: str, limit: str, *, fine: bool, how: str = "", details: Any = None
) -> Check:
    """A check of something that is known."""
    return Check(heading, check, value, limit, "go" if fine else "no-go", True, "" if fine else how, details)


def shown(heading: str, check: str, value: str, details: Any = None) -> Check:
    """Something that is known and that the recipe sets no limit to."""
    return Check(heading, check, value, "", "go", False, "", details)


def unknown(heading: str, check: str, why: str, limit: str, *, required: bool, how: str, details: Any = None) -> Check:
    """A check of something that is not known."""
    return Check(heading, check, why, limit, "unknown", required, how, details)


def _text(decision: Decision) -> list[str]:
    rows = [_HEAD, *(_row(check) for check in decision.checks)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD) - 1)]
    lines: list[str] = []
    before = ""
    for number, row in enumerate(rows):
        cells = ["" if number and row[0] == before else row[0], *row[1:]]
        before = row[0]
        told = "  ".join(cell.ljust(width) for cell, width in zip(cells[:-1], widths, strict=True))
        lines.append(f"{told}  {cells[-1]}".rstrip())
    mended = [f"{check.heading}, {check.check}: {check.how}" for check in _to_mend(decision.checks)]
    stopped = [f"{check.heading}, {check.check}" for check in decision.checks if check.stops]
    verdict = "verdict: go" if decision.go else f"verdict: no-go ({'; '.join(stopped)})"
    return [*lines, "", *([*mended, ""] if mended else []), verdict]


def _to_mend(checks: Sequence[Check]) -> list[Check]:
    return [check for check in checks if check.state != "go" and check.how]


def _row(check: Check) -> tuple[str, ...]:
    if check.state == "unknown":
        said = "no-go (unknown)" if check.required else "unknown"
    else:
        said = check.state if check.limit else "-"
    return check.heading, check.check, check.value, check.limit or "none", said
