"""From what a recipe writes (path, glob, brace range, URL) to listed files, local or remote, in a stable order."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path
from stat import S_ISDIR
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from sluice.errors import SourceError
from sluice.sources.base import SourceFile
from sluice.table.refs import local_path, local_uri

_RANGE: Final = re.compile(r"^(-?\d+)\.\.(-?\d+)(?:\.\.(-?\d+))?$|^([A-Za-z])\.\.([A-Za-z])$")
_MOST: Final = 1_000_000  # names one brace pattern may stand for
_MAGIC: Final = re.compile(r"[*?\[]")
_EXTENSIONS: Final = re.compile(
    r"\.(tar|parquet|arrow|feather|csv|tsv|jsonl|ndjson|json|jpe?g|png|webp|gif|bmp|tiff?|avif|heic)$", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Place:
    """What a pattern means: a root that keys are relative to, and the patterns below it."""

    root: str  # absolute local path or URL, without a trailing slash
    patterns: tuple[str, ...]  # absolute too; braces expanded
    remote: bool


def expand_braces(pattern: str) -> list[str]:
    """Every name that `pattern` stands for, as bash would expand it.

    >>> expand_braces("shard-{008..010}.tar")
    ['shard-008.tar', 'shard-009.tar', 'shard-010.tar']
    >>> expand_braces("{train,val}/{a,b}.csv")
    ['train/a.csv', 'train/b.csv', 'val/a.csv', 'val/b.csv']
    """
    parts = _split(pattern)
    count = 1
    for part in parts:
        count *= len(part)
        if count > _MOST:
            raise SourceError(f"{pattern}: the braces stand for more than {_MOST:,} names; use a glob such as `*.tar`")
    return ["".join(combination) for combination in product(*parts)]


def place(path: str, base: Path) -> Place:
    """What `path`, as a recipe in the folder `base` writes it, means."""
    if path.startswith("file://"):
        path = path[len("file://") :]
    remote = "://" in path
    if not remote:
        path = os.path.normpath(base / Path(path).expanduser())  # no resolve(): links stay as the user named them
    fixed = re.split(r"[*?\[{]", path, maxsplit=1)[0]
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
    for pattern in where.patterns:
        if _MAGIC.search(pattern):
            matches = _glob(pattern, where)
        elif (whole := stat_file(pattern)) is not None:
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


def stat_file(uri: str) -> SourceFile | None:
    """The file `uri` with size and stamp, or None when there is no such file."""
    if "://" in uri:
        system, path = filesystem(uri)
        try:
            facts = system.info(path)
        except OSError:
            return None
        return _remote_file(uri, facts) if facts.get("type") == "file" else None
    try:
        facts = os.stat(uri)  # noqa: PTH116 - a million Path objects cost more than their listing
    except (OSError, ValueError):
        return None
    return None if S_ISDIR(facts.st_mode) else SourceFile(local_uri(uri), facts.st_size, str(facts.st_mtime_ns))


def walk(root: str) -> Iterator[SourceFile]:
    """Every file below the folder `root`, hidden ones left out: a folder's files by name, then its folders by name."""
    if "://" in root:
        yield from _walk_remote(root)
        return
    seen: set[tuple[int, int]] = set()  # a link back up would otherwise be walked for ever
    pending = [root]
    while pending:
        folder = pending.pop()
        try:
            facts = os.stat(folder)  # noqa: PTH116 - as in stat_file
            if (facts.st_dev, facts.st_ino) in seen:
                continue
            seen.add((facts.st_dev, facts.st_ino))
            with os.scandir(folder) as listing:
                entries = sorted((entry for entry in listing if entry.name[0] != "."), key=lambda entry: entry.name)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise SourceError(f"{folder}: cannot be listed: {error.strerror}") from error
        folders: list[str] = []
        for entry in entries:
            if entry.is_dir():
                folders.append(entry.path)
                continue
            try:
                status = entry.stat()
                yield SourceFile(local_uri(entry.path), status.st_size, str(status.st_mtime_ns))
            except OSError:  # a dangling link is a file that cannot be read, not one that is not there
                yield SourceFile(local_uri(entry.path), None, "")
        pending.extend(reversed(folders))


@lru_cache(maxsize=64)
def _system_of(prefix: str) -> Any:  # an fsspec file system
    import fsspec

    return fsspec.core.url_to_fs(prefix)[0]


