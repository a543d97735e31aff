"""Shards of a pack that lies in a store: written here one at a time, sent in parts, and then only there.

A receipt says under which name of the store's (an ETag or the like) its shard arrived. One that says nothing of it is
of a shard that lies here still, and is sent before anything is written anew.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress

from sluice.engine import WorkerContext
from sluice.errors import RunError
from sluice.pack.base import is_shard
from sluice.run.packing import PackShared, Place, ShardGroup, keep_stored, pack_shards, read_receipt, stored_as
from sluice.table import remote
from sluice.table.commit import commit
from sluice.table.remote import MissingRemoteError, RefusedError, RemoteError, in_rounds, stamp
from sluice.table.remote_write import abandon_parts, download, remove, upload


def pack_and_send(shared: PackShared, group: ShardGroup, context: WorkerContext) -> list[tuple[str, int, int]]:
    """Write the shards of a group, send them and keep nothing of them here. Runs in a worker."""
    place = shared.place
    try:
        for job in group.jobs:
            written = read_receipt(place, job.name)
            if written is not None and written.whole == job.whole and written.fingerprint != job.fingerprint:
                _fetch(place, job.name)  # all but what was taken down is copied from it
        packed = pack_shards(shared, group, context)
        for job in group.jobs:
            _send(place, job.name)
    except RemoteError as error:
        raise RunError(str(error)) from error
    return packed


def url_of(place: Place, name: str) -> str:
    """Where a file of a pack in a store lies."""
    return f"{place.store}/{name}"


def _send(place: Place, name: str) -> None:
    path = place.folder / name
    if stored_as(place, name) is None:
        keep_stored(place, name, upload(url_of(place, name), path))
    path.unlink(missing_ok=True)


def _fetch(place: Place, name: str) -> None:
    path = place.folder / name
    if stored_as(place, name) is not None and not path.is_file():
        with commit(path) as partial:
            download(url_of(place, name), partial)


def is_settled(place: Place, name: str) -> bool:
    """Whether a shard lies where its pack lies."""
    return place.store is None or stored_as(place, name) is not None


def forget_lost(place: Place) -> None:
    """Forget the receipts of shards that the store does not hold as they were sent; one listing tells."""
    if place.store is None:
        return
    there = shards_in(place.store)
    for path in sorted(place.receipts.rglob("*.parquet")):
        name = path.relative_to(place.receipts).as_posix().removesuffix(".parquet")
        sent = stored_as(place, name)
        if sent is not None and there.get(name) != sent:
            path.unlink()
    with suppress(RefusedError):  # who may write need not be allowed to list what others left
        abandon_parts(place.store)


def remove_strays(url: str, named: Collection[str]) -> None:
    """Remove the shards in the store that the pack does not name any more."""
    try:
        remove(f"{url}/{name}" for name in shards_in(url) if name not in named)
    except RemoteError as error:
        raise RunError(str(error)) from error


def shards_in(url: str) -> dict[str, str]:
    """The shards that the store holds, each with what it calls their version."""
    root = remote.filesystem(url)[1].rstrip("/")
    try:
        found = in_rounds(url, lambda: remote.find(url))
    except MissingRemoteError:
        return {}
    except RemoteError as error:
        raise RunError(str(error)) from error
    names = {path.removeprefix(root).lstrip("/"): facts for path, facts in found.items()}
    return {name: stamp(facts) for name, facts in names.items() if is_shard(name)}
