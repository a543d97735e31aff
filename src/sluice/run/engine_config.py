"""What a recipe may say under `engine:`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from sluice.table.cores import available_cores


class EngineConfig(BaseModel):
    """How units are carried to workers. Changes speed only, never a byte of the output."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["local", "ray"] = Field(
        "local", description="`local`: worker processes on this machine; `ray`: workers on a [Ray cluster](cluster.md)"
    )
    workers: int | None = Field(
        None, ge=1, description="number of workers; default: the cores of this machine, or of the cluster"
    )
    address: str | None = Field(
        None,
        min_length=1,
        description="`ray` only: `HOST:PORT` of the head, or `auto` for the cluster that this machine is in; default: "
        "the environment's `RAY_ADDRESS`, else Ray is started on this machine for the run",
    )
    gpus: float | None = Field(
        None, gt=0, description="`ray` only: GPUs for a worker with a model on `cuda`; 0.5: two share one; default: 1"
    )

    @model_validator(mode="after")
    def _of_ray(self) -> EngineConfig:
        for name in ("address", "gpus"):
            if self.type != "ray" and getattr(self, name) is not None:
                raise ValueError(f"`{name}` is of the engine `ray`: say `type: ray`, or leave it out")
        if self.address and "://" in self.address:
            raise ValueError(
                f"{self.address!r} is no address of a head: give `HOST:PORT`, and run on a machine of the cluster "
                "(`ray job submit`), for this process writes into the run folder as the workers do"
            )
        return self

    @property
    def workers_here(self) -> int:
        """How many workers there are on this machine, where all are."""
        return (self.workers if self.type == "local" else None) or available_cores()


def _named(value: Any) -> Any:
    return {"type": value} if isinstance(value, str) else value


EngineField = Annotated[EngineConfig, BeforeValidator(_named)]
