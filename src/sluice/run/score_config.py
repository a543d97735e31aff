"""What a recipe may say of a score: a head over the encoder's vectors, or a classifier behind an address."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from sluice.models.heads import HeadConfig
from sluice.models.http_classifier import ClassifierConfig

Of = Literal["image", "text"]


class HeadScoreConfig(HeadConfig):
    """A head over the stored vectors of the encoder: a column of the score's name."""

    type: Literal["head"] = Field(description="`head`")
    of: Of = Field("image", description="whose vectors it reads")


class HttpScoreConfig(ClassifierConfig):
    """A classifier that speaks as OpenAI's `/v1/moderations`: a column `NAME_LABEL` for each of its labels."""

    type: Literal["http"] = Field(description="`http`")
    of: Of = Field(description="what it is sent: images as they are stored, or texts")


ScoreConfig: TypeAlias = Annotated[HeadScoreConfig | HttpScoreConfig, Field(discriminator="type")]
