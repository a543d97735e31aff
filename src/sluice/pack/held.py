"""Where the shards of a pack lie that is to be verified: in its folder, or in a store, from which each is lent."""

from __future__ import annotations

import tempfile
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Final, Protocol

from sluice.errors import RunError
from sluice.pack.base import FORMATS, is_shard
from sluice.pack.manifest import CHECKSUMS_FILE, MANIFEST_FILE, read_checksums
from sluice.table import remote
from sluice.table.commit import PARTIAL, commit
from sluice.table.remote import MissingRemoteError, RemoteError, in_rounds
from sluice.table.remote_write import download

ON_DISKS_ALONE: Final = ("energon", "llava", "coco")  # what lists their shards is made from the shards themselves


class Shards(Protocol):
    """The shards of a pack."""

    def sizes(self) -> dict[str, int]:
        """Every file in the folders of the formats, by its path below the pack, with its size."""
        ...

    def lent(self, name: str) -> AbstractContextManager[Path]:
        """A folder in which the shard `name` lies for as long as the block lasts, if there is one."""
        ...


class ShardsHere:
    """The shards in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def sizes(self) -> dict[str, int]:
        """Every file in the folders of the formats."""
        return {
            path.relative_to(self._folder).as_posix(): path.stat().st_size
            for format in FORMATS
            for path in (self._folder / format).rglob("*")
            if path.is_file()
        }

    def lent(self, name: str) -> AbstractContextManager[Path]:
        """The folder itself."""
        return nullcontext(self._folder)


class ShardsThere:
    """The shards behind a URL, each brought to this disk while it is read; `folder` holds the other files."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder, self._url = folder, url

    def sizes(self) -> dict[str, int]:
        """Every file in the folders of the formats: one listing."""
        try:
            root = remote.filesystem(self._url)[1].rstrip("/")
            found = in_rounds(self._url, lambda: remote.find(self._url))
        except RemoteError as error:
            raise RunError(str(error)) from error
        names = {path.removeprefix(root).lstrip("/"): int(facts["size"]) for path, facts in found.items()}
        return {name: size for name, size in names.items() if name.partition("/")[0] in FORMATS}

    @contextmanager
    def lent(self, name: str) -> Generator[Path]:
        """A folder with this shard alone."""
        if name.partition("/")[0] in ON_DISKS_ALONE:
            raise RunError(f"{self._url}: {name.partition('/')[0]} is verified on a disk alone: copy the pack to one")
        with tempfile.TemporaryDirectory(prefix="verify-", suffix=PARTIAL, dir=self._folder) as scratch:
            folder = Path(scratch)
            try:
                with suppress(MissingRemoteError), commit(folder / name) as partial:
                    download(f"{self._url}/{name}", partial)
            except RemoteError as error:
                raise RunError(str(error)) from error
            yield folder


@contextmanager
def brought(url: str) -> Generator[Path]:
    """A folder with the files of the pack at `url` but for its shards: what they are verified against."""
    with tempfile.TemporaryDirectory(prefix="sluice-pack-") as scratch:
        folder = Path(scratch)
        try:
            for name in (CHECKSUMS_FILE, MANIFEST_FILE):
                download(f"{url}/{name}", folder / name)
            for name in read_checksums(folder):
                if not is_shard(name):
                    with suppress(MissingRemoteError), commit(folder / name) as partial:
                        download(f"{url}/{name}", partial)
        except RemoteError as error:
            raise RunError(f"{error}: no pack is there, or it is not finished") from error
        yield folder
