"""Token lengths as a usual mixture of image-text data has them."""

from __future__ import annotations

import numpy as np


def mixed_lengths(count: int, seed: int = 0) -> np.ndarray:
    """Texts log-normal around 60 tokens (sigma 1.2, to 4,000); nine in ten with an image of 64 to 1,280 tokens."""
    drawn = np.random.default_rng(seed)
    texts = np.minimum(drawn.lognormal(np.log(60), 1.2, count), 4000)
    images = np.clip(drawn.lognormal(np.log(350), 0.7, count), 64, 1280)
    return (texts + np.where(drawn.random(count) < 0.9, images, 0)).astype(np.int64) + 1
