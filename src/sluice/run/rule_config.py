"""How a recipe writes rules: a name, and a condition in SQL; short, or with what it means where it is NULL."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator


class RuleConfig(BaseModel):
    """A named SQL predicate over the columns; the name is the reason."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    when: str = Field(description="SQL predicate over one row of measured columns, e.g. `sharpness < 100`")
    null: Literal["held", "rejected", "pass"] = Field(
        "held", description="what it means when the predicate is NULL because a column could not be measured"
    )


def rule_of(value: Any) -> Any:
    """The short form, a condition alone, as a rule."""
    return {"when": value} if isinstance(value, str) else value


RuleField = Annotated[RuleConfig, BeforeValidator(rule_of)]


class RulesConfig(BaseModel):
    """The rules of a stage."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reject: dict[str, RuleField] = Field({}, description="rules whose samples leave the dataset")
    hold: dict[str, RuleField] = Field({}, description="rules whose samples wait for a review")

    @model_validator(mode="after")
    def _names_are_unique(self) -> RulesConfig:
        for name in self.reject:
            if name in self.hold:
                raise ValueError(f"rule {name!r} stands under both `reject` and `hold`; a name is one reason")
        return self
