"""The section `gate` of a recipe: what a run must show before its dataset may be used."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from sluice.run.quality_config import Share
from sluice.run.rights_gate import spdx_ids


class SafetyLimit(BaseModel):
    """How many packed samples may have a column true, or higher than a number."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    above: float = Field(0, description="a number counts that is higher; what a sigmoid gives is always above 0")
    most: int = Field(0, ge=0, description="packed samples that may count")


def _most(value: Any) -> Any:
    return {"most": value} if isinstance(value, int) else value


class GateConfig(BaseModel):
    """What `sluice gate` asks of a finished run. It changes nothing of the run, and no stage is made again for it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_seconds_per_kept: float | None = Field(None, gt=0, description="seconds on the clock for a packed sample")
    max_cost_per_kept: float | None = Field(
        None, ge=0, description="money for a packed sample, in the currency of the captioners' `price`"
    )
    licences: tuple[str, ...] | None = Field(
        None, min_length=1, description="SPDX ids that may be packed; default: those of `filter.rights.allow`, if any"
    )
    opt_outs: tuple[str, ...] = Field((), description="lists of `filter.rights.opt_out` that must have been honoured")
    max_pii: int | None = Field(0, ge=0, description="packed samples with personal data in a text; `null`: any number")
    safety: dict[str, Annotated[SafetyLimit, BeforeValidator(_most)]] = Field(
        {"noai": SafetyLimit(above=0, most=0)},
        description="columns, and how many packed samples may have each true, or above 0; for a score `{above, most}`",
    )
    min_kept: int = Field(1, ge=0, description="packed samples")
    contamination: tuple[str, ...] = Field(
        (), description="reference sets of `filter.duplicates.against` that must have been held against the samples"
    )
    require_audit: bool = Field(False, description="whether `sluice audit` must have been judged, of these very shards")
    max_error_rate: Share = Field(
        0.05, description="for the upper end of the audit's 95% interval; counts for any audit of these shards"
    )

    @field_validator("licences")
    @classmethod
    def _are_licences(cls, licences: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return spdx_ids(licences)
