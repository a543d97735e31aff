"""The steps that a recipe declares: frozen values that map an example to an example, by numbers drawn for it.

A step that draws is augmentation, and is left out where a split is not to be augmented. A step that draws nothing
(`resize`, `center_crop`, `pad_or_resize`) prepares an image for a model, and stays.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import Annotated, ClassVar, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, field_validator

from sluice.load.augment import colour
from sluice.load.augment.example import Example, Pixels
from sluice.load.augment.moving import VISIBLE, Size, mirrored, reframe
from sluice.load.augment.rand import OPERATIONS, strength, varied
from sluice.load.augment.sides import mirrored_text, shows_writing, speaks_of_sides
from sluice.load.augment.windows import Draws, draw_window, middle_window

DRAWS: Final = 64  # numbers that a step is given; it reads the first of them, and need not read all

Side: TypeAlias = Annotated[int, Field(ge=1, le=65_536)]
Sides: TypeAlias = Side | tuple[Side, Side]
Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]


def _size(sides: Sides) -> Size:
    """Width and height of what a recipe writes as one side, or as height and width."""
    return (sides, sides) if isinstance(sides, int) else (sides[1], sides[0])


class StepBase(BaseModel):
    """What all steps have in common."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    drawn: ClassVar[bool] = True  # whether it draws anything

    @abstractmethod
    def apply(self, example: Example, draws: Draws) -> Example:
        """The example after this step; `draws` are DRAWS numbers from 0 to below 1, for this step and example alone."""


class _Cutting(StepBase):
    visible: Share = Field(default=VISIBLE, description="a box of which a lesser share of its area is left is dropped")


class RandomResizedCrop(_Cutting):
    """A part of the image at a random place, scaled to one size, as torchvision; relevant boxes stay whole in it."""

    type: Literal["random_resized_crop"] = Field(default="random_resized_crop", description="`random_resized_crop`")
    size: Sides = Field(description="side in px, or height and width")
    scale: tuple[float, float] = Field(default=(0.08, 1.0), description="shares of the image's area, least and most")
    ratio: tuple[float, float] = Field(default=(3 / 4, 4 / 3), description="width / height, least and most")

    @field_validator("scale", "ratio")
    @classmethod
    def _in_order(cls, pair: tuple[float, float]) -> tuple[float, float]:
        if not 0 < pair[0] <= pair[1] < float("inf"):
            raise ValueError("give two numbers above 0, the lesser first")
        return pair

    @field_validator("scale")
    @classmethod
    def _of_the_image(cls, pair: tuple[float, float]) -> tuple[float, float]:
        if pair[1] > 1:
            raise ValueError("a crop has at most the whole area, 1")
        return pair

    def apply(self, example: Example, draws: Draws) -> Example:
        """Cut and scale."""
        window = draw_window((example.width, example.height), self.scale, self.ratio, example.union, draws)
        return reframe(example, window, _size(self.size), self.visible)


class CenterCrop(_Cutting):
    """The middle, moved and scaled down only where relevant boxes would be cut; gray beside a smaller image."""

    type: Literal["center_crop"] = Field(default="center_crop", description="`center_crop`")
    drawn: ClassVar[bool] = False
    size: Sides = Field(description="side in px, or height and width")

    def apply(self, example: Example, draws: Draws) -> Example:
        """Cut."""
        size = _size(self.size)
        return reframe(example, middle_window((example.width, example.height), size, example.union), size, self.visible)


class Resize(StepBase):
    """Scale to one length of a side, without distortion."""

    type: Literal["resize"] = Field(default="resize", description="`resize`")
    drawn: ClassVar[bool] = False
    side: Side = Field(description="px")
    of: Literal["shorter", "longer"] = Field(default="shorter", description="which side of the image becomes so long")

    def apply(self, example: Example, draws: Draws) -> Example:
        """Scale."""
        return _scaled(example, self.side, self.of)


class MultiResolution(StepBase):
    """Scale to a length drawn from a list, without distortion: for each sample, not for a whole batch."""

    type: Literal["multi_resolution"] = Field(default="multi_resolution", description="`multi_resolution`")
    sides: tuple[Side, ...] = Field(min_length=1, description="lengths in px, each as likely")
    of: Literal["shorter", "longer"] = Field(default="longer", description="which side of the image becomes so long")

    def apply(self, example: Example, draws: Draws) -> Example:
        """Scale."""
        return _scaled(example, self.sides[int(draws[0] * len(self.sides))], self.of)


