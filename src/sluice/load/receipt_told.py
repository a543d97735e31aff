"""What the receipts of a training say, as values, as text and as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

from sluice.wording import counted

_SHOWN: Final = 20


@dataclass(frozen=True)
class Odd:
    """An id that was not served as often as it should have been."""

    epoch: int
    source: int
    id: str
    times: int
    least: int
    most: int


@dataclass(frozen=True)
class EpochReceipt:
    """What was served of one epoch; a batch that was served twice counts once."""

    epoch: int
    steps: int
    samples: int  # places, those left empty too
    by_rank: dict[int, int]
    ended: bool
    missing: tuple[str, ...]  # steps, or ranks of a step, that no receipt has
    twice: tuple[str, ...]  # steps that were served again


@dataclass(frozen=True)
class Receipt:
    """What the receipts of a training say."""

    folder: str
    packs: tuple[str, ...]
    epochs: tuple[EpochReceipt, ...]
    odd: tuple[Odd, ...]
    odd_in_all: int
    dropped: int  # samples of a short last batch
    bad: tuple[dict[str, Any], ...]  # quarantined, and who took the place of each
    too_long: int  # samples that no batch could hold
    notes: tuple[str, ...] = ()

    @property
    def fine(self) -> bool:
        """Whether every id was served as often as it should have been, and no step is missing."""
        return not self.odd_in_all and not any(one.missing for one in self.epochs)

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        return {**asdict(self), "fine": self.fine}

    def __str__(self) -> str:
        return "\n".join(_lines(self))


def _lines(receipt: Receipt) -> list[str]:
    lines: list[str] = []
    for one in receipt.epochs:
        ranks = ", ".join(f"rank {rank}: {count:,}" for rank, count in one.by_rank.items())
        state = "whole" if one.ended else "not at its end yet"
        lines.append(
            f"epoch {one.epoch}, {state}: {counted(one.steps, 'step')}, {counted(one.samples, 'sample')} ({ranks})"
        )
        lines += [f"  served twice, counted once: {said}" for said in one.twice]
        lines += [f"  MISSING, no receipt has it: {said}" for said in one.missing]
    for bad in receipt.bad[:_SHOWN]:
        instead = f"{bad['replaced_by']} came in its place" if bad["replaced_by"] else "nothing came in its place"
        lines.append(
            f"bad: {bad['id']} in step {bad['step']} of epoch {bad['epoch']} ({bad['failure_class']}: "
            f"{bad['failure']}); {instead}"
        )
    if len(receipt.bad) > _SHOWN:
        lines.append(f"and {len(receipt.bad) - _SHOWN:,} more bad")
    if receipt.too_long:
        lines.append(f"{counted(receipt.too_long, 'sample')} longer than any batch, left out")
    if receipt.dropped:
        lines.append(f"{counted(receipt.dropped, 'sample')} of short last batches, dropped as asked")
    for odd in receipt.odd[:_SHOWN]:
        wanted = str(odd.least) if odd.least == odd.most else f"{odd.least} to {odd.most}"
        lines.append(f"WRONG: {odd.id} was served {odd.times} times in epoch {odd.epoch}, and should be {wanted}")
    if receipt.odd_in_all > _SHOWN:
        lines.append(f"and {receipt.odd_in_all - _SHOWN:,} more ids that are wrong")
    known = "every id as often as it should be" if not receipt.notes else "no step is missing"
    return [*lines, *receipt.notes, known if receipt.fine else "NOT as it should be"]
