"""What a loader is given as `augment`, put behind its decoder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from sluice.errors import RunError
from sluice.load.augment.declared import Augment, Augmented, Recorded
from sluice.load.augment.examples import Examples
from sluice.load.fetching import Decode
from sluice.load.folder import PackFolder
from sluice.load.store import Store

RECIPE: Final = "recipe"


def augmented(
    decode: Decode | None, augment: Augment | Sequence[Any] | Path | str, folders: Sequence[PackFolder], split: str
) -> Augmented:
    """`decode` (by default examples of the packs) with the steps for `split` behind it."""
    return Augmented(decode or Examples(), _asked(augment, folders).of_split(split))


def _asked(augment: Augment | Sequence[Any] | Path | str, folders: Sequence[PackFolder]) -> Augment:
    if isinstance(augment, Augment):
        return augment
    if augment == RECIPE:
        return _of_packs([folder.store for folder in folders])
    return Augment.load(augment) if isinstance(augment, Path | str) else Augment.of(augment)


def _of_packs(packs: Sequence[Store]) -> Augment:
    """The steps that all packs hold alike."""
    found = [Recorded.in_pack(pack) for pack in packs]
    for pack, one in zip(packs, found, strict=True):
        if one != found[0]:
            raise RunError(
                f"{packs[0].where} and {pack.where} declare different steps: "
                "give the loader those that are meant (Augment.load)"
            )
    return found[0]
