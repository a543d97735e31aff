"""The recipe language for editors and readers, made from the models: JSON Schema, and the reference in the docs.

`python -m sluice.run.recipe_reference docs/recipe.md` brings the page up to date.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal, cast, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from sluice.caption.translate_config import TranslatorBase
from sluice.load.augment.steps import StepBase
from sluice.run.gate_config import SafetyLimit
from sluice.run.recipe import Recipe
from sluice.sources.config import SourceBase

BEGIN: Final = "<!-- made from the models: begin -->"
END: Final = "<!-- made from the models: end -->"
_ELSEWHERE: Final[dict[type[BaseModel], str]] = {
    SourceBase: "[Sources](sources.md) lists the types and their fields",
    StepBase: "[Augmentation](augmentation.md) lists the types and their fields",
    TranslatorBase: "[Captioning](captioning.md#options) lists the fields of translators",
}


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
    """A rule may be its condition alone, a measure its name alone, an engine its type."""
    if name in ("RuleConfig", "QualityRuleConfig", "MeasureConfig", "EngineConfig"):
        return {"anyOf": [{"type": "string"}, schema], "description": schema.get("description", "")}
    return schema


def markdown() -> str:
    """The reference: a section for each place in the recipe that has fields of its own."""
    sections: list[str] = []
    for place, model in _places("", Recipe):
        heading = f"### `{place}`\n\n{(model.__doc__ or '').strip()}\n\n" if place else ""
        sections.append(heading + "\n".join(_table(place, model)))
    return "\n\n".join(sections)


def _places(place: str, model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    """`model` at `place`, and after it every model below it: `filter`, `filter.duplicates`, ..."""
    yield place, model
    for name, field in model.model_fields.items():
        for inner in _models(field):
            yield from _places(_below(place, name, field), inner)


def _models(field: FieldInfo) -> list[type[BaseModel]]:
    """The models that the values of `field` are made of, without those that have a page of their own."""
    found = [part for part in _parts(field.annotation) if isinstance(part, type) and issubclass(part, BaseModel)]
    return [model for model in found if not issubclass(model, tuple(_ELSEWHERE))]


def _parts(annotation: Any) -> Iterator[Any]:
    yield annotation
    for argument in get_args(annotation):
        yield from _parts(argument)


def _below(place: str, name: str, field: FieldInfo) -> str:
    """`filter.reject.NAME` for what is named by the user, `pack[]` for one of a list."""
    outer = {get_origin(part) for part in _parts(field.annotation)}
    return f"{place}{'.' if place else ''}{name}{'.NAME' if dict in outer else '[]' if tuple in outer else ''}"


def _table(place: str, model: type[BaseModel]) -> Iterator[str]:
    yield "| field | what it says | default |"
    yield "| --- | --- | --- |"
    for name, field in model.model_fields.items():
        says = [str(field.description).replace("|", "\\|")]
        choices = [
            str(choice) for part in _parts(field.annotation) if get_origin(part) is Literal for choice in get_args(part)
        ]
        if len(choices) > 1:
            says.append("one of " + ", ".join(f"`{choice}`" for choice in choices))
        if _models(field):
            below = _below(place, name, field)
            says.append(f"fields: [`{below}`](#{_anchor(below)})")
        else:
            bases = {base for part in _parts(field.annotation) for base in _bases(part)}
            says += [told for base, told in _ELSEWHERE.items() if base in bases]
        yield f"| `{name}` | {'; '.join(says)} | {_default(field)} |"


def _bases(annotation: Any) -> set[type]:
    return {base for part in _parts(annotation) if isinstance(part, type) for base in part.__mro__}


def _anchor(place: str) -> str:
    """The anchor that Markdown gives the heading of `place`.

    >>> _anchor("filter.reject.NAME"), _anchor("pack[]")
    ('filterrejectname', 'pack')
    """
    return "".join(letter for letter in place.lower() if letter.isalnum() or letter == "_")


def _default(field: FieldInfo) -> str:
    """The default of `field` as a recipe would write it."""
    if field.is_required():
        return "*required*"
    value: Any = field.get_default()
    if isinstance(value, BaseModel):
        return "as below"
    if isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
        given = [model.model_dump(mode="json", exclude_defaults=True) for model in value]
        return f"`{json.dumps(given)}`".replace('"', "")
    if isinstance(value, dict):
        value = {name: _short(given) for name, given in cast("dict[str, Any]", value).items()}
    if isinstance(value, bool) or value is None or isinstance(value, (tuple, dict)):
        return f"`{json.dumps(value)}`".replace('"', "")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return f"`{value}`"


def _short(value: Any) -> Any:
    """A model that a single value stands for, as that."""
    return value.most if isinstance(value, SafetyLimit) else value


def update(page: str) -> str:
    """`page` with the reference between its markers."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{markdown()}\n\n{END}{after}"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(update(path.read_text(encoding="utf-8")), encoding="utf-8")
