"""The options in `docs/encoders.md`, made from the models that check them: python -m sluice.models.reference PAGE."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from sluice.errors import SluiceError
from sluice.models.config import EncoderBase, EncoderConfig, HubBase, LocalBase, PrecomputedConfig

BEGIN: Final = "<!-- options: made by sluice.models.reference; a test keeps them current -->"
END: Final = "<!-- /options -->"

_WORDS: Final[dict[Any, str]] = {str: "text", int: "number", float: "number", bool: "`true` or `false`"}


def markdown() -> str:
    """A section a type, after those that several share."""
    shared: tuple[tuple[str, type[BaseModel]], ...] = (
        ("of every type", EncoderBase),
        ("of what runs on this machine: `builtin`, `onnx`, `transformers`, `open_clip`", LocalBase),
        ("of what has a name on the hub: `transformers`, `open_clip`", HubBase),
    )
    parts: list[str] = []
    known: set[str] = {"type"}
    for title, model in shared:
        parts += [f"### Options {title}\n", _options(model, known)]
        known |= set(model.model_fields)
    for model in (*get_args(get_args(EncoderConfig)[0]), PrecomputedConfig):
        own = model.model_fields.keys() - {"type", *EncoderBase.model_fields}
        inherited = {name for base in (LocalBase, HubBase) if issubclass(model, base) for name in base.model_fields}
        if own - inherited:
            kind = get_args(model.model_fields["type"].annotation)[0]
            parts += [f"### Options of `{kind}`\n", _options(model, {"type", *EncoderBase.model_fields, *inherited})]
    return "\n".join(parts)


def write(page: Path) -> None:
    """Put the current `markdown` between the markers of `page`."""
    before, begin, rest = page.read_text("utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SluiceError(f"{page} has no place for the options: it needs the lines\n{BEGIN}\n{END}")
    page.write_text(f"{before}{BEGIN}\n\n{markdown()}\n{END}{after}", "utf-8")


def _options(model: type[BaseModel], known: set[str]) -> str:
    lines = ["| option | value | meaning |", "| --- | --- | --- |"]
    for name, option in model.model_fields.items():
        if name not in known:
            lines.append(f"| `{name}`{_default(option)} | {_value(option)} | {option.description} |")
    return "\n".join(lines) + "\n"


def _default(option: FieldInfo) -> str:
    if option.is_required():
        return " (required)"
    if option.default is None:
        return ""
    return f": {str(option.default).lower() if isinstance(option.default, bool) else option.default}"


def _value(option: FieldInfo) -> str:
    """What an option takes, in a word or two."""
    kinds = [option.annotation]
    if get_origin(option.annotation) not in (None, Literal, tuple):
        kinds = [kind for kind in get_args(option.annotation) if kind is not type(None)]
    kind = kinds[0]
    if get_origin(kind) is Literal:
        return ", ".join(f"`{word}`" for word in get_args(kind))
    return "list of texts" if get_origin(kind) is tuple else _WORDS[kind]


if __name__ == "__main__":
    write(Path(sys.argv[1]))
