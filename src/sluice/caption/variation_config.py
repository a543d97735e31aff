"""What a recipe may say of consensus and variations: captions made from captions."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sluice.caption.translate_config import ChatTranslatorConfig, TranslatorConfig

CONSENSUS: Final = "consensus"
METHODS: Final = ("expand", "length", "paraphrase", "back_translation")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ConsensusConfig(_Section):
    """What two or three captioners agree on, as a caption of its own; what one alone claims is flagged."""

    language: str = Field(
        default="en", description="Language of captions that were asked for in none: `en`, `de`, `fr` or `es`."
    )
    words: bool = Field(
        default=False,
        description="Whether the words agreed on, with commas, are the caption where no sentence is agreed on whole.",
    )


class LengthConfig(_Section):
    """A band of lengths, in words; captions are cut at ends of sentences."""

    shortest: int = Field(default=10, ge=1, description="Words at least.")
    longest: int = Field(default=50, ge=1, description="Words at most.")

    @model_validator(mode="after")
    def _in_order(self) -> LengthConfig:
        if self.shortest > self.longest:
            raise ValueError("shortest: is more than longest:")
        return self


class BackTranslationConfig(_Section):
    """Into another language and back again."""

    pivot: str = Field(min_length=2, description="The language in between, BCP 47.")
    there: TranslatorConfig = Field(description="Who translates into it.")
    back: TranslatorConfig | None = Field(default=None, description="Who translates back. Default: the same.")


class VariationsConfig(_Section):
    """New captions made from those that a sample has. A method that is not written is not used."""

    of: Literal["all", "source", "generated"] = Field(
        default="all", description="Which captions are varied: those of the source, those of captioners, or both."
    )
    language: str = Field(default="en", description="Language of captions whose language nobody states or knows.")
    expand: str | None = Field(
        default=None,
        min_length=1,
        description="A template around a caption: `{caption}[ It is made of {material}.]`; fields are the sample's.",
    )
    length: LengthConfig | None = Field(
        default=None, description="Cut to whole sentences within a band; `{}`: 10 to 50 words."
    )
    paraphrase: ChatTranslatorConfig | None = Field(default=None, description="Who says it in other words.")
    back_translation: BackTranslationConfig | None = Field(default=None, description="Through another language.")

    @model_validator(mode="after")
    def _some(self) -> VariationsConfig:
        if not any((self.expand, self.length, self.paraphrase, self.back_translation)):
            raise ValueError(f"give at least one of {', '.join(METHODS)}")
        return self
