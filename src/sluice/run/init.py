"""`init`: look at a folder, and write a commented recipe for what is in it."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter

from sluice.errors import RecipeError, SourceError
from sluice.run.recipe import parse_recipe
from sluice.run.template import recipe_text
from sluice.sources.config import SourceConfig
from sluice.sources.detect import Found, detect
from sluice.sources.open import open_source
from sluice.table.commit import write_bytes

_LOOKED_AT: Final = 200  # samples read to see whether the source states licences


def write_recipe(folder: str, output: Path, *, overwrite: bool) -> tuple[Path, list[str]]:
    """Write a recipe for what `folder` holds to `output`; the path and what was found, in sentences."""
    if output.exists() and not overwrite:
        raise RecipeError(f"{output} is there already; give another --output, or --force to replace it")
    found = detect(folder)
    if not found:
        raise SourceError(
            f"{folder}: holds nothing that a source reads: images, tables with a path or image column, WebDataset "
            "tars, COCO, LLaVA or VQA annotations"
        )
    base = output.absolute().parent
    first, rights = _readable(found, base)
    config = _config(first, base)
    notes = [f"found: {first.evidence}"]
    notes += [f"also there: {other.config} ({other.evidence})" for other in found if other is not first]
    text = recipe_text(_name(folder), [config], rights=rights, notes=notes)
    parse_recipe(text, output)
    write_bytes(output, text.encode())
    return output, [
        f"{item.config['type']}: {item.evidence}{' (in the recipe)' if item is first and len(found) > 1 else ''}"
        for item in found
    ]


def _readable(found: Sequence[Found], base: Path) -> tuple[Found, bool]:
    """The first source that opens as it is, and whether it states licences; where none does, why the first does not."""
    problems: list[SourceError] = []
    for candidate in found:
        try:
            return candidate, _states_licences(_config(candidate, base), base)
        except SourceError as error:
            problems.append(error)
    raise problems[0]


def _config(found: Found, base: Path) -> dict[str, Any]:
    places = ("path", "images")
    return {name: _from(base, str(value)) if name in places else value for name, value in found.config.items()}


def _from(base: Path, path: str) -> str:
    """`path` relative to the recipe where it lies below it, so that both can be moved together."""
    if "://" in path:
        return path
    absolute = os.path.abspath(path)  # noqa: PTH100 - Path.resolve would follow links, and a glob is no path
    relative = os.path.relpath(absolute, base)
    return absolute if relative.startswith("..") else relative


def _states_licences(config: dict[str, Any], base: Path) -> bool:
    parsed: SourceConfig = TypeAdapter(SourceConfig).validate_python(config)
    return any(sample.rights.licence for sample in islice(open_source(parsed, base).samples(), _LOOKED_AT))


def _name(folder: str) -> str:
    stem = Path(folder.rstrip("/")).name if "://" not in folder else folder.rstrip("/").rpartition("/")[2]
    return re.sub(r"[^\w.-]+", "-", Path(stem).stem).strip("-.") or "dataset"
