"""Cost: seconds, bytes and money that the run took, in all and for a packed sample."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from sluice.run.gate.captions import paid
from sluice.run.gate.check import Check, limited, shown, unknown
from sluice.run.stage import stage_record
from sluice.table.layout import FINAL, RAW
from sluice.wording import counted

if TYPE_CHECKING:
    from sluice.run.ledger import Run

COST: Final = "cost"


def cost_checks(run: Run, kept: int) -> Iterator[Check]:
    """Seconds, bytes, money."""
    yield _seconds(run, kept)
    yield _bytes(run, kept)
    yield _money(run, kept)


def _seconds(run: Run, kept: int) -> Check:
    most = run.recipe.gate.max_seconds_per_kept
    limit = "" if most is None else f"{most:g} s a sample"
    taken = {stage.stage: stage.seconds for stage in run.status().stages}
    untold = [stage for stage, seconds in taken.items() if seconds is None]
    if untold or not kept:
        why = f"not told of {', '.join(untold)}" if untold else "nothing is packed"
        how = f"{run.layout.events.name} of the run tells it; it is missing or was cut: run anew into another folder"
        return unknown(COST, "seconds", why, limit, required=most is not None, how=how, details={"stages": taken})
    whole = sum(seconds for seconds in taken.values() if seconds is not None)
    value = f"{whole:,.1f} s, {whole / kept:.4g} s a sample"
    details = {"seconds": round(whole, 3), "per_kept": whole / kept, "stages": taken}
    if most is None:
        return shown(COST, "seconds", value, details)
    how = "`sluice status` shows which stage takes them"
    return limited(COST, "seconds", value, limit, fine=whole / kept <= most, how=how, details=details)


def _bytes(run: Run, kept: int) -> Check:
    read: int = stage_record(run.layout, RAW).get("bytes", 0)
    packed: int = sum(stage_record(run.layout, FINAL).get("bytes", {}).values())
    each = f", {packed / kept:,.0f} a sample" if kept else ""
    details = {"source": read, "packed": packed, "per_kept": packed / kept if kept else None}
    return shown(COST, "bytes", f"{packed:,} packed{each}; {read:,} in the source", details)


def _money(run: Run, kept: int) -> Check:
    most = run.recipe.gate.max_cost_per_kept
    limit = "" if most is None else f"{most:g} a sample"
    spent, unpriced = _spent(run)
    details: dict[str, Any] = {"spent": spent, "unpriced": unpriced}
    if unpriced or not kept:
        who = ", ".join(unpriced) or "nothing is packed"
        why = f"at least {spent:g}; no price is known of {who}" if unpriced else who
        how = "state the `price` of that service in the recipe; a service without that field cannot be priced"
        return unknown(COST, "money", why, limit, required=most is not None, how=how, details=details)
    details["per_kept"] = spent / kept
    value = f"{spent:,.4g}, {spent / kept:.4g} a sample" if spent else "0: no service that charges was asked"
    if most is None:
        return shown(COST, "money", value, details)
    how = "`spent` in 02_captioned/stage.json says what the captions took"
    return limited(COST, "money", value, limit, fine=spent / kept <= most, how=how, details=details)


def _spent(run: Run) -> tuple[float, list[str]]:
    """What the services were paid, as far as is known; and which of them said no price of something they were asked."""
    recipe = run.recipe
    captioners = recipe.captions.captioners if recipe.captions else ()
    money, unpriced = paid(run.layout, [one.name for one in captioners if one.type != "chat"])
    untold = [f"{counted(count, 'answer')} of {name}" for name, count in unpriced.items()]
    if recipe.quality and recipe.quality.encoder.type == "http":
        untold.append(f"the encoder {recipe.quality.encoder.model}")
    return money, untold
