"""Augmentation: steps, declared once, that move an image with its words, boxes and masks, by numbers of its own."""

from sluice.load.augment.declared import Augment
from sluice.load.augment.example import Example, Said
from sluice.load.augment.examples import Examples
from sluice.load.augment.steps import (
    CenterCrop,
    ColourJitter,
    Flip,
    MultiResolution,
    PadOrResize,
    RandAugment,
    RandomResizedCrop,
    Resize,
)

__all__ = [
    "Augment",
    "CenterCrop",
    "ColourJitter",
    "Example",
    "Examples",
    "Flip",
    "MultiResolution",
    "PadOrResize",
    "RandAugment",
    "RandomResizedCrop",
    "Resize",
    "Said",
]