class PadOrResize(StepBase):
    """The whole image in a frame of one size, without distortion, gray beside it."""

    type: Literal["pad_or_resize"] = Field(default="pad_or_resize", description="`pad_or_resize`")
    drawn: ClassVar[bool] = False
    size: Sides = Field(description="side in px, or height and width")
    enlarge: bool = Field(default=True, description="whether a smaller image is scaled up, or only padded")

    def apply(self, example: Example, draws: Draws) -> Example:
        """Scale and pad."""
        width, height = _size(self.size)
        scale = min(width / example.width, height / example.height)
        scale = scale if self.enlarge else min(1.0, scale)
        fit = max(1, min(width, round(example.width * scale))), max(1, min(height, round(example.height * scale)))
        scaled = reframe(example, (0, 0, example.width, example.height), fit, 0)
        left, top = (width - fit[0]) // 2, (height - fit[1]) // 2
        return reframe(scaled, (-left, -top, width - left, height - top), (width, height), 0)


class Flip(StepBase):
    """Left and right exchanged, now and then; never where the image shows writing."""

    type: Literal["flip"] = Field(default="flip", description="`flip`")
    share: Share = Field(default=0.5, description="share of samples that are flipped")
    when_text: Literal["forbid", "rewrite"] = Field(
        default="forbid",
        description="what becomes of a sample whose texts speak of left or right: it is not flipped; or `rewrite` "
        "exchanges the words where all of them are surely sides (en, de, fr, es, zh), and does not flip it else",
    )

    def apply(self, example: Example, draws: Draws) -> Example:
        """Flip, if it is drawn and may be."""
        return (self.flipped(example) or example) if draws[0] < self.share else example

    def flipped(self, example: Example) -> Example | None:
        """The mirrored example; None where it must not be."""
        if example.has_text or any(shows_writing(said.text) for said in example.texts):
            return None
        if any(label.strip().lower() == "text" for label in example.labels):
            return None
        if self.when_text == "forbid" and any(speaks_of_sides(said.text) for said in example.texts):
            return None
        texts = [mirrored_text(said.text, said.language) for said in example.texts]
        said = [replace(one, text=text) for one, text in zip(example.texts, texts, strict=True) if text is not None]
        return replace(mirrored(example), texts=tuple(said)) if len(said) == len(texts) else None


class ColourJitter(StepBase):
    """Brightness, contrast, saturation and hue, each by a random factor, in random order, as torchvision."""

    type: Literal["colour_jitter"] = Field(default="colour_jitter", description="`colour_jitter`")
    brightness: float = Field(default=0.4, ge=0, description="factors from 1 - this (0 at least) to 1 + this")
    contrast: float = Field(default=0.4, ge=0, description="factors, as of brightness")
    saturation: float = Field(default=0.4, ge=0, description="factors, as of brightness")
    hue: float = Field(default=0.1, ge=0, le=0.5, description="shares of the colour circle, from - this to this")
    share: Share = Field(default=1.0, description="share of samples to which it is done")

    def apply(self, example: Example, draws: Draws) -> Example:
        """Colour anew."""
        if draws[0] >= self.share:
            return example
        pixels = example.pixels
        for which in draws[5:9].argsort(kind="stable").tolist():
            pixels = self._one(pixels, which, float(draws[1 + which]))
        return replace(example, pixels=pixels)

    def _one(self, pixels: Pixels, which: int, draw: float) -> Pixels:
        if which == 3:
            return colour.hue(pixels, (2 * draw - 1) * self.hue)
        most = (self.brightness, self.contrast, self.saturation)[which]
        change = (colour.brightness, colour.contrast, colour.saturation)[which]
        least = max(0.0, 1 - most)
        return change(pixels, least + (1 + most - least) * draw)


class RandAugment(_Cutting):
    """Some of 14 changes at one magnitude (Cubuk and others, 2019), as torchvision scales them.

    A change that would move a relevant box past the edge is not made.
    """

    type: Literal["rand_augment"] = Field(default="rand_augment", description="`rand_augment`")
    n: int = Field(default=2, ge=0, le=DRAWS // 2, description="how many, one after the other; the same may come again")
    m: int = Field(default=9, ge=0, le=30, description="magnitude, 0 to 30")

    def apply(self, example: Example, draws: Draws) -> Example:
        """Make the changes drawn."""
        for number in range(self.n):
            name = OPERATIONS[int(draws[2 * number] * len(OPERATIONS))]
            sign = -1 if draws[2 * number + 1] < 0.5 else 1
            example = varied(example, name, strength(name, self.m, example.width, example.height), sign, self.visible)
        return example


Step: TypeAlias = Annotated[
    RandomResizedCrop | CenterCrop | Resize | MultiResolution | PadOrResize | Flip | ColourJitter | RandAugment,
    Field(discriminator="type"),
]


def _scaled(example: Example, side: int, of: Literal["shorter", "longer"]) -> Example:
    scale = side / (min if of == "shorter" else max)(example.width, example.height)
    size = max(1, round(example.width * scale)), max(1, round(example.height * scale))
    return reframe(example, (0, 0, example.width, example.height), size, 0)
