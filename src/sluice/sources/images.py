"""Images that an annotation file or a table names, in a folder beside it."""

from __future__ import annotations

import os
from array import array
from pathlib import Path
from stat import S_ISREG

import numpy as np

from sluice.errors import SourceError
from sluice.sources.base import JSON, Item
from sluice.sources.listing import walk
from sluice.sources.paths import place
from sluice.sources.texts import Refused
from sluice.table.refs import Ref, local_uri
from sluice.table.remote import is_http


class ImageFolder:
    """The folder that image names are relative to."""

    def __init__(self, path: str, base: Path) -> None:
        where = place(path, base)
        if where.patterns != (where.root,):
            raise SourceError(f"{path}: expected one folder of images, not a pattern")
        if not where.remote and not Path(where.root).is_dir():
            raise SourceError(f"{path}: no such folder of images ({where.root}); `images` is relative to the recipe")
        self._start = where.root if where.root.endswith("/") else f"{where.root}/"
        self._local = not where.remote
        self._sizes = sizes_below(where.root)
        if where.remote and not is_http(path) and not len(self._sizes):
            raise SourceError(f"{path}: nothing lies below this folder of images; check `images`")

    def item(self, name: str, namer: str, meta: dict[str, JSON] | None = None) -> Item:
        """The image called `name`; `Refused` where there is none, saying that `namer` names it."""
        uri = name if "://" in name or name.startswith("/") else self._start + name
        size = self._sizes.of(uri)
        if size == -1:
            raise Refused("io", f"{uri}: no such file, though {namer} names it")
        if self._local and not uri.isascii():
            uri = local_uri(uri)
        return Item("image", "image", None, Ref("file", uri, None, None, size), None, None, meta)


class LocalSizes:
    """Bytes of local files, asked for one by one."""

    def of(self, uri: str) -> int | None:
        """Bytes of the file `uri`; -1 when there is none, None when only reading it can tell."""
        return None if "://" in uri else size_of(uri)

    def __len__(self) -> int:
        return 0


class ListedSizes:
    """Bytes of the files below a remote folder, from one listing: a request for each would cost a day a million.

    16 bytes a file are held, its name as a hash; one name taken for another has odds of about n in 2^64.
    """

    def __init__(self, root: str) -> None:
        self._start = f"{root.rstrip('/')}/"
        names, sizes = array("q"), array("q")
        for file in () if is_http(root) else walk(root):  # on the web a listing is at best a page of links
            names.append(hash(file.uri))
            sizes.append(-2 if file.size is None else file.size)
        order = np.argsort(np.array(names, np.int64), kind="stable")
        self._names = np.array(names, np.int64)[order]
        self._sizes = np.array(sizes, np.int64)[order]
        self._listed = not is_http(root)

    def of(self, uri: str) -> int | None:
        """As `LocalSizes.of`."""
        if not self._listed or not uri.startswith(self._start):
            return None if "://" in uri else size_of(uri)
        at = int(np.searchsorted(self._names, hash(uri)))
        if at == len(self._names) or self._names[at] != hash(uri):
            return -1
        size = int(self._sizes[at])
        return None if size == -2 else size

    def __len__(self) -> int:
        return len(self._names)


def sizes_below(root: str) -> LocalSizes | ListedSizes:
    """The sizes of the files below a folder, local or remote."""
    return ListedSizes(root) if "://" in root else LocalSizes()


def size_of(path: str) -> int:
    """Bytes of a local file; -1 when there is none."""
    try:
        status = os.stat(path)  # noqa: PTH116 - once a row: a Path object costs more than the call
    except (OSError, ValueError):
        return -1
    return status.st_size if S_ISREG(status.st_mode) else -1