def filesystem(uri: str) -> tuple[Any, str]:
    """The fsspec file system of a URL, and the path in it."""
    scheme, _, rest = uri.partition("://")
    try:
        system = _system_of(f"{scheme}://{rest.partition('/')[0]}/")
    except (ImportError, ValueError) as error:
        raise SourceError(f"{uri}: {error}") from error
    return system, system._strip_protocol(uri)


def read_small(uri: str, most: int) -> bytes:
    """The first `most` bytes of a file: sidecars and other small things that become part of a sample."""
    if "://" in uri and not uri.startswith("file://"):
        system, path = filesystem(uri)
        with system.open(path, "rb") as file:
            return file.read(most)
    with open(local_path(uri) or uri, "rb", buffering=0) as file:
        return file.read(most) or b""


def _walk_remote(root: str) -> Iterator[SourceFile]:
    system, path = filesystem(root)
    try:
        listing: dict[str, Any] = system.find(path, detail=True)
    except OSError as error:
        raise SourceError(f"{root}: cannot be listed: {error}") from error
    cut = len(path.rstrip("/")) + 1
    names = {name: name[cut:].split("/") for name in listing}
    # files before folders, each by name: the order of a local walk
    ordered = sorted(names, key=lambda name: [*((True, part) for part in names[name][:-1]), (False, names[name][-1])])
    for name in ordered:
        if not any(part.startswith(".") for part in names[name]):
            yield _remote_file(f"{root}/{name[cut:]}", listing[name])


def _remote_file(uri: str, facts: dict[str, Any]) -> SourceFile:
    stamp = next((facts[key] for key in ("ETag", "etag", "mtime", "LastModified", "created") if facts.get(key)), "")
    size = facts.get("size")
    return SourceFile(uri, size if isinstance(size, int) else None, str(stamp))


def _glob(pattern: str, where: Place) -> list[SourceFile]:
    """Files below the root whose path matches: `*` and `?` stay within a component, `**` crosses them."""
    matches = _matcher(pattern)
    return [file for file in walk(where.root) if matches.match(file.uri)]


def _matcher(pattern: str) -> re.Pattern[str]:
    parts = ("(?:[^/]+/)*" if component == "**" else _component(component) + "/" for component in pattern.split("/"))
    return re.compile("".join(parts).removesuffix("/") + r"\Z", re.DOTALL)


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


def _split(pattern: str) -> list[list[str]]:
    """The pattern as a list of alternatives, one list a piece; a piece of literal text has one."""
    pieces: list[list[str]] = []
    literal = ""
    at = 0
    while at < len(pattern):
        if pattern[at] == "{":
            end = _closing(pattern, at)
            options = _options(pattern[at + 1 : end]) if end else None
            if options is not None:
                pieces += [[literal], options]
                literal = ""
                at = end + 1
                continue
        literal += pattern[at]
        at += 1
    return [*pieces, [literal]]


def _closing(pattern: str, start: int) -> int:
    depth = 0
    for at in range(start, len(pattern)):
        depth += (pattern[at] == "{") - (pattern[at] == "}")
        if depth == 0:
            return at
    return 0


def _options(body: str) -> list[str] | None:
    """What stands between braces: a range, a list (whose members may hold braces), or neither."""
    match = _RANGE.match(body)
    if match:
        return _range(match)
    depth = 0
    members = [""]
    for character in body:
        depth += (character == "{") - (character == "}")
        if character == "," and depth == 0:
            members.append("")
        else:
            members[-1] += character
    if len(members) == 1:
        return None
    return [name for member in members for name in expand_braces(member)]


def _range(match: re.Match[str]) -> list[str]:
    if match[4] is not None:
        first, last = ord(match[4]), ord(match[5])
        return [chr(code) for code in range(first, last + (1 if last >= first else -1), 1 if last >= first else -1)]
    first, last = int(match[1]), int(match[2])
    step = abs(int(match[3] or 1)) or 1
    if abs(last - first) // step >= _MOST:
        raise SourceError(f"{{{match[0]}}} stands for more than {_MOST:,} names; use a glob such as `*.tar`")
    padded = any(re.match(r"-?0\d", number) for number in (match[1], match[2]))
    width = max(len(match[1]), len(match[2])) if padded else 0
    numbers = range(first, last + (1 if last >= first else -1), step if last >= first else -step)
    return [f"{number:0{width}d}" for number in numbers]
