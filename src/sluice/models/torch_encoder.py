"""What the encoders that run on torch share: images and texts, batch by batch, through the towers of a library."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sluice.models.base import Identity, Pixels, Preprocess, Vectors, in_batches
from sluice.models.preprocess import tensor


@dataclass(frozen=True)
class Towers:
    """A library's own model and tokenizer, and how to ask them; tensors in, tensors out."""

    model: Any
    tokenizer: Any
    image: Callable[[Any], Any]  # pixels (n, 3, height, width) to features (n, dim)
    tokens: Callable[[list[str]], Any]  # what `text` takes; it can be moved to a device
    text: Callable[[Any], Any]  # to features (n, dim)


class TorchEncoder:
    """An encoder whose towers run on torch. Which they are, and who it is, is for those to say who load it."""

    def __init__(
        self, identity: Identity, preprocess: Preprocess, towers: Towers, torch: Any, device: str, batch: int
    ) -> None:
        self._torch = torch
        towers.model.float().eval().to(device)
        self.identity: Final = identity
        self.preprocess: Final = preprocess
        self.towers: Final = towers
        self._device = device
        self._batch = batch
        self.dim: Final[int] = self._texts(["a"]).shape[1]

    def encode_images(self, images: Sequence[Pixels]) -> Vectors:
        """A row an image, of length 1."""
        return in_batches(images, self._batch, self.dim, self._images)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """A row a text, of length 1."""
        return in_batches(texts, self._batch, self.dim, self._texts)

    def _images(self, images: Sequence[Pixels]) -> npt.NDArray[np.float32]:
        return self._run(self.towers.image, self._torch.from_numpy(tensor(images, self.preprocess)))

    def _texts(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        return self._run(self.towers.text, self.towers.tokens(list(texts)))

    def _run(self, tower: Callable[[Any], Any], asked: Any) -> npt.NDArray[np.float32]:
        with self._torch.inference_mode():
            return tower(asked.to(self._device)).float().cpu().numpy()
