"""The section `captions` of a recipe: who captions which samples, and what is made of their captions."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from sluice.caption.config import CaptionerConfig
from sluice.caption.variation_config import CONSENSUS, METHODS, ConsensusConfig, VariationsConfig
from sluice.run.rule_config import RuleConfig, RuleField, rule_of


class RouteConfig(RuleConfig):
    """A rule that sends a sample out before it is captioned; what it cannot judge goes on."""

    null: Literal["held", "rejected", "pass"] = Field(
        "pass", description="what it means when the predicate is NULL, as where there is no caption yet"
    )


RouteField = Annotated[RouteConfig, BeforeValidator(rule_of)]


class CaptionsConfig(BaseModel):
    """What 02_captioned does: samples are kept as they are, captioned, or rejected, by rules over the columns."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    captioners: tuple[CaptionerConfig, ...] = Field((), description="who captions, in order")
    consensus: ConsensusConfig | None = Field(
        None, description="what two or three captioners agree on, as one more caption; what one claims is flagged"
    )
    variations: VariationsConfig | None = Field(None, description="new captions made from those that there are")
    recaption: dict[str, RuleField] = Field(
        {}, description="rules whose samples are captioned; default: all samples are. NULL counts as yes"
    )
    reject: dict[str, RouteField] = Field({}, description="rules whose samples are not worth a caption and leave")
    pairs: dict[str, RuleField] = Field(
        {}, description="rules whose question-answer pairs (`kind: qa`) are left out; they read measures of texts"
    )
    take_up: bool = Field(
        True, description="whether samples that 01_filtered holds for their captions alone are captioned, not held"
    )

    @field_validator("captioners")
    @classmethod
    def _each_captioner_once(cls, captioners: tuple[CaptionerConfig, ...]) -> tuple[CaptionerConfig, ...]:
        names = [one.name for one in captioners]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"the captioner {name!r} is given twice")
            if name in (CONSENSUS, *METHODS):
                raise ValueError(f"{name!r} is the origin of captions made from captions; give another name")
        return captioners

    @model_validator(mode="after")
    def _somebody_writes(self) -> CaptionsConfig:
        if not self.captioners and not self.variations:
            raise ValueError("give `captioners`, or `variations` of the captions that there are")
        if self.recaption and not self.captioners:
            raise ValueError("`recaption` says which samples the captioners describe, and there are none")
        if self.consensus and not 2 <= len(self.captioners) <= 3:
            raise ValueError(f"a consensus is one of two or three captioners, and there are {len(self.captioners)}")
        return self
