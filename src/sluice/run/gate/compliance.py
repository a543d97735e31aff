"""Compliance: licences, opt-outs, personal data, and the columns that the recipe calls unsafe, of what is packed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from sluice.run.gate.check import Check, limited, shown, unknown
from sluice.run.gate.redaction import redaction_checks
from sluice.run.gate.scores import asked_about, quoted, score_checks
from sluice.run.packed import PackedTables
from sluice.run.rights_gate import OPTED_OUT
from sluice.run.stage import stage_record
from sluice.table.layout import FILTERED
from sluice.wording import counted

if TYPE_CHECKING:
    from sluice.run.ledger import Run

COMPLIANCE: Final = "compliance"
_SHOWN: Final = 3
_MEASURES: Final = {"spdx": "rights.licence", "pii": "text.pii", "noai": "rights.optout"}


def compliance_checks(run: Run, tables: PackedTables) -> Iterator[Check]:
    """Licences, opt-outs, personal data, safety."""
    gate = run.recipe.gate
    yield _licences(run, tables)
    yield _opt_outs(run)
    yield _counted(tables, "pii", "personal data", gate.max_pii)
    for column, limit in gate.safety.items():
        yield _counted(tables, column, column, limit.most, limit.above)
    yield from score_checks(run, tables, COMPLIANCE, gate.safety)
    yield from redaction_checks(run, COMPLIANCE)


def _licences(run: Run, tables: PackedTables) -> Check:
    rights, asked = run.recipe.filter.rights, run.recipe.gate.licences
    allowed = asked or (rights.allow if rights else None)
    lenient = asked is None and rights is not None and rights.unknown == "pass"  # the recipe lets them in by name
    limit = f"of {', '.join(allowed)}" if allowed else ""
    if "spdx" not in tables.columns:
        how = "add `rights.licence` to `measures` and run again"
        return unknown(COMPLIANCE, "licences", "not measured", limit, required=allowed is not None, how=how)
    found: dict[str | None, int] = dict(
        tables.duck.execute(
            "SELECT spdx, count(*) FROM (SELECT id, any_value(spdx) AS spdx FROM every_row GROUP BY id) "
            "GROUP BY 1 ORDER BY 2 DESC, 1"
        ).fetchall()
    )
    details = {"licences": {name or "unknown": count for name, count in found.items()}}
    if not allowed:
        return shown(COMPLIANCE, "licences", _most(found), details)
    wrong = {name: n for name, n in found.items() if name not in allowed and not (name is None and lenient)}
    value = f"{_most(wrong)} not allowed" if wrong else _most(found)
    how = "reject them with `filter.rights.allow`, and run again"
    return limited(COMPLIANCE, "licences", value, limit, fine=not wrong, how=how, details=details)


def _most(found: dict[str | None, int]) -> str:
    """The most frequent, with their counts."""
    told = [f"{name or 'unknown'} {count:,}" for name, count in list(found.items())[:_SHOWN]]
    more = [f"{len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    return ", ".join([*told, *more]) or "none"


def _opt_outs(run: Run) -> Check:
    rights = run.recipe.filter.rights
    honoured = [one.name for one in rights.opt_out] if rights else []
    asked = run.recipe.gate.opt_outs
    absent = [name for name in asked if name not in honoured]
    record = stage_record(run.layout, FILTERED)
    gone: int = record.get("rules", {}).get(OPTED_OUT, {}).get("samples", 0)
    details = {"lists": {name: record.get("opt_outs", {}).get(name, 0) for name in honoured}, "rejected": gone}
    limit = f"with {', '.join(asked)}" if asked else ""
    if absent:
        how = "name the list under `filter.rights.opt_out` and run again: no image is read for it"
        why = f"not held against {', '.join(absent)}"
        return unknown(COMPLIANCE, "opt-outs", why, limit, required=True, how=how, details=details)
    value = f"{', '.join(honoured)}: {counted(gone, 'sample')} left out" if honoured else "no list"
    if not asked:
        return shown(COMPLIANCE, "opt-outs", value, details)
    return limited(COMPLIANCE, "opt-outs", value, limit, fine=True, details=details)


def _counted(tables: PackedTables, column: str, name: str, most: int | None, above: float = 0) -> Check:
    """How many packed samples have `column` true, or higher than `above`, against `most`."""
    over = f" above {above:g}" if above else ""
    limit = "" if most is None else f"at most {counted(most, 'sample')}{over}"
    required = most is not None
    if column not in tables.columns:
        measure = _MEASURES.get(column, "the measure that writes it")
        ask = "`safety: {}` with the columns that you mean" if column != "pii" else "`max_pii: null`"
        how = f"add {measure} to `measures` and run again; or ask for something else: `gate:` {ask}"
        return unknown(COMPLIANCE, name, "not measured", limit, required=required, how=how)
    hits, unmeasured = _hits(tables, column, above)
    packed = _number(tables, "SELECT count(*) FROM packed")
    details = {"samples": hits, "unmeasured": unmeasured, "packed": packed}
    value = f"{hits:,} of {counted(packed, 'sample')}"
    if most is not None and hits > most:
        how = f"reject them by a rule over `{column}`, and run again"
        return limited(COMPLIANCE, name, value, limit, fine=False, how=how, details=details)
    if unmeasured:
        how = "texts that failed a measure have no value; hold them by a rule, and run again"
        why = f"{value}; not known of {unmeasured:,}"
        return unknown(COMPLIANCE, name, why, limit, required=required, how=how, details=details)
    if most is None:
        return shown(COMPLIANCE, name, value, details)
    return limited(COMPLIANCE, name, value, limit, fine=True, details=details)


def _hits(tables: PackedTables, column: str, above: float) -> tuple[int, int]:
    """Samples of which `column` is true or higher than `above`, and samples of which something has no value."""
    name = quoted(column)
    kind = tables.duck.execute(f"SELECT typeof({name}) FROM every_row LIMIT 1").fetchall()
    true = name if kind and kind[0][0] == "BOOLEAN" else f"{name} > {above!r}"
    asked, who = asked_about(tables, column)
    hits = _number(tables, f"SELECT count(DISTINCT {who}) FROM {asked} WHERE {true}")
    return hits, _number(tables, f"SELECT count(DISTINCT {who}) FROM {asked} WHERE {name} IS NULL")


def _number(tables: PackedTables, query: str) -> int:
    rows: Sequence[tuple[int]] = tables.duck.execute(query).fetchall()
    return rows[0][0]
