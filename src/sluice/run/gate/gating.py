"""Go or no-go: every check of the gate over a finished run. It reads, and changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sluice.run.audit.drawing import state_of
from sluice.run.gate.check import Decision
from sluice.run.gate.compliance import compliance_checks
from sluice.run.gate.cost import cost_checks
from sluice.run.gate.sampling import sampling_checks
from sluice.run.gate.traceability import traceability_checks
from sluice.run.packed import packed_tables
from sluice.table.layout import FINAL

if TYPE_CHECKING:
    from sluice.run.ledger import Run


def gate(run: Run, *, fast: bool = False) -> Decision:
    """Check a run against the `gate` of its recipe; `fast` leaves out reading the shards again."""
    run.require(FINAL)
    with packed_tables(run.layout) as tables:
        kept: int = tables.duck.execute("SELECT count(*) FROM packed").fetchall()[0][0]
        checks = (
            *cost_checks(run, kept),
            *compliance_checks(run, tables),
            *sampling_checks(run, tables, kept),
            *traceability_checks(run, tables, fast=fast),
        )
    return Decision(str(run.layout.root), state_of(run.layout), fast, checks)
