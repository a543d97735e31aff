"""The elements of the arrays in one large JSON file, one at a time, with the bytes where each lies.

Annotation files reach gigabytes and hold annotations in any order. They are scanned once for what joins them (an id
and a place, 24 bytes an element); what belongs together is then read again by place.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from array import array
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from sluice.errors import SourceError
from sluice.sources.rows import opened
from sluice.sources.texts import decoded, parsed_object
from sluice.table.refs import local_path

_READ: Final = 2**20
_ELEMENT_BYTES: Final = 64 * 2**20
_SPACE: Final = re.compile(r"[ \t\r\n]*")


@dataclass(frozen=True, slots=True)
class Element:
    """One element of the top-level array `name` ("" where the whole file is one), or a value that is no array.

    In `value` characters beyond ASCII are not decoded yet: `JsonFile.read` gives the exact value.
    """

    name: str
    start: int
    size: int
    value: Any


class JsonFile:
    """A JSON file open for scanning and for reading elements by place."""

    def __init__(self, uri: str, descriptor: int) -> None:
        self.uri = uri
        self._descriptor = descriptor

    def read(self, start: int, size: int) -> dict[str, Any]:
        """The exact object at these bytes; `Refused` when it is none, or not UTF-8."""
        where = f"{self.uri}: byte {start:,}"
        return parsed_object(decoded(os.pread(self._descriptor, size, start), where), where)

    def elements(self) -> Iterator[Element]:
        """Every element of every top-level array, in order; a `SourceError` where the file is no JSON."""
        scan = _Scan(self.uri, self._descriptor)
        opening = scan.peek()
        if opening == "[":
            yield from scan.array("")
        elif opening == "{":
            yield from scan.object()
        else:
            raise scan.malformed("expected an object or an array")
        if scan.peek():
            raise scan.malformed("expected the end of the file")


@contextmanager
def open_json(uri: str) -> Generator[JsonFile]:
    """Open the JSON file `uri`; a remote one is copied to a temporary file first."""
    with opened(uri) as file:
        if local_path(uri) is not None:
            yield JsonFile(uri, file.fileno())
            return
        with tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(file, copy, _READ)
            copy.flush()
            yield JsonFile(uri, copy.fileno())


class Index:
    """Places by an id, in the order of the file: what joins annotations to images."""

    def __init__(self) -> None:
        self._columns = (array("q"), array("q"), array("q"))
        self._ids = np.empty(0, np.int64)
        self._order = np.empty(0, np.int64)

    def add(self, name: Any, element: Element) -> None:
        """Note that `element` belongs to `name`."""
        for column, value in zip(self._columns, (code(name), element.start, element.size), strict=True):
            column.append(value)

    def seal(self) -> None:
        """No element is added from here on."""
        ids = np.array(self._columns[0], np.int64)
        self._order = np.argsort(ids, kind="stable")
        self._ids = ids[self._order]

    def __len__(self) -> int:
        return len(self._columns[0])

    def places(self, name: Any) -> list[tuple[int, int]]:
        """Start and size of each element that belongs to `name`."""
        first, last = np.searchsorted(self._ids, code(name), "left"), np.searchsorted(self._ids, code(name), "right")
        return [(self._columns[1][at], self._columns[2][at]) for at in self._order[first:last]]

    def without(self, names: Index) -> list[tuple[int, int]]:
        """Start and size of the first element of each name that `names` does not have, in the order of the file."""
        unknown = ~np.isin(self._ids, names._ids)
        _, first = np.unique(self._ids[unknown], return_index=True)
        return [(self._columns[1][at], self._columns[2][at]) for at in sorted(self._order[unknown][first])]


def code(name: Any) -> int:
    """An id as 64 bits: itself where it is an integer, else a hash of it."""
    return name if isinstance(name, int) and -(2**62) < name < 2**62 else hash(str(name))


class _Scan:
    """A cursor over a file, some of it in memory. Latin-1 makes a character of every byte, so places are bytes."""

    def __init__(self, uri: str, descriptor: int) -> None:
        self._uri = uri
        self._descriptor = descriptor
        self._decode = json.JSONDecoder().raw_decode
        self._base = 0  # place of the first character held
        self._text = ""
        self._at = 0
        self._fill()
        if self._text.startswith("\xef\xbb\xbf"):
            self._at = 3

    def peek(self) -> str:
        """The next character that is no space; "" at the end."""
        while True:
            match = _SPACE.match(self._text, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._fill():
                return ""

    def array(self, name: str) -> Iterator[Element]:
        """The elements of the array that starts here."""
        self._at += 1
        if self.peek() == "]":
            self._at += 1
            return
        while True:
            self.peek()
            yield self._element(name)
            if self._comma_or("]"):
                return

    def object(self) -> Iterator[Element]:
        """The elements of each array in the object that starts here, and its other values."""
        self._at += 1
        if self.peek() == "}":
            self._at += 1
            return
        while True:
            if self.peek() != '"':
                raise self.malformed("expected a name")
            name = str(self._element("").value)
            if self.peek() != ":":
                raise self.malformed("expected a colon")
            self._at += 1
            if self.peek() == "[":
                yield from self.array(name)
            else:
                yield self._element(name)
            if self._comma_or("}"):
                return

    def malformed(self, what: str) -> SourceError:
        """An error that names this place."""
        return SourceError(f"{self._uri}: malformed JSON at byte {self._base + self._at:,}: {what}")

    def _comma_or(self, closing: str) -> bool:
        found = self.peek()
        if found not in (",", closing) or not found:
            raise self.malformed(f"expected a comma or {closing}" if found else "the file ends here: it is cut")
        self._at += 1
        return found == closing

    def _element(self, name: str) -> Element:
        while True:
            try:
                value, end = self._decode(self._text, self._at)
            except (ValueError, RecursionError) as error:
                if len(self._text) - self._at > _ELEMENT_BYTES:
                    raise self.malformed(f"no element ends within {_ELEMENT_BYTES:,} bytes") from error
                if not self._fill():
                    raise self.malformed(str(error).partition(":")[0]) from error
                continue
            if end == len(self._text) and self._fill():
                continue  # a number at the end of what is held may go on
            element = Element(name, self._base + self._at, end - self._at, value)
            self._at = end
            return element

    def _fill(self) -> bool:
        """Hold more of the file; False at its end."""
        held = len(self._text) - self._at
        data = os.pread(self._descriptor, max(_READ, held), self._base + len(self._text))
        if not data:
            return False
        self._base += self._at
        self._text = self._text[self._at :] + data.decode("latin-1")
        self._at = 0
        return True
