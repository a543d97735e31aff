"""YAML with the line of every field, so that an error can say where it is."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from sluice.errors import RecipeError

Place: TypeAlias = tuple[str | int, ...]  # keys and indices from the top


class _Loader(yaml.SafeLoader):
    """SafeLoader for which `on`/`off`/`yes`/`no` are text, and so is every key.

    A rule may be called `no` or `1`, and `null: pass` is a field called null.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                key.tag = "tag:yaml.org,2002:str"
        return super().construct_mapping(node, deep=deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool" or first in "tTfF"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def load_with_lines(text: str, name: str) -> tuple[dict[str, Any], dict[Place, int]]:
    """The document `text` as plain values, and the line (from 1) of each of its fields.

    >>> load_with_lines("a:\\n  b: 1\\n", "x.yaml")
    ({'a': {'b': 1}}, {(): 1, ('a',): 1, ('a', 'b'): 2})
    """
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        lines: dict[Place, int] = {(): 1}
        if node is None:
            raise RecipeError(f"{name}: the file is empty; `sluice init FOLDER` writes a recipe to start from")
        _walk(node, (), lines, name)
        value = loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise RecipeError(f"{name}:{line}: not valid YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise RecipeError(f"{name}: not valid YAML: {error}") from error
    finally:
        loader.dispose()
    if not isinstance(value, dict):
        raise RecipeError(f"{name}:1: a recipe is a mapping of fields (`name: ...`), this is a {type(value).__name__}")
    return value, lines


def read_text(path: Path) -> str:
    """The text of the file `path`; a missing or unreadable one is a RecipeError."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RecipeError(f"{path}: no such recipe; `sluice init FOLDER` writes one to start from") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read as UTF-8 text: {error}") from error


def line_of(place: Place, lines: dict[Place, int]) -> int:
    """The line of the field at `place`, or of the nearest field around it."""
    while place not in lines and place:
        place = place[:-1]
    return lines.get(place, 1)


def _walk(node: yaml.Node, place: Place, lines: dict[Place, int], name: str) -> None:
    if isinstance(node, yaml.MappingNode):
        seen: set[Hashable] = set()
        for key, value in node.value:
            inner = (*place, str(key.value))
            if key.value in seen:
                raise RecipeError(f"{name}:{key.start_mark.line + 1}: {dotted(inner)} is given twice")
            seen.add(key.value)
            lines[inner] = key.start_mark.line + 1
            _walk(value, inner, lines, name)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            lines[(*place, index)] = value.start_mark.line + 1
            _walk(value, (*place, index), lines, name)


def dotted(place: Place) -> str:
    """`place` as a person writes it.

    >>> dotted(("sources", 0, "path"))
    'sources[0].path'
    """
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
