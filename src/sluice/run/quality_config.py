"""The section `quality` of a recipe: rules over cosines and scores, shares, and the check of the kept set."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from sluice.models.config import VectorsConfig
from sluice.run.alike_config import SemanticDuplicatesConfig
from sluice.run.rule_config import RuleConfig, RulesConfig, rule_of
from sluice.run.score_config import ScoreConfig


def _share(value: Any) -> Any:
    """`1%` as 0.01."""
    if isinstance(value, str) and value.strip().endswith("%"):
        try:
            return float(value.strip()[:-1]) / 100
        except ValueError:
            raise ValueError("is no share: write 1% or 0.01") from None
    return value


Share: TypeAlias = Annotated[float, BeforeValidator(_share), Field(gt=0, le=1, allow_inf_nan=False)]


class RetrievalConfig(BaseModel):
    """The right caption is to be found for an image among those of a sample, and the right image for a caption."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    top: int = Field(10, ge=1, description="among so many of the first it must stand")
    share: Share = Field(0.8, description="for so many of the images, and of the captions; less stops the run")
    sample: int = Field(10_000, ge=1, description="kept images that are drawn; the fewer, the easier it is to pass")


class QualityRuleConfig(RuleConfig):
    """A rule over all columns and `alignment`; or the share of mismatched pairs that it may let through."""

    when: str = Field("", description="SQL predicate over one row, e.g. `alignment < 0.58`; or give `false_accept`")
    false_accept: Share | None = Field(
        None, description="`1%`: at most this share of mismatched pairs passes; short for `when: false_accept > 0.01`"
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> QualityRuleConfig:
        if self.false_accept is None:
            if not self.when:
                raise ValueError("give either `when` (a condition) or `false_accept` (a share)")
            return self
        meant = f"false_accept > {self.false_accept:.10g}"
        if self.when not in ("", meant):  # a locked recipe has both
            raise ValueError("give either `when` (a condition) or `false_accept` (a share), not both")
        object.__setattr__(self, "when", meant)  # frozen for all others
        return self


QualityRuleField = Annotated[QualityRuleConfig, BeforeValidator(rule_of)]


class QualityConfig(RulesConfig):
    """What 03_quality_checked decides: its rules may read `alignment`, the cosine of image and text, too."""

    reject: dict[str, QualityRuleField] = Field({}, description="rules whose samples leave the dataset")  # pyright: ignore[reportIncompatibleVariableOverride] - frozen
    hold: dict[str, QualityRuleField] = Field({}, description="rules whose samples wait for a review")  # pyright: ignore[reportIncompatibleVariableOverride] - frozen
    encoder: VectorsConfig = Field(description="what makes vectors of images and texts; a threshold belongs to it")
    scores: dict[str, ScoreConfig] = Field(
        {}, description="scores of safety and the like, by name: a head over the vectors, or a service; columns of 03"
    )
    duplicates: SemanticDuplicatesConfig | None = Field(
        None, description="samples whose vectors are nearly the same; default: not looked for"
    )
    retrieval: RetrievalConfig | None = Field(None, description="a check of the kept set as a whole; default: none")
    alternatives: int | None = Field(
        None, ge=0, description="captions kept beside the one that fits best; default: all that no rule speaks against"
    )
