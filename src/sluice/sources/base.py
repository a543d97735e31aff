"""What a source yields: raw samples made of items, by reference, in a stable order.

A bad row is a `RawSample` with a `failure`: it keeps its key and is counted. What is wrong with a source as a whole
(no such file, another format, an unknown column) is a `SourceError` and stops the run before it starts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol, TypeAlias

from sluice.errors import FailureClass
from sluice.table.refs import Ref

JSON: TypeAlias = str | int | float | bool | Sequence["JSON"] | Mapping[str, "JSON"] | None
Kind = Literal["image", "text"]
Role = Literal["image", "caption", "human", "gpt", "system", "question", "answer", "text"]


@dataclass(frozen=True, slots=True)
class Item:
    """One piece of a sample: a text inline, or an image by ref."""

    kind: Kind
    role: Role
    text: str | None = None
    ref: Ref | None = None
    language: str | None = None  # as the source declares it, BCP 47
    weight: float | None = None  # soft label of an answer, 0 to 1
    meta: dict[str, JSON] | None = None


@dataclass(frozen=True, slots=True)
class Rights:
    """Who owns a sample and where it comes from, in the source's own words; None where it does not say."""

    licence: str | None = None
    author: str | None = None
    source_url: str | None = None
    fetched: str | None = None
    dataset: str | None = None


NO_RIGHTS: Final = Rights()


@dataclass(frozen=True, slots=True)
class RawSample:
    """A sample as its source has it. `key` is its name in the source; `failure` says why it could not be made whole."""

    key: str
    items: tuple[Item, ...]
    rights: Rights = NO_RIGHTS
    meta: dict[str, JSON] = field(default_factory=dict[str, JSON])
    failure: tuple[FailureClass, str] | None = None


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file that a source reads. `stamp` tells a changed file from an unchanged one; it never enters an output."""

    uri: str
    size: int | None
    stamp: str


class Source(Protocol):
    """Turns outside data into raw samples and refs."""

    @property
    def name(self) -> str:
        """The first half of every sample's id."""
        ...

    def files(self) -> Iterable[SourceFile]:
        """What this source reads, in a stable order; a listing only."""
        ...

    def samples(self) -> Iterator[RawSample]:
        """Every sample, in a stable order, streaming; nothing is left out silently."""
        ...
