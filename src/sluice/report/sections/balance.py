"""What balancing did: its steps, then each kind of sample before and after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
    kinds = [kind for kind in balance["kinds"] if len(kind["groups"]) > 1]  # of a single group there is nothing to see
    return tag(
        "div",
        tag("h3", "Balance"),
        tag("p", f"Of {totals[0]:,} samples that passed every rule, {balance['drawn']:,} were drawn.{epoch}"),
        _steps(balance["steps"]),
        _legend("in an epoch" if epoch else "drawn") if kinds else None,
        [_kind(kind, totals) for kind in kinds],
        class_="balance",
    )


def _steps(steps: Sequence[dict[str, Any]]) -> Html:
    repeated = any("epoch" in step for step in steps)
    rows = [
        [
            _step(step),
            f"{step['in']:,}",
            f"{step['drawn']:,}",
            f"{step['drawn'] - step['in']:+,}".replace("-", "\N{MINUS SIGN}") if step["drawn"] < step["in"] else "0",
            *([f"{step.get('epoch', step['drawn']):,}"] if repeated else []),
        ]
        for step in steps
    ]
    head = ["Step", "Entered", "Drawn", "Change", *(["Epoch"] if repeated else [])]
    return table(head, rows, caption="Step by step", numbers=range(1, len(head)))


def _legend(after: str) -> Html:
    """What the two bars of a row are."""
    told = [
        tag("li", tag("span", tag("i", class_=f"dot {role}"), word, class_="chip"))
        for role, word in (("before", "share before"), ("kept", f"share {after}"))
    ]
    return tag("ul", told, class_="legend", aria_label="Colours of the bars")


def _step(step: dict[str, Any]) -> str:
    name: str = step["step"]
    of: str | None = step.get("of")
    return _STEPS.get(name, name) + (f" · {of}" if of else "")


@dataclass(frozen=True)
class _Group:
    """One group of a kind, or those summed up."""

    name: str
    before: int
    drawn: int
    seen: float  # by an epoch


def _groups(kind: dict[str, Any]) -> list[_Group]:
    """The largest groups, the others as one."""
    named = [_Group(*group) for group in kind["groups"]]
    rest, count = named[_SHOWN:], len(named[_SHOWN:])
    if "others" in kind:
        number, *sums = kind["others"]
        rest, count = [*rest, _Group("", *sums)], count + number
    if not rest:
        return named
    sums = (sum(one.before for one in rest), sum(one.drawn for one in rest), sum(one.seen for one in rest))
    return [*named[:_SHOWN], _Group(f"{count:,} others", *sums)]


def _kind(kind: dict[str, Any], totals: tuple[int, int]) -> Html:
    """A row a group: two bars, what it was of all before above what an epoch sees of it."""
    groups = _groups(kind)
    shares = [(group.before / (totals[0] or 1), group.seen / (totals[1] or 1)) for group in groups]
    most = max(max(pair) for pair in shares[:_SHOWN]) or 1  # the others, summed up, may be more: their bars are cut
    repeated = any(group.drawn != round(group.seen) for group in groups)
    rows: list[list[Child]] = [
        [
            tag("bdi", group.name),
            tag("span", _bar("before", before / most), _bar("kept", after / most), class_="bars", aria_hidden="true"),
            f"{group.before:,}",
            percent(group.before, totals[0]),
            f"{group.drawn:,}",
            *([f"{group.seen:,.0f}"] if repeated else []),
            percent(round(group.seen), totals[1]),
        ]
        for group, (before, after) in zip(groups, shares, strict=True)
    ]
    head: list[Child] = ["", tag("span", "bars", class_="unseen"), "Before", "Share", "Drawn"]
    head += ["Epoch", "Share"] if repeated else ["Share"]
    name: str = kind["of"]
    return tag("div", table(head, rows, caption=_KINDS.get(name, name), numbers=range(2, len(head))), class_="mix")


def _bar(role: str, share: float) -> Html:
    return tag("i", style=f"width:{100 * min(share, 1):.2f}%", class_=role)
