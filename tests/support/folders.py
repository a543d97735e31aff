"""What a run folder holds, as digests: stages, ledger and shards, without what tells the time."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path

TIMES = ("seconds.json", "events.jsonl", "report.html")


def tree_digest(folder: Path, ignore: Collection[str] = ()) -> dict[str, str]:
    """SHA-256 of every file of a run by its path; `ignore` names files or top folders to leave out beside TIMES.

    `.state` is only for resuming and does not count; the recipe's own place is left out of the lock.
    """
    digests: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if not path.is_file() or name.parts[0] == ".state" or {name.parts[0], path.name} & {*TIMES, *ignore}:
            continue
        data = path.read_bytes()
        if path.name == "recipe.lock.yaml":
            data = b"\n".join(line for line in data.splitlines() if not line.startswith(b"recipe_file:"))
        digests[name.as_posix()] = hashlib.sha256(data).hexdigest()
    return digests


def differing(one: dict[str, str], other: dict[str, str]) -> list[str]:
    """The files that are not the same in both."""
    return sorted(name for name in {*one, *other} if one.get(name) != other.get(name))
