"""Lists of what must not be used: URLs, domains, SHA-256 hashes of files, or perceptual hashes with a distance.

The first three are text files with an entry a line (`#` begins a comment), or a CSV, TSV or Parquet file with a column
named `url`, `domain` or `sha256`. Perceptual hashes come as for `duplicates.against`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import numpy as np

from sluice.corpus.against import load_hashes, load_table
from sluice.corpus.hamming import Hashes, matches_against
from sluice.errors import SourceError
from sluice.table.ids import fingerprint

Kind = Literal["urls", "domains", "sha256", "phash"]

COLUMN_OF: Final[dict[Kind, str]] = {  # of the rows, what each kind is held against
    "urls": "source_url",
    "domains": "source_url",
    "sha256": "sha256",
    "phash": "phash",
}
_NAMED: Final[dict[Kind, str]] = {"urls": "url", "domains": "domain", "sha256": "sha256"}
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_DOMAIN: Final = re.compile(r"(?:[\w-]+\.)+[\w-]+")


@dataclass(frozen=True)
class OptOut:
    """A list, ready to be held against values: what each entry is looked up by, and how it was written."""

    name: str
    kind: Kind
    entries: dict[str, str]
    hashes: Hashes
    keys: tuple[str, ...]  # of the hashes
    distance: int

    @property
    def fingerprint(self) -> str:
        """Equal for lists that say the same."""
        listed = "\n".join(f"{key} {entry}" for key, entry in sorted(self.entries.items()))
        return fingerprint(self.name, self.kind, str(self.distance), listed, self.hashes, *self.keys)


def load_opt_out(name: str, path: Path, kind: Kind, distance: int = 4) -> OptOut:
    """The list at `path`; an entry that is none of its kind is an error that names its line."""
    if kind == "phash":
        hashes, keys = load_hashes(path, "phash")
        return OptOut(name, kind, {}, hashes, tuple(keys), distance)
    entries: dict[str, str] = {}
    for place, entry in _entries(path, _NAMED[kind]):
        key = _KEYS[kind](entry)
        if key is None:
            raise SourceError(f"{path}: {place}: {entry!r} is not what a list of kind `{kind}` holds")
        entries.setdefault(key, entry)
    return OptOut(name, kind, entries, np.zeros(0, np.uint64), (), 0)


def opted_out(listed: OptOut, values: Sequence[Any]) -> Iterator[tuple[int, str, int]]:
    """Place, entry and distance (bits; 0 for what is equal) of each of the `values` that the list names.

    >>> listed = OptOut("mine", "domains", {"example.org": "example.org"}, np.zeros(0, np.uint64), (), 0)
    >>> list(opted_out(listed, ["https://img.example.org/a.jpg", None, "https://notexample.org/a.jpg"]))
    [(0, 'example.org', 0)]
    """
    if listed.kind == "phash":
        present = [place for place, value in enumerate(values) if value is not None]
        hashes = np.array([values[place] for place in present], np.uint64)
        found = matches_against(hashes, listed.hashes, listed.distance)
        for index, match, bits in zip(*(column.tolist() for column in found), strict=True):
            yield present[index], listed.keys[match], bits
        return
    look_up = _LOOK_UPS[listed.kind]
    for place, value in enumerate(values):
        if value is not None and (entry := look_up(value, listed.entries)) is not None:
            yield place, entry, 0


def url_key(text: str) -> str | None:
    """A URL as lists and crawls agree on it: without scheme, default port and fragment, its host in small letters.

    >>> url_key("HTTPS://Example.org:443/a.jpg?x=1#top") == url_key("http://example.org/a.jpg?x=1")
    True
    """
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError:
        return None
    host = _host(parts.hostname)
    if host is None or not parts.scheme:
        return None
    shown = f":{port}" if port not in (None, 80, 443) else ""
    return f"{host}{shown}{parts.path or '/'}" + (f"?{parts.query}" if parts.query else "")


def domain_key(text: str) -> str | None:
    """A domain in small letters and ASCII; `*.` before it says what is so anyway.

    >>> domain_key("*.Example.ORG"), domain_key("not a domain")
    ('example.org', None)
    """
    host = _host(text.strip().removeprefix("*.").strip("."))
    return host if host and _DOMAIN.fullmatch(host) else None


def _sha256_key(text: str) -> str | None:
    folded = text.strip().lower()
    return folded if _SHA256.fullmatch(folded) else None


def _host(host: str | None) -> str | None:
    if not host:
        return None
    if host.isascii():
        return host.lower().rstrip(".")
    try:
        return host.encode("idna").decode().lower()
    except UnicodeError:
        return None


def _by_domain(url: str, entries: dict[str, str]) -> str | None:
    try:
        host = _host(urlsplit(url.strip()).hostname)
    except ValueError:
        return None
    while host:
        if host in entries:
            return entries[host]
        host = host.partition(".")[2]
    return None


def _by_url(url: str, entries: dict[str, str]) -> str | None:
    key = url_key(url)
    return None if key is None else entries.get(key)


def _by_hash(value: str, entries: dict[str, str]) -> str | None:
    return entries.get(value)


_KEYS: Final[dict[Kind, Callable[[str], str | None]]] = {"urls": url_key, "domains": domain_key, "sha256": _sha256_key}
_LOOK_UPS: Final[dict[Kind, Callable[[str, dict[str, str]], str | None]]] = {
    "urls": _by_url,
    "domains": _by_domain,
    "sha256": _by_hash,
}


def _entries(path: Path, column: str) -> Iterator[tuple[str, str]]:
    """Every entry with where it stands."""
    if path.suffix.lower() in (".csv", ".tsv", ".parquet"):
        table = load_table(path)
        if column not in table.column_names:
            raise SourceError(f"{path}: expected a column `{column}`, found {', '.join(table.column_names)}")
        for row, value in enumerate(table.column(column).to_pylist(), 1):
            if value is not None and str(value).strip():
                yield f"row {row}", str(value)
        return
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise SourceError(f"{path}: expected UTF-8 text: {error}") from error
    for number, line in enumerate(lines, 1):
        entry = line.strip()
        if entry and not entry.startswith("#"):
            yield f"line {number}", entry
