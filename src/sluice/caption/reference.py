"""The options in `docs/captioning.md`, from the models that check them: python -m sluice.caption.reference PAGE."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from sluice.caption.config import (
    Budget,
    CaptionerBase,
    ChatConfig,
    Limits,
    PluginConfig,
    Price,
    PromptConfig,
    ServiceBase,
    TemplateConfig,
    TransformersConfig,
)
from sluice.caption.translate_config import (
    ChatTranslatorConfig,
    CTranslate2Config,
    LocalTranslatorBase,
    TransformersTranslatorConfig,
)
from sluice.caption.variation_config import (
    BackTranslationConfig,
    ConsensusConfig,
    LengthConfig,
    VariationsConfig,
)
from sluice.errors import SluiceError

BEGIN: Final = "<!-- options: made by sluice.caption.reference; a test keeps them current -->"
END: Final = "<!-- /options -->"

_WORDS: Final[dict[Any, str]] = {str: "text", int: "number", float: "number", bool: "`true` or `false`"}
_SECTIONS: Final[tuple[tuple[str, type[BaseModel], tuple[type[BaseModel], ...]], ...]] = (
    ("Every captioner", CaptionerBase, ()),
    ("A chat service: captioners and translators of type `chat`", ServiceBase, ()),
    ("Captioner `chat`, besides", ChatConfig, (CaptionerBase, ServiceBase)),
    ("Captioner `transformers`", TransformersConfig, (CaptionerBase,)),
    ("Captioner `template`", TemplateConfig, (CaptionerBase,)),
    ("Captioner `plugin`", PluginConfig, (CaptionerBase,)),
    ("`prompt:`", PromptConfig, ()),
    ("`limits:`", Limits, ()),
    ("`budget:`", Budget, ()),
    ("`price:`", Price, ()),
    ("`consensus:`", ConsensusConfig, ()),
    ("`variations:`", VariationsConfig, ()),
    ("`length:`", LengthConfig, ()),
    ("`back_translation:`", BackTranslationConfig, ()),
    ("Translator `chat`, besides", ChatTranslatorConfig, (ServiceBase,)),
    ("Translators `transformers` and `ctranslate2`", LocalTranslatorBase, ()),
    ("Translator `transformers`, besides", TransformersTranslatorConfig, (LocalTranslatorBase,)),
    ("Translator `ctranslate2`, besides", CTranslate2Config, (LocalTranslatorBase,)),
)


def markdown() -> str:
    """A table a section; those without options of their own are left out."""
    parts: list[str] = []
    for title, model, shared in _SECTIONS:
        known = {"type"}.union(*(base.model_fields for base in shared))
        rows = [_row(name, option) for name, option in model.model_fields.items() if name not in known]
        if rows:
            table = "\n".join(["| option | value | meaning |", "| --- | --- | --- |", *rows])
            parts.append(f"### {title}\n\n{table}\n")
    return "\n".join(parts)


def write(page: Path) -> None:
    """Put the current `markdown` between the markers of `page`."""
    before, begin, rest = page.read_text("utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SluiceError(f"{page} has no place for the options: it needs the lines\n{BEGIN}\n{END}")
    page.write_text(f"{before}{BEGIN}\n\n{markdown()}\n{END}{after}", "utf-8")


def _row(name: str, option: FieldInfo) -> str:
    return f"| `{name}`{_default(option)} | {_value(option.annotation)} | {option.description} |"


def _default(option: FieldInfo) -> str:
    if option.is_required():
        return " (required)"
    if option.default_factory is not None or option.default is None:
        return ""
    return f": {str(option.default).lower() if isinstance(option.default, bool) else option.default}"


def _value(kind: Any) -> str:
    """What an option takes, in a word or two."""
    origin = get_origin(kind)
    if origin is Literal:
        return ", ".join(f"`{word}`" for word in get_args(kind))
    if origin is dict:
        return "mapping"
    if origin is not None:  # something, or nothing
        return _value(next(one for one in get_args(kind) if one is not type(None)))
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return "section"
    return _WORDS[kind]


if __name__ == "__main__":
    write(Path(sys.argv[1]))
