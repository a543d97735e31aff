"""A run in an object store: worked on in a folder of this machine, committed to the store, its shards there alone.

What lies here is the ledger, and no more of the pack than what lists it. Any machine can go on with such a run: it
brings the ledger first. The folder here is a cache: when it is gone, it is brought again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import urlsplit

from sluice.errors import RunError
from sluice.table.layout import FINAL, STAGES, Layout

if TYPE_CHECKING:
    from sluice.run.exports import Exports
    from sluice.table.mirror import Mirror

Listener: TypeAlias = Callable[[dict[str, Any]], None]
Watch: TypeAlias = Callable[[Listener | None], Listener | None]

_STATE: Final = "store.json"
_HERE_ALONE: Final = (".state/lock", ".state/working", ".state/plan/", f".state/{_STATE}")
_OF_AN_EXPORT: Final = re.compile(
    rf"\.state/exports/[^/]+/(pack/.*|{re.escape(_STATE)})"
)  # the pack itself, not its record
_SMALL: Final = ("recipe.lock.yaml", "events.jsonl", "stage.json", "seconds.json")
_AT_ONCE: Final = ("packing", "stage_done", "run_done")  # packing: who was replaced must not send shards


def is_url(place: str) -> bool:
    """Whether a run at `place` lies in a store and not in a folder.

    >>> is_url("s3://bucket/runs/photos"), is_url("runs/photos")
    (True, False)
    """
    return "://" in place and not place.startswith("file://")


def checked(url: str) -> str:
    """`url` as the place of a run or a pack; ValueError where it is none that can be written to.

    >>> checked("s3://bucket/runs/photos/")
    's3://bucket/runs/photos'
    """
    parts = urlsplit(url)
    if "@" in parts.netloc:
        raise ValueError("holds a user name or a key; credentials come from the environment or the store's own files")
    if parts.query or parts.fragment:
        raise ValueError("ends in a query, as signed URLs do: what is signed is one file; give the folder alone")
    if parts.scheme in ("http", "https"):
        raise ValueError("is a web address, to which nothing can be written; give an object store, such as s3://")
    if not parts.netloc or not parts.path.strip("/"):
        raise ValueError("names no folder in a bucket; write scheme://bucket/folder")
    return url.rstrip("/")


def working_copy(url: str) -> Path:
    """The folder on this machine for the run at `url`, in the user's own cache."""
    from sluice.table.ids import fingerprint

    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser().absolute()
    return cache / "sluice" / "runs" / f"{url.rpartition('/')[2]}-{fingerprint(url)[:12]}"


def layout_of(place: str | Path) -> Layout:
    """The layout of the run at `place`, a folder or a URL."""
    if not is_url(str(place)):
        return Layout(Path(place))
    try:
        url = checked(str(place))
    except ValueError as error:
        from sluice.table.remote import masked

        raise RunError(f"{masked(str(place))}: {error}") from None
    return Layout(working_copy(url), url)


def is_there(url: str) -> bool:
    """Whether there is a file at `url`."""
    from sluice.table.remote import MissingRemoteError, RemoteError, in_rounds, info

    try:
        in_rounds(url, lambda: info(url))
    except MissingRemoteError:
        return False
    except RemoteError as error:
        raise RunError(str(error)) from error
    return True


@contextmanager
def committed(layout: Layout) -> Generator[Watch]:
    """Keep the store at one with the folder for as long as this process works in it; who listens may commit, too."""
    if layout.store is None:
        yield lambda listener: listener
        return
    mirror = _mirror(layout, layout.store)
    _without(layout, mirror.take())

    def watch(listener: Listener | None) -> Listener:
        def told(event: dict[str, Any]) -> None:
            if listener:
                listener(event)
            if event["event"] in _AT_ONCE:
                mirror.send()
                if event.get("stage") == FINAL:
                    _remove_strays(layout)
            else:
                mirror.send_if_due()

        return told

    try:
        yield watch
    except BaseException:
        if not mirror.lost:
            with suppress(RunError):  # what ended the work is told, not that it could not be committed
                mirror.send(released=True)
        raise
    mirror.send(released=True)


@contextmanager
def exported(exports: Exports) -> Generator[Callable[[], None]]:
    """Hold the place of an exported pack where it lies in a store; what this gives commits the pack."""
    if exports.store is None:
        yield lambda: None
        return
    from sluice.pack.base import is_shard
    from sluice.pack.manifest import read_checksums
    from sluice.run.sending import remove_strays
    from sluice.table.mirror import Mirror

    url, folder = exports.store, exports.folder
    folder.mkdir(parents=True, exist_ok=True)
    mirror = Mirror(folder, url, exports.record.with_name(_STATE), lambda name: not is_shard(name))
    mirror.take()

    def commit() -> None:
        mirror.send()
        remove_strays(url, read_checksums(folder))

    yield commit
    mirror.send(released=True)


def bring(layout: Layout, *, all: bool) -> None:
    """Bring what the store holds of a run that is only asked; but for `all`, only what says how far it is."""
    if layout.store is not None:
        layout.state.mkdir(parents=True, exist_ok=True)
        _mirror(layout, layout.store).bring(lambda name: all or name.rpartition("/")[2] in _SMALL)


def is_heard_of(layout: Layout) -> bool:
    """Whether a process, on whatever machine, works in a run that lies in a store."""
    if layout.store is None:
        return False
    from sluice.table.mirror import heard_of

    return heard_of(layout.store)


def _remove_strays(layout: Layout) -> None:
    """Remove from the store, once the pack is committed, what it does not name."""
    from sluice.pack.manifest import read_checksums
    from sluice.run.sending import remove_strays

    if layout.stage_file(FINAL).is_file():
        remove_strays(f"{layout.store}/{FINAL}", read_checksums(layout.final))


def _without(layout: Layout, lost: list[str]) -> None:
    """Reopen the stages whose files could not be had as they were committed: these are made again."""
    of_run = [name for name in lost if not name.startswith(".state/receipts/")]  # a shard without one is made again
    for stage in STAGES:
        if any(name.startswith((f"{stage}/", ".state/")) for name in of_run):
            for later in STAGES[STAGES.index(stage) :]:
                layout.stage_file(later).unlink(missing_ok=True)
            return


def _mirror(layout: Layout, url: str) -> Mirror:
    from sluice.table.mirror import Mirror

    return Mirror(layout.root, url, layout.state / _STATE, _is_of_run)


def _is_of_run(name: str) -> bool:
    """Whether a file of a run is sent by commits: not what is of this machine, nor shards, which go by themselves."""
    from sluice.pack.base import is_shard

    folder, _, rest = name.partition("/")
    if name.startswith(_HERE_ALONE) or _OF_AN_EXPORT.fullmatch(name):
        return False
    return not (folder == FINAL and is_shard(rest.removesuffix(".next")))
