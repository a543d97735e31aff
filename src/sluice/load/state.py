"""Where a loader stands, as it is saved with a checkpoint: epoch, step, and what order they count in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sluice.errors import RunError

VERSION: Final = 1  # of the order: raised when the same settings would give another one


def saved(epoch: int, step: int, settings: Mapping[str, Any], place: Sequence[int] = ()) -> dict[str, Any]:
    """The state: small, plain JSON, the same on every rank and worker.

    Epoch and step say it all; `place` follows from them, and spares working it out.
    """
    return {
        "epoch": epoch,
        "step": step,
        "place": list(place),
        "order": dict(settings),
        "fingerprint": fingerprint(settings),
    }


def resumed(state: Mapping[str, Any], settings: Mapping[str, Any]) -> tuple[int, int, list[int]]:
    """The epoch, the step and the place of `state`; RunError says what is another than it was.

    >>> resumed(saved(1, 7, {"seed": 0}), {"seed": 0})
    (1, 7, [])
    """
    try:
        epoch, step, before = int(state["epoch"]), int(state["step"]), dict(state["order"])
        place = [int(number) for number in state.get("place", ())]
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"this is no state of a loader ({error!r}): give what state_dict() returned") from error
    changed = [
        f"{name} was {before.get(name)!r} and is {settings.get(name)!r}"
        for name in sorted({*before, *settings})
        if before.get(name) != settings.get(name)
    ]
    if changed:
        raise RunError(f"this state counts in another order: {'; '.join(changed)}")
    return epoch, step, place


def fingerprint(settings: Mapping[str, Any]) -> str:
    """Of an order: equal settings, equal fingerprint."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
