"""The section `redact` of a recipe: what is made unrecognisable in images while they are packed."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from sluice.media.redact import Method


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FieldBoxes(_Model):
    """Boxes that the source holds, in the metadata of the image or of the sample: a list of boxes.

    A box is four numbers, or an object with them under `bbox`, as COCO has it.
    """

    type: Literal["field"] = Field(description="`field`")
    field: str = Field(min_length=1, description="name of the field, such as `faces`")
    form: Literal["xyxy", "xywh"] = Field(
        "xyxy", description="left, top, right, bottom; or left, top, width, height, as COCO has them"
    )
    share: bool = Field(False, description="whether the numbers are shares of the image's sides, not px")
    categories: tuple[str, ...] = Field((), description="only boxes of these, where a box says its `category`")


class PluginBoxes(_Model):
    """A detector of yours: a function that a file of `plugins` registers."""

    type: Literal["plugin"] = Field(description="`plugin`")
    function: str = Field(min_length=1, description="its name, as registered by `sluice.models.detector.detector`")
    params: dict[str, Any] = Field({}, description="its parameters, where they differ from its defaults")
    max_side: int = Field(1024, ge=16, description="px: images are decoded at least so large where they are")
    batch: int = Field(8, ge=1, description="images at a time")


class HttpBoxes(_Model):
    """A detector behind an address: an image in, boxes out."""

    type: Literal["http"] = Field(description="`http`")
    url: str = Field(pattern="^https?://", description="the whole address")
    model: str = Field(min_length=1, description="name of the model, as the service knows it")
    revision: str = Field("not stated", description="what you know of its version")
    key_variable: str | None = Field(None, description="environment variable that holds the key; it is never logged")
    timeout: float = Field(60, gt=0, description="seconds for a whole request, however slowly it drips")
    tries: int = Field(3, ge=1, le=10, description="tries of a request that failed for a passing reason")
    longest_wait: float = Field(120, ge=0, description="seconds to wait at most before another try")


BoxesConfig: TypeAlias = Annotated[FieldBoxes | PluginBoxes | HttpBoxes, Field(discriminator="type")]


class RedactConfig(_Model):
    """What is covered in images while they are packed: the one step that writes an image's bytes anew."""

    boxes: BoxesConfig = Field(description="where the boxes come from")
    method: Method = Field("blur", description="`blur`: a smoothed mosaic of at most 6 x 6 cells; `fill`: one colour")
    null: Literal["held", "rejected", "pass"] = Field(
        "held", description="what becomes of a sample with an image of which nobody says whether there are boxes"
    )
