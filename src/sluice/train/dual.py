"""The built-in encoder's two towers as one module with one loss: for a trainer of your own, over any pack.

loader = Loader("runs/demo", batch=32, decode=Pixels(96, "pad"))
model = DualEncoder.builtin()  # or DualEncoder(), untrained
for batch in loader:
    model.loss(batch.values).backward()
    ...

It learns from pairs alone. What `sluice train encoder` adds (false captions made for each picture, what lies where in
it) takes the truth of drawn scenes, which pairs of yours do not have.
"""

# torch is an extra: checked with or without it
# pyright: reportMissingImports=false, reportUntypedBaseClass=false

from __future__ import annotations

from collections.abc import Sequence
from math import log

import numpy as np

from sluice.errors import MissingExtraError, RunError
from sluice.load.decode import Pair
from sluice.models.hashed_words import tokens
from sluice.models.load import builtin_folder
from sluice.train.batches import normalised

try:
    import torch
    from torch import Tensor, nn
    from torch.nn import functional as F  # noqa: N812 - its usual name

    from sluice.train.encoder import COLDEST, RECIPES, Recipe, in_groups, info_nce
    from sluice.train.towers import ImageTower, TextTower
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    raise MissingExtraError("training an encoder", "train") from error


class DualEncoder(nn.Module):
    """Pictures and captions to unit vectors of one space; a recipe says how large, and how captions become tokens."""

    def __init__(self, recipe: Recipe = RECIPES["builtin"]) -> None:
        super().__init__()
        self.recipe = recipe
        self.image, self.text = ImageTower(recipe.shape), TextTower(recipe.shape)
        self.scale = nn.Parameter(torch.tensor(log(1 / 0.07)))  # log of the inverse temperature

    @classmethod
    def builtin(cls) -> DualEncoder:
        """The encoder that comes with the package, to train on from; its batch normalisations stay as they are."""
        try:
            from sluice.train.restore import restored
        except ModuleNotFoundError as error:
            if error.name != "onnx":
                raise
            raise MissingExtraError("reading the built-in encoder", "train") from error
        model = cls()
        model.image, model.text = restored(builtin_folder(), model.recipe.shape)
        return model

    def forward(self, pixels: Tensor, captions: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels (n, 3, side, side) and tokens (m, length) to vectors (n, dim) and (m, dim)."""
        return F.normalize(self.image(pixels), dim=-1), F.normalize(in_groups(self.text, captions), dim=-1)

    def loss(self, pairs: Sequence[Pair | None]) -> Tensor:
        """InfoNCE of a batch of decoded pairs, both ways, over those that have a caption.

        None, which the loader serves where a whole block of a pack is bad, is left out too.
        """
        good = [(pair.image, pair.caption) for pair in pairs if pair is not None and pair.caption]
        side = self.recipe.shape.side
        if not good:
            raise RunError("a batch without any image that has a caption: there is nothing to learn from")
        if any(image.shape != (side, side, 3) for image, _ in good):
            raise RunError(f"images of {side} x {side} px are wanted: load them with decode=Pixels({side}, 'pad')")
        pixels = torch.from_numpy(normalised(np.stack([image for image, _ in good])))
        captions = torch.from_numpy(tokens([caption for _, caption in good], self.recipe.words))
        device = self.scale.device
        seen, said = self(pixels.to(device), captions.to(device))
        return info_nce(seen @ said.T, self.scale.clamp(max=COLDEST).exp())
