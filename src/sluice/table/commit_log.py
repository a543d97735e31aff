"""The commits of a folder in a store: numbered files of which each can be made once, whoever tries.

`.commits/00000007.json` says who committed, and which files of the folder changed to which size and SHA-256; a record
that is `whole` names all of them. Two processes that believe to be at the same number want to make the same next file:
one of them does, and the other is told. Nothing else of a store is needed, so every one that can refuse to replace a
file will do.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sluice.errors import RunError
from sluice.table import remote
from sluice.table.remote import MissingRemoteError, RemoteError, in_rounds
from sluice.table.remote_write import TakenError, create, read, remove

COMMITS: Final = ".commits"
_TRIES: Final = 5  # a reader that finds a record removed meanwhile looks anew


@dataclass(frozen=True)
class Content:
    """A file of the folder, by what is in it."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Snapshot:
    """The folder as of its last commit."""

    number: int
    owner: str  # who committed last: a token
    who: str  # the same for people: machine and process
    released: bool  # whether that process ended well
    made: float | None  # when, by the clock of the store; seconds since 1970
    files: Mapping[str, Content]


def read_log(url: str) -> Snapshot | None:
    """The folder at `url` as of its last commit; None where there never was one."""
    for _ in range(_TRIES):
        try:
            return _read(url)
        except MissingRemoteError:  # removed since it was listed: there is a later one
            continue
        except RemoteError as error:
            raise RunError(str(error)) from error
        except (ValueError, KeyError, TypeError) as error:
            raise RunError(f"{url}/{COMMITS} is damaged ({error}): remove that folder and run again") from error
    raise RunError(f"{url}: changes all the time; try again later")


def _read(url: str) -> Snapshot | None:
    listed = _listed(url)
    if not listed:
        return None
    last = number = max(listed)
    records: list[dict[str, Any]] = []
    while not records or not records[-1]["whole"]:
        records.append(json.loads(in_rounds(url, lambda: read(_record(url, number)))))  # noqa: B023 - called at once
        number -= 1
    files: dict[str, Content] = {}
    for record in reversed(records):
        for name, content in record["files"].items():
            if content is None:
                files.pop(name, None)
            else:
                files[name] = Content(*content)
    told = records[0]
    return Snapshot(last, told["owner"], told["who"], told["released"], _seconds(listed[last]), files)


def commit(url: str, snapshot: Snapshot, changes: Mapping[str, Content | None] | None) -> None:
    """Make `snapshot` the last commit; TakenError where another process has made one of that number.

    `changes` since the one before, None for a file that is gone; without them the record is whole. Whoever took the
    folder over twice has removed the record of that number: a later one tells that this comes too late.
    """
    named = snapshot.files if changes is None else changes
    record = {
        "number": snapshot.number,
        "owner": snapshot.owner,
        "who": snapshot.who,
        "released": snapshot.released,
        "whole": changes is None,
        "files": {name: content and [content.size, content.sha256] for name, content in sorted(named.items())},
    }
    create(_record(url, snapshot.number), json.dumps(record, ensure_ascii=False).encode())
    if not is_last(url, snapshot.number):
        raise TakenError(f"{_record(url, snapshot.number)}: there is a later one")


def is_last(url: str, number: int) -> bool:
    """Whether nobody has committed after `number`: one request."""
    return max(_listed(url), default=0) <= number


def check_commits(url: str, number: int) -> None:
    """RunError where the store lets a commit be made twice: two processes would not notice each other there."""
    try:
        create(_record(url, number), b"another")
    except TakenError:
        return
    remove([_record(url, number)])
    raise RunError(
        f"{url}: this store replaces files though it is asked not to (conditional writes, If-None-Match), so two runs "
        f"could overwrite each other; choose a store that knows them, or a folder on a disk"
    )


def forget_before(url: str, number: int) -> None:
    """Remove the records before the whole one `number`."""
    remove(_record(url, one) for one in sorted(_listed(url)) if one < number)


def _listed(url: str) -> dict[int, Mapping[str, Any]]:
    """The records that are there, by number, with what the store says of each."""
    found = in_rounds(url, lambda: remote.find(f"{url}/{COMMITS}"))
    return {int(name.rpartition("/")[2].partition(".")[0]): facts for name, facts in found.items()}


def _record(url: str, number: int) -> str:
    return f"{url}/{COMMITS}/{number:08d}.json"


def _seconds(facts: Mapping[str, Any]) -> float | None:
    made = facts.get("LastModified") or facts.get("created") or facts.get("mtime") or facts.get("last_modified")
    return made.timestamp() if isinstance(made, datetime) else made if isinstance(made, float) else None
