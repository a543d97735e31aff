"""From what a recipe writes (path, glob, brace range, URL) to listed files, local or remote, in a stable order."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote_to_bytes

from sluice.errors import SourceError
from sluice.sources.base import SourceFile
from sluice.sources.braces import expand_braces
from sluice.sources.listing import stat_file, walk
from sluice.table.remote import is_http

_MAGIC: Final = re.compile(r"[*?\[]")
_WEB_MAGIC: Final = re.compile(r"\*")  # on the web `?` begins a query, and `[` an address of IPv6
_LISTED: Final = 8  # names of one range from which on a listing costs fewer requests than asking for each
_EXTENSIONS: Final = re.compile(
    r"\.(tar|parquet|arrow|feather|csv|tsv|jsonl|ndjson|json|jpe?g|png|webp|gif|bmp|tiff?|avif|heic)$", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Place:
    """What a pattern means: a root that keys are relative to, and the patterns below it."""

    root: str  # absolute local path or URL, without a trailing slash
    patterns: tuple[str, ...]  # absolute too; braces expanded
    remote: bool


def place(path: str, base: Path) -> Place:
    """What `path`, as a recipe in the folder `base` writes it, means."""
    if path.startswith("file://"):
        path = path[len("file://") :]
    remote = "://" in path
    if not remote:
        path = os.path.normpath(base / Path(path).expanduser())  # no resolve(): links stay as the user named them
    fixed = re.split(r"[*{]" if is_http(path) else r"[*?\[{]", path, maxsplit=1)[0]
    plain = fixed == path
    patterns = tuple(expand_braces(path))
    root = path if plain else fixed.rpartition("/")[0]
    return Place(root.rstrip("/") or "/", patterns, remote)


def default_name(path: str, kind: str) -> str:
    """The name of a source that has none: the last component of its path that is no pattern, else its type.

    >>> default_name("data/photos/", "folder"), default_name("s3://b/laion/{000..127}.tar", "webdataset")
    ('photos', 'laion')
    >>> default_name("notes/captions.csv", "table"), default_name(".", "folder")
    ('captions', 'folder')
    """
    for component in reversed(path.rpartition("://")[2].split("/")):
        if component in ("", ".", "..", "~") or re.search(r"[*?\[{]", component):
            continue
        return _EXTENSIONS.sub("", component) or kind
    return kind


def list_files(path: str, base: Path, suffixes: Sequence[str], expected: str) -> tuple[str, list[SourceFile]]:
    """The root that keys are relative to, and every file that `path` means, sorted; at least one.

    A folder means every file below it that ends in one of `suffixes`. `expected` says in an error what was looked for.
    """
    where = place(path, base)
    found: dict[str, SourceFile] = {}
    folder = False
    listed = _listed(where)
    for pattern in where.patterns:
        if (_WEB_MAGIC if is_http(pattern) else _MAGIC).search(pattern):
            matches = _glob(pattern, where)
        elif (whole := listed.get(pattern) or stat_file(pattern)) is not None:
            matches = [whole]
        else:
            matches = [file for file in walk(pattern) if file.uri.lower().endswith(tuple(suffixes))]
            folder = True
            if not matches and len(where.patterns) > 1:  # one name of a range missing is no empty pattern
                raise SourceError(f"{pattern}: no such file, though {path} names it")
        for file in matches:
            found[file.uri] = file
    if not found:
        raise SourceError(f"{path}: nothing found there ({where.root}); expected {expected}")
    single_file = not folder and where.patterns == (where.root,)
    root = where.root.rpartition("/")[0] if single_file else where.root
    return root or "/", sorted(found.values(), key=lambda file: file.uri)


def key_of(uri: str, root: str) -> str:
    """`uri` as seen from `root`: the name of a file in its source, which holds wherever the corpus lies.

    >>> key_of("/data/photos/beach/1.jpg", "/data/photos"), key_of("/elsewhere/2.jpg", "/data/photos")
    ('beach/1.jpg', '/elsewhere/2.jpg')
    """
    if uri.startswith("file://"):
        uri = unquote_to_bytes(uri[len("file://") :]).decode("utf-8", "backslashreplace")
    start = root if root.endswith("/") else f"{root}/"
    return uri[len(start) :] if uri.startswith(start) else uri


def _glob(pattern: str, where: Place) -> list[SourceFile]:
    """Files below the root whose path matches: `*` and `?` stay within a component, `**` crosses them."""
    matches = _matcher(pattern)
    return [file for file in walk(where.root) if matches.match(file.uri)]


def _listed(where: Place) -> dict[str, SourceFile]:
    """What a long range of names on an object store may mean, by one listing; else nothing."""
    if len(where.patterns) < _LISTED or not where.remote or is_http(where.root):
        return {}
    asked = set(where.patterns)
    return {file.uri: file for file in walk(where.root) if file.uri in asked}


def _matcher(pattern: str) -> re.Pattern[str]:
    parts = ("(?:[^/]+/)*" if component == "**" else _component(component) + "/" for component in pattern.split("/"))
    try:
        return re.compile("".join(parts).removesuffix("/") + r"\Z", re.DOTALL)
    except re.error as error:
        raise SourceError(f"{pattern}: not a glob: {error}") from error


def _component(component: str) -> str:
    expression = ""
    at = 0
    while at < len(component):
        character = component[at]
        at += 1
        end = component.find("]", at + 1) if character == "[" else -1  # `[]a]` is a set that holds `]`
        if end > 0:
            members = component[at:end].replace("\\", r"\\").replace("[", r"\[")
            expression += f"[^/{members[1:]}]" if members[0] in "!^" else f"[{members}]"
            at = end + 1
        else:
            expression += {"*": "[^/]*", "?": "[^/]"}.get(character) or re.escape(character)
    return expression
