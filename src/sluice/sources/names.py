"""Which names a source holds, and which of them twice, at 8 bytes a name."""

from __future__ import annotations

from array import array
from bisect import bisect_left

import numpy as np

from sluice.table.arrays import distinct_numbers


class Names:
    """A set of names as sorted 64-bit hashes; add all, then ask. A false yes has odds of about n in 2^64.

    >>> names = Names()
    >>> for name in ["a.jpg", "b.jpg", "a.jpg"]: names.add(name)
    >>> names.seal()
    >>> "b.jpg" in names, "c.jpg" in names, names.is_repeated("a.jpg"), names.is_repeated("b.jpg")
    (True, False, True, False)
    """

    def __init__(self) -> None:
        self._hashes = array("q")
        self._repeated = array("q")

    def add(self, name: str) -> None:
        """Add one name."""
        self._hashes.append(hash(name))

    def seal(self) -> None:
        """No name is added from here on."""
        if not self._hashes:
            return
        ordered = np.sort(np.frombuffer(self._hashes, np.int64))
        self._repeated = array("q", distinct_numbers(ordered[1:][ordered[1:] == ordered[:-1]]).tobytes())
        self._hashes = array("q", ordered.tobytes())

    def __contains__(self, name: str) -> bool:
        return _holds(self._hashes, hash(name))

    @property
    def any_repeated(self) -> bool:
        """Whether any name was added more than once."""
        return bool(self._repeated)

    def is_repeated(self, name: str) -> bool:
        """Whether `name` was added more than once."""
        return bool(self._repeated) and _holds(self._repeated, hash(name))


class Keys:
    """Gives every sample its own key: a name that comes back gets `#2`, `#3`, ... Only repeated names are held."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._times: dict[str, int] = {}

    def of(self, name: str) -> str:
        """The key of the next sample called `name`."""
        if not self._names.is_repeated(name):
            return name
        times = self._times[name] = self._times.get(name, 0) + 1
        return name if times == 1 else f"{name}#{times}"


def _holds(ordered: array[int], value: int) -> bool:
    at = bisect_left(ordered, value)
    return at < len(ordered) and ordered[at] == value
