"""The rights gate: `filter.rights` as ordinary rules, so that `why` and `what-if` treat them as any other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, Protocol

from sluice.run.rules.rule import Rule

UNKNOWN: Final = "licence_unknown"
NOT_ALLOWED: Final = "licence_not_allowed"
OPTED_OUT: Final = "opted_out"
NAMES: Final = (UNKNOWN, NOT_ALLOWED, OPTED_OUT)  # reasons that the gate gives; no rule may take them

Unknown = Literal["reject", "hold", "pass"]


def spdx_ids(licences: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """The same; ValueError where one of them is no SPDX id, with what it may have been meant to be."""
    from sluice.measures.rights import near_ids, spdx

    for name in licences or ():
        if spdx(name) != name:
            hint = near_ids(name)
            raise ValueError(f"{name!r} is no SPDX id{f' (did you mean {hint}?)' if hint else ''}")
    return licences


class RightsAsked(Protocol):
    """Of `RightsConfig`, what deciding needs."""

    @property
    def allow(self) -> Sequence[str] | None: ...
    @property
    def unknown(self) -> Unknown: ...


def rights_rules(rights: RightsAsked | None) -> list[Rule]:
    """The rules that the gate stands for: an unknown licence fails closed, and only the listed ones pass.

    >>> from types import SimpleNamespace
    >>> for rule in rights_rules(SimpleNamespace(allow=("CC0-1.0", "CC-BY-4.0"), unknown="reject")):
    ...     print(f"{rule.name}: {rule.when} -> {rule.effect}")
    licence_unknown: spdx IS NULL -> rejected
    licence_not_allowed: spdx NOT IN ('CC0-1.0', 'CC-BY-4.0') -> rejected
    """
    if rights is None or rights.allow is None:
        return []
    rules: list[Rule] = []
    if rights.unknown != "pass":
        rules.append(Rule(UNKNOWN, "spdx IS NULL", "rejected" if rights.unknown == "reject" else "held"))
    listed = ", ".join("'" + spdx.replace("'", "''") + "'" for spdx in rights.allow)
    # NULL is the other rule's to judge.
    return [*rules, Rule(NOT_ALLOWED, f"spdx NOT IN ({listed})", "rejected", "pass")]
