"""What the judgements of an audit say of the whole: error rates by stratum and in all, with their intervals."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sluice.corpus.intervals import wilson
from sluice.corpus.stratified import Counted, estimate
from sluice.errors import RunError, SluiceError
from sluice.run.audit.drawing import drawn_in, state_of, stratum_name
from sluice.run.audit.judgements import Judgement, Judgements, read_judgements
from sluice.run.audit.sheet import CAUSES, ERROR
from sluice.table.commit import write_json
from sluice.table.layout import FINAL, Layout
from sluice.wording import counted

if TYPE_CHECKING:
    from sluice.run.ledger import Run

RESULT: Final = "result.json"


@dataclass(frozen=True)
class StratumResult:
    """What was found in a stratum; the interval is Wilson's, 95%, from 0 to 1 where nothing was judged."""

    stratum: str
    size: int
    drawn: int
    judged: int
    errors: int
    low: float
    high: float


@dataclass(frozen=True)
class AuditResult:
    """What an audit found. Rates are shares of samples; `rate` is None where nothing was judged."""

    audit: str
    state: str  # of the shards that were judged
    drawn: int
    judged: int
    errors: int
    rate: float | None  # each stratum weighted by its size
    low: float
    high: float
    covered: float  # share of the packed samples that lies in strata of which something was judged
    causes: dict[str, int]
    strata: tuple[StratumResult, ...]
    found: tuple[dict[str, str], ...]  # each error: id, cause, note

    @property
    def unjudged(self) -> int:
        """Samples that were drawn and not judged."""
        return self.drawn - self.judged

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        return {**asdict(self), "unjudged": self.unjudged}

    def __str__(self) -> str:
        return "\n".join(_text(self))


def judge_audit(run: Run, path: Path) -> AuditResult:
    """Read the judgements in `path`, work out what they say, and store it beside the audit."""
    run.require(FINAL)
    read = read_judgements(path)
    folder = _folder_of(run.layout, read, path)
    drawn = drawn_in(folder)
    if drawn is None or drawn["audit"] != read.audit:
        raise SluiceError(f"{path}: is of the audit {read.audit!r}, and {run.layout.named} has drawn none of that name")
    _check_ids(path, read, drawn)
    result = _result(drawn, read.rows)
    write_json(folder / RESULT, result.to_json())
    return result


def current_results(layout: Layout) -> tuple[list[AuditResult], int]:
    """The results of audits of the shards as they are, best first; and how many there are of shards that are no more.

    Best is the one with most judgements; of equals the worse, so that drawing until one looks well gains nothing.
    """
    state = state_of(layout)
    every = [_load(path) for path in sorted(layout.audits.glob(f"*/{RESULT}"))]
    current = [found for found in every if found.state == state]
    return sorted(current, key=lambda one: (-one.judged, -one.high, one.audit)), len(every) - len(current)


def _load(path: Path) -> AuditResult:
    try:
        known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        strata = tuple(StratumResult(**one) for one in known.pop("strata"))
        found = tuple(known.pop("found"))
        del known["unjudged"]  # it follows from the others
        return AuditResult(**known, strata=strata, found=found)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path}: damaged ({error}); `sluice audit RUN --verdicts SHEET` writes it anew") from error


def _folder_of(layout: Layout, read: Judgements, path: Path) -> Path:
    name, _, state = read.audit.partition("@")
    if not name.replace("-", "").isdigit() or not state:
        raise SluiceError(f"{path}: audit: {read.audit!r} names no audit; leave that column as it was drawn")
    now = state_of(layout)
    if state != now:
        raise SluiceError(
            f"{path}: these judgements are stale: they are of the shards {state}, and {layout.named} now holds {now}; "
            f"draw again: sluice audit {layout.named} --n {name.rpartition('-')[2]}"
        )
    return layout.audits / name


def _check_ids(path: Path, read: Judgements, drawn: dict[str, Any]) -> None:
    known = {row["id"] for row in drawn["rows"]}
    strange = [row.id for row in read.rows if row.id not in known]
    if strange:
        raise SluiceError(
            f"{path}: id: {strange[0]!r} was not drawn for this audit ({counted(len(strange), 'such id')})"
        )


def _result(drawn: dict[str, Any], rows: Sequence[Judgement]) -> AuditResult:
    said = {row.id: row for row in rows if row.verdict}
    strata: list[StratumResult] = []
    for one in drawn["strata"]:
        mine = [row["id"] for row in drawn["rows"] if row["stratum"] == one["stratum"]]
        judged = [said[id] for id in mine if id in said]
        errors = sum(row.verdict == ERROR for row in judged)
        name = stratum_name(drawn["columns"], tuple(one["stratum"]))
        interval = wilson(errors, len(judged))
        strata.append(StratumResult(name, one["size"], len(mine), len(judged), errors, *interval))
    whole = estimate([Counted(one.size, one.judged, one.errors) for one in strata])
    wrong = [row for row in said.values() if row.verdict == ERROR]
    causes = Counter(row.cause for row in wrong)
    return AuditResult(
        drawn["audit"],
        drawn["state"],
        len(drawn["rows"]),
        len(said),
        len(wrong),
        whole.share,
        whole.low,
        whole.high,
        whole.covered,
        {cause: causes[cause] for cause in CAUSES},
        tuple(strata),
        tuple({"id": row.id, "cause": row.cause or "", "note": row.note} for row in wrong),
    )


def _text(result: AuditResult) -> list[str]:
    width = max([len("stratum"), *(len(one.stratum) for one in result.strata)])
    lines = [f"{'stratum':<{width}}{'packed':>10}{'drawn':>8}{'judged':>8}{'errors':>8}{'rate':>8}  95% interval"]
    for one in result.strata:
        rate = f"{one.errors / one.judged:.1%}" if one.judged else "?"
        counts = f"{one.size:>10,}{one.drawn:>8,}{one.judged:>8,}{one.errors:>8,}"
        lines.append(f"{one.stratum:<{width}}{counts}{rate:>8}  {one.low:.1%} to {one.high:.1%}")
    lines.append("")
    if result.rate is None:
        lines.append(f"nothing is judged of {counted(result.drawn, 'sample')}: fill in the column `verdict`")
        return lines
    interval = f"{result.low:.1%} to {result.high:.1%}"
    lines.append(f"error rate, strata weighted by size: {result.rate:.1%} (95% interval {interval})")
    causes = ", ".join(f"{cause} {count}" for cause, count in result.causes.items() if count)
    if causes:
        lines.append(f"causes: {causes}")
    if result.unjudged:
        lines.append(f"not judged: {result.unjudged:,} of {counted(result.drawn, 'sample')}; they count as not drawn")
    if result.covered < 1:
        lines.append(f"of {1 - result.covered:.1%} of the dataset nothing is judged: there it may be anything")
    return lines
