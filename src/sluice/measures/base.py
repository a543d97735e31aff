"""What a measure is: a versioned function from media to typed columns, registered under its name.

    @measure("image.sharpness", version=1, reads=gray(max_side=256), writes={"sharpness": pa.float32()})
    def sharpness(batch):
        return {"sharpness": [laplacian_variance(image) for image in batch.gray]}

A measure declares the views it reads; the batch computes each view at most once, and a row that cannot be
viewed carries its error: the measure never sees it. What a measure reads fixes what one of its rows is:
an image item, a text item or a whole sample.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sluice.errors import RecipeError
from sluice.media.header import Header
from sluice.media.thumbnail import Levels
from sluice.models.digest import content_hash
from sluice.table.ids import fingerprint

Grain = Literal["image", "text", "sample"]
Pixels: TypeAlias = npt.NDArray[np.uint8]
Columns: TypeAlias = Mapping[str, Sequence[Any] | npt.NDArray[Any] | pa.Array]

DECODE_VERSION: Final = "simplejpeg+pillow/1"  # sharpness depends on how pixels were decoded: part of every name


@dataclass(frozen=True)
class View:
    """One way to look at an item; `grain` says of what, `max_side` (px) at which scale."""

    kind: Literal["header", "bytes", "digest", "gray", "rgb", "thumbnail", "text", "sample"]
    grain: Grain
    max_side: int | None = None
    exact: bool = True  # the longer side is `max_side`; else it is that or more, as the decoder gave it
    size: tuple[int, int] | None = None  # of a thumbnail: width and height, px
    min_side: int | None = None  # in place of `max_side`: the *shorter* side is that or more

    @property
    def pixels(self) -> bool:
        """Whether this view needs the image decoded."""
        return self.kind in ("gray", "rgb", "thumbnail")


def header() -> View:
    """Format, size and what else the first bytes of an image tell; no pixel is decoded."""
    return View("header", "image")


def data() -> View:
    """The encoded bytes of an image."""
    return View("bytes", "image")


def digest() -> View:
    """The SHA-256 of the encoded bytes, in hexadecimal: taken as they are read, while they lie in the cache."""
    return View("digest", "image")


def gray(max_side: int, *, exact: bool = True) -> View:
    """The image in gray, uint8 (height, width), its longer side at most `max_side` px.

    Not `exact`: `max_side` px or more where the image has them, as it was decoded; averaging it down is spared.
    """
    return View("gray", "image", max_side, exact)


def rgb(max_side: int, *, exact: bool = True) -> View:
    """The image in sRGB, uint8 (height, width, 3), its longer side at most `max_side` px; `exact` as for `gray`."""
    return View("rgb", "image", max_side, exact)


def rgb_covering(min_side: int) -> View:
    """The image in sRGB, uint8 (height, width, 3), its shorter side `min_side` px or more where the image has them.

    As it was decoded, not averaged down: what a model gets that scales and crops images its own way.
    """
    return View("rgb", "image", exact=False, min_side=min_side)


def thumbnail(width: int, height: int) -> View:
    """The image in gray at exactly `width` x `height` px whatever its shape: float32 (height, width), whole numbers.

    Filtered as Pillow's LANCZOS filters, from an image of 256 px or more: what perceptual hashes look at.
    """
    return View("thumbnail", "image", 256, exact=False, size=(width, height))


def text() -> View:
    """A text item, with the language its source declares."""
    return View("text", "text")


def sample() -> View:
    """The sample's own fields: key, source, licence, author, source_url, dataset, meta."""
    return View("sample", "sample")


class Batch(Protocol):
    """What a measure gets: equally long lists, one entry a row. Asking for a view it did not declare fails."""

    def __len__(self) -> int: ...

    @property
    def header(self) -> Sequence[Header]: ...
    @property
    def bytes(self) -> Sequence[bytes]: ...
    @property
    def digest(self) -> Sequence[str]: ...
    @property
    def gray(self) -> Sequence[Pixels]: ...
    @property
    def rgb(self) -> Sequence[Pixels]: ...
    @property
    def thumbnail(self) -> Sequence[Levels]: ...
    @property
    def text(self) -> Sequence[str]: ...
    @property
    def extension(self) -> Sequence[str]:
        """The file name extension of each image as its source has it, lower case, without the dot."""
        ...

    @property
    def language(self) -> Sequence[str | None]:
        """The language each text's source declares."""
        ...

    def field(self, name: str) -> Sequence[str | None]:
        """A field of the sample (view `sample()` only): licence, author, source_url, dataset, key, source, meta."""
        ...


