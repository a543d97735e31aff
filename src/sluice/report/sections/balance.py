"""What balancing did: its steps, then each kind of sample before and after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sluice.report.gather import Facts
from sluice.report.html import Child, Html, table, tag
from sluice.report.parts import percent
from sluice.table.layout import FINAL

_SHOWN: Final = 10  # groups of a kind; the record of the stage names more
_STEPS: Final = {
    "concepts": "cap on concepts",
    "cap": "cap",
    "tiers": "quality tiers",
    "diversity": "diversity",
    "mixture": "mixture",
}
_KINDS: Final = {
    "source": "Sources",
    "language": "Languages",
    "concepts": "Concepts",
    "clusters": "Clusters",
    "tiers": "Tiers",
}


def balance_part(facts: Facts) -> Html | None:
    """The steps of `balance`, and by kind the shares before and after; None where nothing was balanced."""
    balance: dict[str, Any] | None = facts.stages.records.get(FINAL, {}).get("balance")
    if balance is None:
        return None
    totals = balance["in"], balance["epoch"]
    epoch = f" An epoch takes {totals[1]:,}: some are repeated." if totals[1] > balance["drawn"] else ""
    return tag(
        "div",
        tag("h3", "Balance"),
        tag("p", f"Of {totals[0]:,} samples that passed every rule, {balance['drawn']:,} were drawn.{epoch}"),
        _steps(balance["steps"]),
        [_kind(kind, totals) for kind in balance["kinds"]],
        class_="balance",
    )


def _steps(steps: Sequence[dict[str, Any]]) -> Html:
    rows = [
        [
            " · ".join(filter(None, [_STEPS.get(step["step"], step["step"]), step.get("of")])),
            f"{step['in']:,}",
            f"{step['drawn']:,}",
            f"{step['drawn'] - step['in']:+,}".replace("-", "\N{MINUS SIGN}") if step["drawn"] < step["in"] else "0",
        ]
        for step in steps
    ]
    return table(["Step", "Entered", "Drawn", "Change"], rows, caption="Step by step", numbers=(1, 2, 3))


def _kind(kind: dict[str, Any], totals: tuple[int, int]) -> Html:
    """A row a group: two bars, what it was of all before above what an epoch sees of it."""
    groups, more = kind["groups"][:_SHOWN], kind["groups"][_SHOWN:]
    if "others" in kind:
        more = [*more, kind["others"]]
    if more:
        number = len(kind["groups"]) - len(groups) + (kind["others"][0] if "others" in kind else 0)
        sums = [sum(group[place] for group in more) for place in (1, 2, 3)]
        groups = [*groups, [f"{number:,} others", *sums]]
    shares = [(_share(group[1], totals[0]), _share(group[3], totals[1])) for group in groups]
    most = max((share for pair in shares for share in pair), default=0) or 1
    repeated = any(group[2] != round(group[3]) for group in groups)
    rows: list[list[Child]] = [
        [
            tag("bdi", name),
            tag("span", _bar("before", before / most), _bar("kept", after / most), class_="bars", aria_hidden="true"),
            f"{there:,}",
            percent(there, totals[0]),
            f"{drawn:,}",
            *([f"{seen:,.0f}"] if repeated else []),
            percent(round(seen), totals[1]),
        ]
        for (name, there, drawn, seen), (before, after) in zip(groups, shares, strict=True)
    ]
    head: list[Child] = ["", tag("span", "bars", class_="unseen"), "Before", "Share", "Drawn"]
    head += ["In an epoch", "Share"] if repeated else ["Share"]
    return table(head, rows, caption=_KINDS.get(kind["of"], kind["of"]), numbers=range(2, len(head)))


def _bar(role: str, share: float) -> Html:
    return tag("i", style=f"width:{100 * share:.2f}%", class_=role)


def _share(count: float, total: int) -> float:
    return count / total if total else 0.0
