"""The rows that measures look at: each view of a row is computed at most once, and its failure is kept.

Pixels are decoded once, at the largest side that any measure of the pass asked for; each measure's own view
is shrunk from that. What a row's bytes cannot give raises the same `SampleFailure` for every view that needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sluice.errors import FailureClass, SampleFailure, SluiceError
from sluice.measures.base import Columns, Measure, Pixels, View
from sluice.media.decode import decode, decode_padded, shrink, to_gray
from sluice.media.gray import has_kernel
from sluice.media.header import Header, read_header
from sluice.media.limits import Limits
from sluice.media.thumbnail import Levels, Size, thumbnails


@dataclass(frozen=True)
class DecodePlan:
    """How a pass decodes: once, at this side, in colour if any measure wants colour."""

    max_side: int | None
    mode: Literal["gray", "rgb"]
    thumbnails: tuple[Size, ...] = ()  # all sizes that any measure wants: they are made together
    min_side: int | None = None  # ... and at least so many px on the shorter side

    @staticmethod
    def of(measures: Iterable[Measure]) -> DecodePlan:
        """The plan that serves all `measures`."""
        pixels = [view for measure in measures for view in measure.reads if view.pixels]
        sides = [view.max_side for view in pixels if view.max_side]
        covering = [view.min_side for view in pixels if view.min_side]
        sizes = dict.fromkeys(view.size for view in pixels if view.size)
        mode = "rgb" if any(view.kind == "rgb" for view in pixels) else "gray"
        return DecodePlan(max(sides, default=None), mode, tuple(sizes), max(covering, default=None))

    def side_of(self, width: int, height: int) -> int | None:
        """The longer side, px, at which an image of this size is to be decoded; None: in full.

        >>> DecodePlan(256, "rgb", min_side=224).side_of(1000, 500)
        448
        """
        if self.min_side is None:
            return self.max_side
        longer, shorter = max(width, height), max(1, min(width, height))
        return max(self.max_side or 0, -(-longer * self.min_side // shorter))

    @property
    def name(self) -> str:
        """The plan as part of a measure's identity.

        >>> DecodePlan(256, "rgb").name
        'rgb@256'
        """
        return f"{self.mode}@{self.max_side}" + (f" covering {self.min_side}" if self.min_side else "")


class Row(Protocol):
    """Something with views: an image item, a text item, a sample."""

    def view(self, view: View) -> Any:
        """The view; raises SampleFailure where this row cannot give it."""
        ...

    def fact(self, name: str) -> str | None:
        """What the tables say of it without looking at media: extension, language, licence, ..."""
        ...


class _Failed(NamedTuple):
    """Why a view cannot be had. The exception itself would hang in a circle: its frames hold the row, that its unit."""

    failure_class: FailureClass
    message: str


class ImageRow:
    """An image item."""

    def __init__(
        self, extension: str, read: Callable[[], bytes], plan: DecodePlan, limits: Limits, poison: SampleFailure | None
    ) -> None:
        self._extension = extension
        self._read = read
        self._plan = plan
        self._limits = limits
        self._known: dict[tuple[str, int | None], Any] = {}
        self._seen: dict[int, tuple[View, Any]] = {}  # by identity: a view asked for again costs no hashing
        self._poison = poison

    def view(self, view: View) -> Any:
        seen = self._seen.get(id(view))
        if seen is not None:
            return seen[1]
        value = self._get("thumbnails")[view.size] if view.size else self._get(view.kind, self._side_of(view))
        self._seen[id(view)] = view, value
        return value

    @staticmethod
    def _side_of(view: View) -> int | None:
        return view.max_side if view.exact else None

    def fact(self, name: str) -> str | None:
        return self._extension if name == "extension" else None

    def _get(self, kind: str, side: int | None = None) -> Any:
        key = (kind, side)
        if key not in self._known:
            try:
                self._known[key] = self._compute(kind, side)
            except SampleFailure as failure:
                self._known[key] = _Failed(failure.failure_class, failure.message)
        value = self._known[key]
        if isinstance(value, _Failed):
            raise SampleFailure(*value)
        return value

    def _compute(self, kind: str, side: int | None) -> Any:
        if self._poison:
            raise self._poison
        match kind:
            case "bytes":
                return self._read()
            case "digest":
                return sha256(self._get("bytes")).hexdigest()
            case "header":
                return read_header(self._get("bytes"), self._limits)
            case "decoded":
                return self._decode()
            case "rgb":
                return self._shrunk(self._get("decoded"), side)[:, :, :3]
            case "decoded gray":
                return to_gray(self._get("decoded"))
            case "thumbnails":
                sizes = self._plan.thumbnails
                return dict(zip(sizes, thumbnails(self._get("decoded gray"), sizes), strict=True))
            case _:  # gray first, then averaged: a third of the bytes to average
                return self._shrunk(self._get("decoded gray"), side)

    def _decode(self) -> Pixels:
        head: Header = self._get("header")
        side = self._plan.side_of(head.width, head.height)
        # Three channels are decoded sooner, but are copied on their way to Pillow where no kernel makes them gray.
        decoder = decode if has_kernel() else decode_padded
        return decoder(self._get("bytes"), head, side, self._plan.mode, self._limits)

    @staticmethod
    def _shrunk(pixels: Pixels, side: int | None) -> Pixels:
        return pixels if side is None else shrink(pixels, side)


@dataclass(frozen=True)
class TextRow:
    """A text item."""

    text: str
    language: str | None
    poison: SampleFailure | None

    def view(self, view: View) -> Any:
        if self.poison:
            raise self.poison
        return self.text

    def fact(self, name: str) -> str | None:
        return self.language if name == "language" else None


@dataclass(frozen=True)
class SampleRow:
    """A sample's own fields."""

    fields: Mapping[str, str | None]
    poison: SampleFailure | None

    def view(self, view: View) -> Any:
        if self.poison:
            raise self.poison
        return self.fields

    def fact(self, name: str) -> str | None:
        return self.fields.get(name)