MeasureFunction: TypeAlias = Callable[..., Columns]


@dataclass(frozen=True)
class Measure:
    """A registered measure. Call `bind` to set its parameters."""

    name: str
    version: int
    reads: tuple[View, ...]
    writes: Mapping[str, pa.DataType]
    function: MeasureFunction
    params: Mapping[str, Any] = field(default_factory=dict[str, Any])
    model: str | None = None  # content hash of the model it runs, if any
    files: tuple[str, ...] = ()  # parameters that are paths, relative to the recipe: what the files hold counts
    code: str = ""  # fingerprint of the plugin file that holds it; built-in measures rely on their version alone

    @property
    def grain(self) -> Grain:
        """Of what one row of this measure is."""
        return self.reads[0].grain

    @property
    def looks_at_pixels(self) -> bool:
        """Whether images must be decoded for it."""
        return any(view.pixels for view in self.reads)

    def bind(self, params: Mapping[str, Any]) -> Measure:
        """This measure with `params` in place of its defaults."""
        unknown = sorted(set(params) - set(self.params))
        if unknown:
            known = ", ".join(sorted(self.params)) or "none"
            raise RecipeError(f"measure {self.name} has no parameter {unknown[0]!r} (it has: {known})")
        return replace(self, params={**self.params, **params})

    def identity(self, decoding: str, limits: str) -> str:
        """`name@fingerprint`: equal for equal values.

        `decoding` says how the whole pass decodes (`rgb@256`), `limits` what it refuses to: the first counts for
        measures that look at pixels, the second for all that look at images.
        """
        views = ",".join(
            f"{view.kind}:{view.max_side}:{view.exact}:{view.size}{f':{view.min_side}' if view.min_side else ''}"
            for view in self.reads
        )
        held = {name: content_hash({"file": Path(self.params[name])}) for name in self.files if self.params[name]}
        params = json.dumps({**self.params, **held}, sort_keys=True, default=str)
        writes = ",".join(f"{name}:{kind}" for name, kind in self.writes.items())
        parts = [str(self.version), views, params, writes, self.model or "", self.code]
        if self.grain == "image":
            parts += [limits, f"{DECODE_VERSION} {decoding}" if self.looks_at_pixels else ""]
        return f"{self.name}@{fingerprint(*parts)}"


_REGISTRY: Final[dict[str, Measure]] = {}


def measure(
    name: str,
    *,
    version: int,
    reads: View | Iterable[View],
    writes: Mapping[str, pa.DataType],
    model: str | None = None,
    files: tuple[str, ...] = (),
) -> Callable[[MeasureFunction], MeasureFunction]:
    """Register the decorated function as the measure `name`; its keyword arguments are the parameters.

    Those named in `files` are paths, relative to the recipe; the values are named by what the files hold.

    >>> @measure("example.length", version=1, reads=text(), writes={"length": pa.int32()})
    ... def length(batch):
    ...     return {"length": [len(text) for text in batch.text]}
    >>> registered("example.length").grain
    'text'
    """
    views = (reads,) if isinstance(reads, View) else tuple(reads)
    grains = {view.grain for view in views}
    if len(grains) != 1:
        raise ValueError(f"measure {name} reads views of {len(grains)} kinds of row; a measure reads one")

    def register(function: MeasureFunction) -> MeasureFunction:
        defaults = {
            parameter.name: parameter.default for parameter in list(inspect.signature(function).parameters.values())[1:]
        }
        _REGISTRY[name] = Measure(name, version, views, dict(writes), function, defaults, model, files)
        return function

    return register


def registered(name: str) -> Measure:
    """The measure called `name`; an unknown name says which are near."""
    if name not in _REGISTRY:
        import difflib

        near = difflib.get_close_matches(name, _REGISTRY, n=3, cutoff=0.5)
        hint = f" (did you mean {' or '.join(near)}?)" if near else f" (there are: {', '.join(sorted(_REGISTRY))})"
        raise RecipeError(f"unknown measure {name!r}{hint}")
    return _REGISTRY[name]


def stamp(module: str, code: str) -> None:
    """Note the fingerprint of the file behind every measure that `module` registered: another file, another value."""
    for name, known in _REGISTRY.items():
        if known.function.__module__ == module:
            _REGISTRY[name] = replace(known, code=code)


def all_registered() -> dict[str, Measure]:
    """Every registered measure, by name."""
    return dict(sorted(_REGISTRY.items()))
