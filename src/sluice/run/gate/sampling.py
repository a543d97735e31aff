"""Sampling: how much was kept and of what, what an audit found, and whether evaluation sets are in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from sluice.errors import RunError
from sluice.run.audit.result import AuditResult, current_results
from sluice.run.audit.sample import strata_of
from sluice.run.corpus_steps import CONTAMINATED
from sluice.run.gate.check import Check, limited, shown, unknown
from sluice.run.packed import PackedTables
from sluice.run.stage import stage_record
from sluice.table.layout import FILTERED, RAW
from sluice.wording import counted

if TYPE_CHECKING:
    from sluice.run.ledger import Run

SAMPLING: Final = "sampling"
_SHOWN: Final = 4


def sampling_checks(run: Run, tables: PackedTables, kept: int) -> Iterator[Check]:
    """Kept, coverage, audit, contamination."""
    yield _kept(run, kept)
    yield from _coverage(tables)
    yield _audit(run)
    yield _contamination(run)


def _kept(run: Run, kept: int) -> Check:
    entered: int = stage_record(run.layout, RAW)["in"]
    share = f", {kept / entered:.1%} of {entered:,}" if entered else ""
    least = run.recipe.gate.min_kept
    how = "`sluice status` says which rules take most; `sluice what-if` tries others"
    details = {"kept": kept, "in": entered}
    return limited(
        SAMPLING, "kept", f"{kept:,}{share}", f"at least {least:,}", fine=kept >= least, how=how, details=details
    )


def _coverage(tables: PackedTables) -> Iterator[Check]:
    columns, packed = strata_of(tables)
    for place, column in enumerate(columns):
        counts: dict[str, int] = {}
        for _, stratum in packed:
            counts[stratum[place]] = counts.get(stratum[place], 0) + 1
        ordered = dict(sorted(counts.items(), key=lambda one: (-one[1], one[0])))
        told = [f"{name} {count:,}" for name, count in list(ordered.items())[:_SHOWN]]
        more = [f"{len(ordered) - _SHOWN} more"] if len(ordered) > _SHOWN else []
        yield shown(SAMPLING, f"by {column}", ", ".join([*told, *more]) or "none", ordered)


def _audit(run: Run) -> Check:
    gate, layout = run.recipe.gate, run.layout
    limit = f"at most {gate.max_error_rate:.1%}"
    how = f"`sluice audit {layout.named}` draws a sheet, `--verdicts` reads it back"
    try:
        current, stale = current_results(layout)
    except RunError as error:
        return unknown(SAMPLING, "audit", "damaged", limit, required=gate.require_audit, how=str(error))
    if not current or not current[0].judged:
        why = "of other shards: stale" if stale and not current else "nothing is judged"
        return unknown(SAMPLING, "audit", why, limit, required=gate.require_audit, how=how)
    best = current[0]
    fine = best.high <= gate.max_error_rate
    more = "judge more samples, or mend what errs" if (best.rate or 0) <= gate.max_error_rate else "mend what errs"
    return limited(
        SAMPLING, "audit", _told(best), limit, fine=fine, how=f"{more}: see {layout.audits}", details=best.to_json()
    )


def _told(result: AuditResult) -> str:
    unjudged = f", {result.unjudged:,} not judged" if result.unjudged else ""
    return (
        f"{result.rate:.1%} err ({result.low:.1%} to {result.high:.1%}), {counted(result.judged, 'sample')}{unjudged}"
    )


def _contamination(run: Run) -> Check:
    against = [one.name for one in run.recipe.filter.duplicates.against]
    asked = run.recipe.gate.contamination
    absent = [name for name in asked if name not in against]
    record = stage_record(run.layout, FILTERED)
    gone: int = record.get("rules", {}).get(CONTAMINATED, {}).get("samples", 0)
    found: dict[str, int] = record.get("references", {})
    details = {"sets": {name: found.get(name, 0) for name in against}, "rejected": gone}
    limit = f"free of {', '.join(asked)}" if asked else ""
    if absent:
        how = "name the set under `filter.duplicates.against` and run again"
        why = f"not held against {', '.join(absent)}"
        return unknown(SAMPLING, "contamination", why, limit, required=True, how=how, details=details)
    if not against:
        how = "name the evaluation sets under `filter.duplicates.against`, and under `gate.contamination`"
        return unknown(SAMPLING, "contamination", "no evaluation set is named", limit, required=False, how=how)
    value = f"{', '.join(against)}: {counted(gone, 'sample')} left out"
    if not asked:
        return shown(SAMPLING, "contamination", value, details)
    return limited(SAMPLING, "contamination", value, limit, fine=True, details=details)