class _Batch:
    """The rows that a measure sees: those which could give every view it reads."""

    def __init__(self, measure: Measure, rows: Sequence[Row], views: Sequence[tuple[Any, ...]]) -> None:
        self._measure = measure
        self._rows = rows
        self._views = views

    def __len__(self) -> int:
        return len(self._rows)

    def _column(self, kind: str) -> list[Any]:
        for place, view in enumerate(self._measure.reads):
            if view.kind == kind:
                return [values[place] for values in self._views]
        asked = ", ".join(view.kind for view in self._measure.reads)
        raise SluiceError(f"measure {self._measure.name} looked at `{kind}` but declares only: {asked}")

    @property
    def header(self) -> Sequence[Header]:
        return self._column("header")

    @property
    def bytes(self) -> Sequence[bytes]:
        return self._column("bytes")

    @property
    def digest(self) -> Sequence[str]:
        return self._column("digest")

    @property
    def gray(self) -> Sequence[Pixels]:
        return self._column("gray")

    @property
    def rgb(self) -> Sequence[Pixels]:
        return self._column("rgb")

    @property
    def thumbnail(self) -> Sequence[Levels]:
        return self._column("thumbnail")

    @property
    def text(self) -> Sequence[str]:
        return self._column("text")

    @property
    def extension(self) -> Sequence[str]:
        return [row.fact("extension") or "" for row in self._rows]

    @property
    def language(self) -> Sequence[str | None]:
        return self.field("language")

    def field(self, name: str) -> Sequence[str | None]:
        return [row.fact(name) for row in self._rows]


@dataclass(frozen=True)
class Measured:
    """A measure's values for some rows: equally long lists, `errors` holding 'class: message' or None."""

    columns: dict[str, list[Any]]
    errors: list[str | None]


def apply(measure: Measure, rows: Sequence[Row]) -> Measured:
    """Run `measure` over `rows`. A row that has no view, or on which the measure raises, gets its error."""
    errors: list[str | None] = [None] * len(rows)
    seen: list[int] = []
    views: list[tuple[Any, ...]] = []
    for position, row in enumerate(rows):
        try:
            views.append(tuple([row.view(view) for view in measure.reads]))
            seen.append(position)
        except SampleFailure as failure:
            errors[position] = str(failure)
    columns: dict[str, list[Any]] = {name: [None] * len(rows) for name in measure.writes}
    if seen:
        try:
            _scatter(_call(measure, [rows[i] for i in seen], views), seen, columns)
        except SluiceError:
            raise
        except Exception as trouble:  # third-party code: find the rows that it raises on, keep the others
            if len(seen) == 1 and isinstance(trouble, SampleFailure):  # asked alone already
                errors[seen[0]] = str(trouble)
                return Measured(columns, errors)
            for position, row_views in zip(seen, views, strict=True):
                try:
                    _scatter(_call(measure, [rows[position]], [row_views]), [position], columns)
                except SampleFailure as failure:
                    errors[position] = str(failure)
                except SluiceError:
                    raise
                except Exception as error:
                    errors[position] = failed("crash", f"{measure.name} raised {type(error).__name__}: {error}")
    return Measured(columns, errors)


def try_out(measure: Measure) -> None:
    """Run `measure` over no rows: what it loads from files is loaded, and what is wrong with that is said."""
    _call(measure, [], [])


def failed(failure_class: FailureClass, message: str) -> str:
    """An error as the tables hold it.

    >>> failed("io", "gone")
    'io: gone'
    """
    return str(SampleFailure(failure_class, message))


def _call(measure: Measure, rows: Sequence[Row], views: Sequence[tuple[Any, ...]]) -> Columns:
    columns = measure.function(_Batch(measure, rows, views), **measure.params)
    if not isinstance(columns, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] - a third party may return anything
        raise SluiceError(f"measure {measure.name} returned {type(columns).__name__}, not its columns by name")
    if set(columns) != set(measure.writes):
        raise SluiceError(
            f"measure {measure.name} returned columns {sorted(columns)} but declares {sorted(measure.writes)}"
        )
    for name, values in columns.items():
        if len(values) != len(rows):
            raise SluiceError(f"measure {measure.name} returned {len(values)} values of {name!r} for {len(rows)} rows")
        kind = measure.writes[name]
        try:
            pa.array(_plain(values), kind)
        except (pa.ArrowException, OverflowError) as error:
            raise SluiceError(f"measure {measure.name} declares {name!r} as {kind}: {error}") from error
    return columns


def _plain(column: Sequence[Any] | npt.NDArray[Any] | pa.Array) -> list[Any]:
    """Python's own values: NumPy's would each take a conversion of their own on their way to Arrow; vectors stay."""
    if isinstance(column, np.ndarray):
        return column.tolist() if column.ndim == 1 else list(column)
    return [value.as_py() for value in column] if isinstance(column, pa.Array) else list(column)


def _scatter(values: Columns, positions: Sequence[int], columns: dict[str, list[Any]]) -> None:
    for name, column in values.items():
        target = columns[name]
        listed = _plain(column)
        for position, value in zip(positions, listed, strict=True):
            target[position] = value
