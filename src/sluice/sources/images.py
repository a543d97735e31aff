"""Images that an annotation file names, in a folder beside it."""

from __future__ import annotations

import os
from pathlib import Path
from stat import S_ISREG

from sluice.errors import SourceError
from sluice.sources.base import JSON, Item
from sluice.sources.paths import place
from sluice.sources.texts import Refused
from sluice.table.refs import Ref, local_uri


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

    def item(self, name: str, namer: str, meta: dict[str, JSON] | None = None) -> Item:
        """The image called `name`; `Refused` where there is none, saying that `namer` names it."""
        uri = name if "://" in name or name.startswith("/") else self._start + name
        size = size_of(uri) if self._local and "://" not in uri else None
        if size == -1:
            raise Refused("io", f"{uri}: no such file, though {namer} names it")
        if self._local and not uri.isascii():
            uri = local_uri(uri)
        return Item("image", "image", None, Ref("file", uri, None, None, size), None, None, meta)


def size_of(path: str) -> int:
    """Bytes of a local file; -1 when there is none."""
    try:
        status = os.stat(path)  # noqa: PTH116 - once a row: a Path object costs more than the call
    except (OSError, ValueError):
        return -1
    return status.st_size if S_ISREG(status.st_mode) else -1
