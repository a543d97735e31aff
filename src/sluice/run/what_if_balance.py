"""What-if, gone on with: what `balance` would draw of the samples that other rules keep. Nothing is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from sluice.errors import RunError
from sluice.run.balance_columns import LEFT_OUT, SampleColumns
from sluice.run.balancing import redraw
from sluice.run.judging import Judgement
from sluice.run.stage import stage_record
from sluice.table.layout import CAPTIONED, CHECKED, FILTERED, FINAL, Layout
from sluice.table.read import read_table

if TYPE_CHECKING:
    from sluice.run.ledger import Run

_SHOWN: Final = 5  # groups


@dataclass(frozen=True)
class BalanceIf:
    """What is drawn before and after; None where it cannot be told, and `why` says so."""

    before: dict[str, Any] | None  # `balance` of stage.json; None: nothing is packed yet
    after: dict[str, Any] | None  # the same, drawn anew
    why: str | None = None

    def lines(self) -> list[str]:
        """For the eye: the size, then the groups whose share moves most."""
        if self.after is None:
            return ["", f"balance: {self.why}"]
        lines = ["", "balance, drawn again by the same seed"]
        for name, key in (("drawn", "drawn"), ("samples of an epoch", "epoch")):
            lines.append(_line(name, self.before[key] if self.before else None, self.after[key]))
        for name, before, after in _moved(self.before, self.after):
            lines.append(_line(name, before, after))
        return lines


def balance_if(run: Run, stage: str, judgement: Judgement) -> BalanceIf | None:
    """What is drawn where `judgement` is that of `stage`; None where the recipe has no `balance`."""
    if not run.balances:
        return None
    layout = run.layout
    before = stage_record(layout, FINAL).get("balance")
    if stage != layout.deciding:
        why = f"not drawn again: {layout.deciding} has measured only what {stage} keeps now; a run tells"
        return BalanceIf(before, None, why)
    rows = read_table(layout.rows_of(stage), ["id", "text_item"])
    ids = rows.column("id").combine_chunks().take(pa.array(judgement.facts.first))
    columns = SampleColumns(layout, ids.filter(pa.array(judgement.kept)), _left_out(layout, stage, rows, judgement))
    try:
        return BalanceIf(before, redraw(run.file, columns).facts)
    except RunError as error:  # such as a share for what no sample is left of
        return BalanceIf(before, None, str(error))


def _left_out(layout: Layout, stage: str, rows: pa.Table, judgement: Judgement) -> pa.Table:
    """The captions that are not packed: those that the stage before left out, and those that this one would."""
    at = pa.array(np.flatnonzero(judgement.decision.left_out))
    items = rows.column("text_item").combine_chunks().take(at)
    ends = pa.array(np.arange(len(items) + 1), pa.int32())
    now = pa.table({"id": rows.column("id").take(at), "captions_left_out": pa.ListArray.from_arrays(ends, items)})
    if stage == FILTERED:
        return now
    before = CAPTIONED if stage == CHECKED and layout.stage_file(CAPTIONED).is_file() else FILTERED
    earlier = read_table(layout.verdicts(before), LEFT_OUT)
    return pa.concat_tables([earlier, now.cast(earlier.schema)])


def _moved(before: dict[str, Any] | None, after: dict[str, Any]) -> list[tuple[str, float, float]]:
    """The groups that an epoch sees otherwise, the largest change first; a few."""
    was, now = _seen(before or after), _seen(after)
    changed = [(f"  {key}", was[key], now[key]) for key in was.keys() & now.keys() if was[key] != now[key]]
    return sorted(changed, key=lambda one: (-abs(one[2] - one[1]), one[0]))[:_SHOWN]


def _seen(balance: dict[str, Any]) -> dict[str, float]:
    """What an epoch sees of each group. Clusters of other samples are others, though their numbers are the same."""
    kinds = (kind for kind in balance["kinds"] if kind["of"] != "clusters")
    return {f"{kind['of']}: {group[0]}": group[3] for kind in kinds for group in kind["groups"]}


def _line(name: str, before: float | None, after: float) -> str:
    was, change = ("", "") if before is None else (f"{before:,.0f}", f"{after - before:+,.0f}")
    return f"{name:<26}{was:>10}{after:>10,.0f}{change:>10}".rstrip()
