"""The section `balance` of a recipe: which of the samples that passed every rule are drawn into the dataset."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ConceptsConfig(_Model):
    """Frequent concepts are drawn less often, as MetaCLIP does: a sample stays if any entry in its texts draws it."""

    entries: str = Field(description="a text file with a word or phrase a line, relative to the recipe")
    cap: int = Field(20_000, gt=0, description="an entry in more samples draws each with the probability cap / count")
    unmatched: Literal["reject", "keep"] = Field(
        "reject", description="what becomes of samples in whose texts no entry stands"
    )


class CapConfig(_Model):
    """At most so many samples of each value of a column."""

    column: str = Field(description="the column, e.g. `source` or `language`; a sample's first row counts")
    cap: int = Field(gt=0, description="most samples of one value; samples without a value have no cap")


class ClustersConfig(_Model):
    """At most so many samples of each cluster of images, or texts, that are alike to the encoder of `quality`."""

    k: int = Field(1_000, gt=0, le=100_000, description="number of clusters")
    cap: int = Field(gt=0, description="most samples of one cluster; samples without a vector have no cap")
    of: Literal["image", "text"] = Field("image", description="whose vectors: the first image's or the first text's")


class TiersConfig(_Model):
    """A set of a given size: a part that is the best by an order, the rest drawn from all others."""

    size: int | None = Field(None, gt=0, description="samples to choose; with `top`: at most, repeats counted")
    best: float = Field(0.2, ge=0, le=1, description="share of them that is taken from the top of `order`")
    order: str = Field(description="ORDER BY expression over the columns, e.g. `alignment desc, id`")
    top: float | None = Field(
        None, gt=0, lt=1, description="share of all samples that is the best tier; default: as many as are chosen of it"
    )
    repeats: int = Field(
        1, ge=1, le=1_000, description="with `top`: most times an epoch takes a sample, where a tier has too few"
    )

    @model_validator(mode="after")
    def _sized(self) -> TiersConfig:
        if self.size is None and self.top is None:
            raise ValueError("give `size`, `top` or both")
        if self.repeats > 1 and self.top is None:
            raise ValueError("`repeats` needs `top`: how many of the samples are the best tier")
        return self


class MixtureConfig(_Model):
    """Shares of the values of a column, given as weights or by a temperature."""

    column: str = Field(description="the column, e.g. `source`; a sample's first row counts")
    weights: dict[str, Annotated[float, Field(ge=0)]] | None = Field(
        None, min_length=1, description="weight by value; a value that is not named has none"
    )
    temperature: float | None = Field(
        None, gt=0, description="or: shares in proportion to count ** (1 / temperature); more is more equal"
    )
    size: int | None = Field(
        None, gt=0, description="`draw`: most samples to draw, repeats counted; default: as many as the shares let"
    )
    repeats: int = Field(
        1,
        ge=1,
        le=1_000,
        description="`draw`: most times an epoch takes a sample; a value that has less than its share is repeated, "
        "as often as it takes, and the others lose less",
    )
    by: Literal["draw", "weight"] = Field(
        "draw", description="`draw` leaves samples out; `weight` keeps all and states a weight in the manifest"
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> MixtureConfig:
        if (self.weights is None) == (self.temperature is None):
            raise ValueError("give either `weights` or `temperature`")
        if self.weights is not None and not any(self.weights.values()):
            raise ValueError("at least one weight must be more than zero")
        if self.by == "weight" and self.size is not None:
            raise ValueError("`size` is for `by: draw`; `by: weight` keeps all samples")
        if self.by == "weight" and self.repeats > 1:
            raise ValueError("`repeats` is for `by: draw`; `by: weight` states a weight instead")
        return self


class DiversityConfig(_Model):
    """A set of a given size whose vectors cover those of all."""

    size: int = Field(gt=0, description="samples to choose")
    method: Literal["farthest", "facility", "stochastic"] = Field(
        "farthest",
        description="`farthest`: always the one least like any chosen; `facility`: those most like all others; "
        "`stochastic`: the same from random samples, for sizes in the tens of thousands",
    )
    of: Literal["image", "text"] = Field("image", description="whose vectors: the first image's or the first text's")


class BalanceConfig(_Model):
    """Which samples are drawn into the dataset; the steps run in the order of this table."""

    concepts: ConceptsConfig | None = Field(None, description="frequent concepts are drawn less often")
    clusters: ClustersConfig | None = Field(None, description="a cap on each cluster of vectors")
    caps: tuple[CapConfig, ...] = Field((), description="caps on the values of columns")
    tiers: TiersConfig | None = Field(None, description="a size, part of it the best by an order")
    diversity: DiversityConfig | None = Field(None, description="a size, chosen to cover all")
    mixture: MixtureConfig | None = Field(None, description="shares of the values of a column")
