"""Compliance, of scores: what heads and classifiers said of what is packed, and of how much of it they said nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from sluice.run.gate.check import Check, shown, unknown
from sluice.run.packed import PackedTables
from sluice.run.stage import stage_record
from sluice.table.layout import CHECKED
from sluice.wording import counted

if TYPE_CHECKING:
    from sluice.run.ledger import Run


def asked_about(tables: PackedTables, column: str) -> tuple[str, str]:
    """The relation that holds `column` of all that is packed, texts or samples, and whose id counts there."""
    if column in tables.of_texts:
        return "texts t LEFT JOIN text_rows r ON t.id = r.id AND t.item = r.text_item", "t.id"
    return "packed p LEFT JOIN every_row r ON p.id = r.id", "p.id"


def quoted(column: str) -> str:
    """The column's name in SQL."""
    return '"' + column.replace('"', '""') + '"'


def score_checks(run: Run, tables: PackedTables, heading: str, limited: Collection[str]) -> Iterator[Check]:
    """A line for each score that the gate sets no limit to (`limited` are those): its range, and what is unscored."""
    for score in stage_record(run.layout, CHECKED).get("scores", {}).values():
        for column in score["columns"]:
            if column not in limited:
                yield _told(tables, heading, column)


def _told(tables: PackedTables, heading: str, column: str) -> Check:
    asked, who = asked_about(tables, column)
    name = quoted(column)
    ((middle, most, unscored),) = tables.duck.execute(
        f"SELECT median({name}), max({name}), count(DISTINCT CASE WHEN {name} IS NULL THEN {who} END) FROM {asked}"
    ).fetchall()
    details = {"median": middle, "highest": most, "unscored": unscored}
    value = "no score" if most is None else f"median {middle:.3g}, highest {most:.3g}"
    if unscored:
        how = f"hold what is unscored by a rule over `{column}`, and run again"
        why = f"{value}; {counted(unscored, 'sample')} unscored"
        return unknown(heading, column, why, "", required=False, how=how, details=details)
    return shown(heading, column, value, details)
