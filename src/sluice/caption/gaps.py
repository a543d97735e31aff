"""Sentences with gaps that a sample's own fields fill: templates of captions, and prompts.

`{product}` is a field; `{product.brand}` looks into JSON; of a list of objects, `{boxes.label}` is the label of each,
and a list is written "a, b, c". What stands in brackets goes as a whole where one of its fields is missing or empty:
`A photo of {product}[ in {color}].` Outside of brackets a missing field is a failure. `{{`, `}}`, `[[` and `]]` stand
for the signs themselves.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from sluice.errors import RecipeError

_SIGNS: Final = re.compile(r"\{\{|\}\}|\[\[|\]\]|\{([^{}\[\]]*)\}|[\[\]{}]")
_NAME: Final = re.compile(r"[^\s.{}\[\]]+(?:\.[^\s.{}\[\]]+)*")


class MissingFieldError(Exception):
    """A sample has no such field, or an empty one; the name is its argument."""


@dataclass(frozen=True)
class _Field:
    name: str


_Part: TypeAlias = "str | _Field | tuple[str | _Field, ...]"


class Gaps:
    """A text with gaps, understood once. A wrong one is a `RecipeError` that says where.

    >>> text = Gaps("A {color} {product.name}[ with {parts.label}][, {price} EUR].")
    >>> text.filled({"color": "red", "product": {"name": "bag"}, "parts": [{"label": "strap"}, {"label": "zip"}]})
    'A red bag with strap, zip.'
    """

    def __init__(self, text: str) -> None:
        self.text: Final = text
        self._parts: Final = tuple(_parsed(text))

    @property
    def fields(self) -> frozenset[str]:
        """The names of all fields that it mentions.

        >>> sorted(Gaps("{a}[ and {b.c}]").fields)
        ['a', 'b.c']
        """
        flat = [one for part in self._parts for one in (part if isinstance(part, tuple) else (part,))]
        return frozenset(one.name for one in flat if isinstance(one, _Field))

    def filled(self, fields: Mapping[str, object]) -> str:
        """The text with its gaps filled; `MissingFieldError` where one cannot be."""
        out: list[str] = []
        for part in self._parts:
            if not isinstance(part, tuple):
                out.append(_written(part, fields))
                continue
            try:
                out += [_written(one, fields) for one in part]
            except MissingFieldError:
                continue
        return "".join(out)


def _written(part: str | _Field, fields: Mapping[str, object]) -> str:
    if isinstance(part, str):
        return part
    text = _text(_found(fields, part.name))
    if not text:
        raise MissingFieldError(part.name)
    return text


def _found(value: object, path: str) -> object:
    """The value under a dotted path; a key that has the rest of the path for its name goes first."""
    if not path:
        return value
    if isinstance(value, list | tuple):
        return [found for one in value if (found := _found(one, path)) is not None]
    if isinstance(value, str) and value[:1] in ("{", "["):  # a column of JSON
        try:
            return _found(json.loads(value), path)
        except ValueError:
            return None
    if not isinstance(value, Mapping):
        return None
    if path in value:
        return value[path]
    head, _, rest = path.partition(".")
    return _found(value[head], rest) if head in value and rest else None


def _text(value: object) -> str:
    if value is None or isinstance(value, Mapping):
        return ""
    if isinstance(value, list | tuple):
        return ", ".join(filter(None, map(_text, value)))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:g}"
    return " ".join(str(value).split())


def _parsed(text: str) -> Iterator[_Part]:
    segment: list[str | _Field] | None = None
    at = 0
    for sign in _SIGNS.finditer(text):
        here: list[str | _Field] = [text[at : sign.start()]] if sign.start() > at else []
        at = sign.end()
        shown = sign.group()
        where = f"{text!r}, character {sign.start() + 1}"
        if sign.group(1) is not None:
            if not _NAME.fullmatch(sign.group(1)):
                raise RecipeError(f"{where}: {shown} names no field; write {{name}} or {{name.of.part}}")
            here.append(_Field(sign.group(1)))
        elif len(shown) == 2:
            here.append(shown[0])
        elif shown in "{}":
            raise RecipeError(f"{where}: a lone {shown}: a field is {{name}}, the sign itself is {shown * 2}")
        elif (shown == "[") == (segment is not None):
            raise RecipeError(
                f"{where}: {shown} does not fit: brackets come in pairs, none in another; the sign is {shown * 2}"
            )
        if segment is not None:
            segment += here
            if shown == "]":
                if not any(isinstance(one, _Field) for one in segment):
                    raise RecipeError(f"{where}: no field stands in these brackets; for the signs themselves, double")
                yield tuple(segment)
                segment = None
        else:
            yield from here
            if shown == "[":
                segment = []
    if segment is not None:
        raise RecipeError(f"{text!r}: a bracket is not closed; for the sign itself write [[")
    if at < len(text):
        yield text[at:]
