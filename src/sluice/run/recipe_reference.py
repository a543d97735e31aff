"""The recipe language for editors and readers, made from the models: JSON Schema, and the reference in the docs.

`python -m sluice.run.recipe_reference docs/recipe.md` brings the page up to date.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from sluice.run.recipe import Recipe

BEGIN: Final = "<!-- made from the models: begin -->"
END: Final = "<!-- made from the models: end -->"


def json_schema() -> dict[str, Any]:
    """The JSON Schema of recipes. Put `# yaml-language-server: $schema=FILE` into a recipe to have it completed."""
    schema = Recipe.model_json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "Sluice recipe",
        "$defs": {name: _with_short_forms(name, inner) for name, inner in schema["$defs"].items()},
    }


def _with_short_forms(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """A rule may be its condition alone, a measure its name alone."""
    if name in ("RuleConfig", "MeasureConfig"):
        return {"anyOf": [{"type": "string"}, schema], "description": schema.get("description", "")}
    return schema


def markdown() -> str:
    """The reference: a table a section of the recipe."""
    schema = Recipe.model_json_schema()
    lines = ["## The recipe", "", *_table(schema)]
    for name, inner in schema["$defs"].items():
        if name.endswith("Config") and "properties" in inner and "type" not in inner["properties"]:
            lines += [
                "",
                f"## `{name.removesuffix('Config').lower()}`",
                "",
                inner.get("description", ""),
                "",
                *_table(inner),
            ]
    return "\n".join(lines)


def _table(schema: dict[str, Any]) -> Iterator[str]:
    yield "| field | what it says | default |"
    yield "| --- | --- | --- |"
    required = schema.get("required", [])
    for name, field in schema["properties"].items():
        default = "*required*" if name in required else f"`{_plain(field.get('default'))}`"
        description = str(field.get("description", "")).replace("|", "\\|").replace("\n", " ")
        yield f"| `{name}` | {description} | {default} |"


def _plain(value: Any) -> str:
    if isinstance(value, dict) and len(str(value)) > 40:
        return "see below"
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def update(page: str) -> str:
    """`page` with the reference between its markers."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{markdown()}\n\n{END}{after}"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(update(path.read_text(encoding="utf-8")), encoding="utf-8")
