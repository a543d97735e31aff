"""What a recipe may say under `quality` beside its rules: shares, and the check of the kept set as a whole."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


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
