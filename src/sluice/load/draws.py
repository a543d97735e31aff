"""The key that all draws for one serving of a sample come from: the same on every rank, worker and resume."""

from __future__ import annotations

import hashlib


def draw_key(seed: int, epoch: int, turn: int, repeat: int, id: str) -> int:
    """64 bits of a loader's seed, the epoch, and which serving of the sample `id` this is in it.

    A source that is begun again within an epoch is in another `turn`; a sample that a pack wants repeated has a
    `repeat` each time: so none of them is drawn alike. Philox makes the numbers, the hash only spreads the keys.

    >>> draw_key(0, 0, 0, 0, "a") == draw_key(0, 0, 0, 0, "a") != draw_key(0, 1, 0, 0, "a")
    True
    """
    name = f"sluice.draws/1\n{seed}\n{epoch}\n{turn}\n{repeat}\n{id}"
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
