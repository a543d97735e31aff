"""What a recipe may say of a translator: one kind of model a type, told apart by `type`."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from sluice.caption.config import PromptConfig, ServiceBase

_PAIR = r"^([a-z]{2,3}(-[A-Za-z0-9]+)*>[a-z]{2,3}(-[A-Za-z0-9]+)*|\*)$"


class TranslatorBase(BaseModel):
    """What every type takes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="What it is called.")


class ChatTranslatorConfig(ServiceBase, TranslatorBase):
    """A chat service that translates, and paraphrases where both languages are the same."""

    type: Literal["chat"]
    translate: PromptConfig | None = Field(
        default=None,
        description="What is asked: `{text}`, `{source}` and `{target}` stand for the caption and languages.",
    )
    paraphrase: PromptConfig | None = Field(default=None, description="The same where both languages are one.")


class LocalTranslatorBase(TranslatorBase):
    """What every type takes that runs here."""

    models: dict[Annotated[str, Field(pattern=_PAIR)], str] = Field(
        min_length=1,
        description='The folder of the model of each direction: `{"en>de": models/en-de}`; `*`: all others.',
    )
    codes: dict[str, str] = Field(
        default_factory=dict,
        description="What a model of many languages calls them: `{en: eng_Latn, de: deu_Latn}` (NLLB).",
    )
    batch: int = Field(default=16, ge=1, description="Captions at a time.")
    beams: int = Field(default=4, ge=1, description="Beams of the search.")
    max_tokens: int = Field(default=256, ge=1, description="Tokens of a translation; one that reaches them failed.")
    threads: int = Field(default=1, ge=1, description="Threads that the models run on.")
    device: str = Field(default="cpu", pattern=r"^(cpu|cuda(:\d+)?)$", description="`cpu`, `cuda`, `cuda:1`.")


class TransformersTranslatorConfig(LocalTranslatorBase):
    """Models of `transformers` that make texts from texts: Marian (OPUS-MT), M2M-100, NLLB."""

    type: Literal["transformers"]


class CTranslate2Config(LocalTranslatorBase):
    """Models converted for CTranslate2, with `source.spm` and `target.spm` (OPUS-MT) beside them."""

    type: Literal["ctranslate2"]


TranslatorConfig: TypeAlias = Annotated[
    ChatTranslatorConfig | TransformersTranslatorConfig | CTranslate2Config, Field(discriminator="type")
]
