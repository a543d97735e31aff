"""What-if: other rules over the stored measurements. No media is touched; a real run would decide the same."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from sluice.errors import RecipeError
from sluice.run.choosing import choosing_in
from sluice.run.comparing import compare
from sluice.run.corpus_steps import load_corpus
from sluice.run.judging import Judging, judge
from sluice.run.row_parts import ASKED_ROWS
from sluice.run.rules.rule import Rule, Setting, compile_rule, parse_setting
from sluice.run.stage import stage_record
from sluice.table.layout import CHECKED, FILTERED, Layout
from sluice.table.read import values_at
from sluice.wording import counted

if TYPE_CHECKING:
    from sluice.run.ledger import Run
    from sluice.run.locked import LockedFilter
    from sluice.run.what_if_balance import BalanceIf


@dataclass(frozen=True)
class WhatIf:
    """Yield before and after, by rule and overlap."""

    stage: str
    entered: int  # samples that entered the stage
    before: dict[str, int]  # by verdict
    after: dict[str, int]
    rules_before: dict[str, dict[str, int]]  # by rule: samples, alone
    rules_after: dict[str, dict[str, int]]
    conditions: dict[str, tuple[str | None, str | None]]  # of the changed rules: before, after
    gained: int  # kept now, not before
    lost: int
    gained_ids: tuple[str, ...]  # a few
    lost_ids: tuple[str, ...]
    overlap: dict[str, int]  # "rule + rule": samples that both speak against, after
    balance: BalanceIf | None = None  # None: the recipe has no `balance`

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        return {**vars(self), "balance": self.balance and dict(vars(self.balance))}

    def __str__(self) -> str:
        return "\n".join(_text(self))


def what_if(run: Run, settings: Sequence[str]) -> WhatIf:
    """Decide again with `settings` in place of the recipe's rules."""
    parsed = [parse_setting(text) for text in settings]
    stage, config = _stage_of(run, parsed)
    schema = pq.read_schema(run.layout.rows_of(stage))
    old = {rule.name: rule for rule in config.rules}
    new = dict(old)
    for text, setting in zip(settings, parsed, strict=True):
        if setting.when is None:
            if setting.name not in old:
                raise RecipeError(f"--set {text!r}: the recipe has no rule {setting.name!r} (it has: {_names(old)})")
            del new[setting.name]
        else:
            was = old.get(setting.name)
            new[setting.name] = Rule(
                setting.name, setting.when, was.effect if was else "rejected", was.null if was else "held"
            )
    rules = [compile_rule(rule, schema, f"--set {rule.name}") for rule in new.values()]
    corpus = load_corpus(run.layout, config.duplicates, stage)
    choosing = choosing_in(stage, config)
    judging = Judging(run.layout, rules, config.duplicates, corpus, stage, choosing, part_rows=ASKED_ROWS)
    compared = compare(judging)
    record = stage_record(run.layout, stage)
    return WhatIf(
        stage=stage,
        entered=record["in"],
        before={name: record[name] for name in ("kept", "rejected", "held", "failed")},
        after=compared.after,
        rules_before=record["rules"],
        rules_after=compared.rules,
        conditions={
            name: (old[name].when if name in old else None, new[name].when if name in new else None)
            for name in dict.fromkeys([*old, *new])
            if old.get(name) != new.get(name)
        },
        gained=compared.gained.count,
        lost=compared.lost.count,
        gained_ids=_ids(run.layout, stage, compared.gained.first),
        lost_ids=_ids(run.layout, stage, compared.lost.first),
        overlap=compared.overlap,
        balance=_balance(run, judging),
    )


def _balance(run: Run, judging: Judging) -> BalanceIf | None:
    if not run.balances:
        return None
    judgement = judge(judging.layout, judging.rules, judging.config, judging.corpus, judging.stage, judging.more)
    from sluice.run.what_if_balance import balance_if  # as slow to import as all of a run

    return balance_if(run, judging.stage, judgement)


def _stage_of(run: Run, settings: Sequence[Setting]) -> tuple[str, LockedFilter]:
    """The stage that the settings are about: that whose rules they name, or whose columns a new rule reads."""
    if run.quality is None or not run.layout.stage_file(CHECKED).is_file():
        return FILTERED, run.filter
    early = set(pq.read_schema(run.layout.rows).names)
    late = set(pq.read_schema(run.layout.rows_of(CHECKED)).names) - early
    stages = {_asked(setting, run.filter, run.quality, late) for setting in settings}
    if len(stages) > 1:
        raise RecipeError(
            f"--set: some rules are of {FILTERED}, some of {CHECKED}: ask for one stage at a time, as the second "
            "judges only what the first keeps, and has measured nothing else"
        )
    return (CHECKED, run.quality) if CHECKED in stages else (FILTERED, run.filter)


def _asked(setting: Setting, early: LockedFilter, late: LockedFilter, columns: set[str]) -> str:
    if setting.name in {rule.name for rule in early.rules}:
        return FILTERED
    words = set(re.findall(r"\w+", (setting.when or "").lower()))
    named = setting.name in {rule.name for rule in late.rules}
    return CHECKED if named or words & columns else FILTERED


def _ids(layout: Layout, stage: str, ordinals: Sequence[int]) -> tuple[str, ...]:
    return tuple(values_at(layout.verdicts(stage), "id", ordinals))


def _names(rules: dict[str, Rule]) -> str:
    return ", ".join(rules) or "none"


def _text(result: WhatIf) -> list[str]:
    lines = [f"{result.stage}: {counted(result.entered, 'sample')} entered"]
    for name, (before, after) in result.conditions.items():
        lines.append(f"{name}: {before or '(not there)'}  ->  {after or '(off)'}")
    lines += ["", f"{'':<26}{'before':>10}{'after':>10}{'change':>10}"]
    for verdict in ("kept", "rejected", "held", "failed"):
        lines.append(_line(verdict, result.before[verdict], result.after[verdict]))
    kept = result.before["kept"], result.after["kept"]
    shares = [100 * count / result.entered if result.entered else 0.0 for count in kept]
    lines += [f"{'yield':<26}{shares[0]:>9.2f}%{shares[1]:>9.2f}%{shares[1] - shares[0]:>+9.2f}%", ""]
    lines += [f"{'by rule':<26}{'before':>10}{'after':>10}{'change':>10}{'alone':>10}"]
    for name in dict.fromkeys([*result.rules_before, *result.rules_after]):
        before = result.rules_before.get(name, {"samples": 0})["samples"]
        after = result.rules_after.get(name, {"samples": 0, "alone": 0})
        lines.append(_line(name, before, after["samples"]) + f"{after['alone']:>10,}")
    if result.overlap:
        lines += ["", "spoken against together"]
        lines += [f"  {pair:<44}{count:>10,}" for pair, count in list(result.overlap.items())[:5]]
    if result.balance is not None:
        lines += result.balance.lines()
    for word, count, ids in (("gained", result.gained, result.gained_ids), ("lost", result.lost, result.lost_ids)):
        if count:
            lines += ["", f"{word} {count:,}, for instance {', '.join(identity[:12] for identity in ids)}"]
    return lines


def _line(name: str, before: int, after: int) -> str:
    return f"{name:<26}{before:>10,}{after:>10,}{after - before:>+10,}"
