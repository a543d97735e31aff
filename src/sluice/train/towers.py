"""The two towers of the built-in encoder: pixels to a vector, words to a vector, in one space.

The image tower is a small convolutional net down to a grid of 12 x 12, on which a few learned queries look twice: a
query can settle on one thing and carry its shape, colour and place together, which an average over the picture cannot.
The text tower reads neighbouring words together before anything else (Kim, "Convolutional neural networks for
sentence classification", 2014), for a transformer alone took thousands of steps to learn more than a bag of words: to
it "a red ball and a blue cube" and "a blue ball and a red cube" were one. A transformer and queries follow, and beside
the queries detectors, each as loud as at the place where it found most. While training only there are heads that name
what the truth of a drawn scene says of each cell of the grid: they teach the eyes, and are thrown away.
"""

# torch and onnx are an extra: checked with or without them
# pyright: reportMissingImports=false, reportUntypedBaseClass=false

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from sluice.synth.scene import COLOURS, SHAPES, SIZES, TEXTURES

GRID: Final = 12  # cells of the image tower a side: one every 8 px
CELL_HEADS: Final = (len(SHAPES), len(COLOURS), len(TEXTURES), len(SIZES))


@dataclass(frozen=True)
class Shape:
    """Sizes of the towers."""

    side: int = 96  # px
    width: int = 128  # channels of the grid, of the queries and of the text
    queries: int = 12
    dim: int = 256  # of the common space
    length: int = 48  # tokens
    buckets: int = 14_867
    words: int = 64  # numbers a bucket
    reach: int = 5  # words that a convolution of the text tower reads together
    convolutions: int = 2  # so that 4 words before and after are read: the farthest an adjective is from its noun
    layers: int = 2  # of the transformer of the text tower
    detectors: int = 256


def _conv(into: int, out: int, reach: int, stride: int) -> nn.Sequential:
    conv = nn.Conv2d(into, out, reach, stride, reach // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out), nn.ReLU(inplace=True))


class Block(nn.Module):
    """Look at the cells around (3 x 3, each channel alone), then mix the channels; added to what came in."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, 1, 1, groups=width, bias=False),
            nn.BatchNorm2d(width),
            nn.Conv2d(width, inner, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(inner, width, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(n, width, h, w) to the same."""
        return x + self.body(x)


class Attention(nn.Module):
    """Queries (n, q, width) look at (n, k, width), with 4 heads; `hidden` (n, k) is true where nothing is."""

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.heads, self.each = heads, width // heads
        self.ask, self.tell, self.join = nn.Linear(width, width), nn.Linear(width, 2 * width), nn.Linear(width, width)

    def forward(self, queries: Tensor, seen: Tensor, hidden: Tensor | None = None) -> Tensor:
        """What each query found."""
        n, q, width = queries.shape
        asked = self.ask(queries).reshape(n, q, self.heads, self.each).transpose(1, 2)
        told = self.tell(seen).reshape(n, seen.shape[1], 2, self.heads, self.each).permute(2, 0, 3, 1, 4)
        scores = asked @ told[0].transpose(-1, -2) * self.each**-0.5
        if hidden is not None:
            scores = scores + hidden[:, None, None, :].to(scores.dtype) * -1e4
        found = scores.softmax(-1) @ told[1]
        return self.join(found.transpose(1, 2).reshape(n, q, width))


class Layer(nn.Module):
    """A transformer layer, normalised before each step."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.before, self.attend = nn.LayerNorm(width), Attention(width)
        self.think = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, inner), nn.GELU(), nn.Linear(inner, width))

    def forward(self, x: Tensor, hidden: Tensor | None = None) -> Tensor:
        """(n, k, width) to the same."""
        y = self.before(x)
        x = x + self.attend(y, y, hidden)
        return x + self.think(x)


class Look(nn.Module):
    """Queries look at the grid, then at each other."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.before, self.attend, self.layer = nn.LayerNorm(width), Attention(width), Layer(width, inner)

    def forward(self, queries: Tensor, grid: Tensor) -> Tensor:
        """(n, q, width) to the same."""
        return self.layer(queries + self.attend(self.before(queries), grid))


class ImageTower(nn.Module):
    """pixels (n, 3, side, side), about -1 to 1, to vectors (n, dim) of any length."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width = shape.width
        self.eye = nn.Sequential(
            _conv(3, 64, 7, 4),
            Block(64, 64),
            _conv(64, width, 3, 2),
            Block(width, 2 * width),
            Block(width, 2 * width),
            Block(width, 2 * width),
        )
        self.place = nn.Parameter(torch.randn(1, GRID * GRID, width) * 0.02)
        self.norm = nn.LayerNorm(width)
        self.queries = nn.Parameter(torch.randn(1, shape.queries, width) * 0.5)
        self.looks = nn.ModuleList([Look(width, 2 * width) for _ in range(2)])
        self.out = nn.Sequential(
            nn.LayerNorm(width), nn.Flatten(), nn.Linear(width * shape.queries, 2 * shape.dim), nn.GELU(),
            nn.Linear(2 * shape.dim, shape.dim),
        )  # fmt: skip
        self.cells = nn.Linear(width, 1 + sum(CELL_HEADS))

    def grid(self, pixels: Tensor) -> Tensor:
        """(n, cells, width): what is where."""
        seen = self.eye(pixels).flatten(2).transpose(1, 2)
        return self.norm(seen + self.place)

    def vectors(self, grid: Tensor) -> Tensor:
        """(n, dim) from the grid."""
        queries = self.queries.expand(grid.shape[0], -1, -1)
        for look in self.looks:
            queries = look(queries, grid)
        return self.out(queries)

    def forward(self, pixels: Tensor) -> Tensor:
        """(n, dim)."""
        return self.vectors(self.grid(pixels))


class Beside(nn.Module):
    """Words read together with those beside them; added to what came in. `live` (n, k, 1) is 0 where nothing is."""

    def __init__(self, width: int, reach: int) -> None:
        super().__init__()
        self.before, self.together = nn.LayerNorm(width), nn.Conv1d(width, width, reach, padding=reach // 2)
        self.think = nn.Linear(width, width)

    def forward(self, x: Tensor, live: Tensor) -> Tensor:
        """(n, k, width) to the same."""
        y = self.before(x) * live  # the end of a text is the same whatever follows it
        return x + self.think(nn.functional.gelu(self.together(y.transpose(1, 2)).transpose(1, 2)))


class TextTower(nn.Module):
    """tokens (n, length), 0 where a text has ended, to vectors (n, dim) of any length."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width = shape.width
        self.words = nn.Embedding(shape.buckets + 1, shape.words, padding_idx=0)
        nn.init.normal_(self.words.weight, std=0.3)
        self.widen = nn.Linear(shape.words, width)
        self.place = nn.Parameter(torch.randn(1, shape.length, width) * 0.1)
        self.phrases = nn.ModuleList([Beside(width, shape.reach) for _ in range(shape.convolutions)])
        self.layers = nn.ModuleList([Layer(width, 2 * width) for _ in range(shape.layers)])
        self.norm = nn.LayerNorm(width)
        self.queries = nn.Parameter(torch.randn(1, 6, width) * 0.5)
        self.gather, self.detect = Attention(width), nn.Linear(width, shape.detectors)
        self.out = nn.Sequential(
            nn.Linear(width * 6 + shape.detectors, 2 * shape.dim), nn.GELU(), nn.Linear(2 * shape.dim, shape.dim)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """(n, dim)."""
        hidden = tokens == 0
        x = self.widen(self.words(tokens)) + self.place[:, : tokens.shape[1]]
        live = (~hidden)[..., None].to(x.dtype)
        for phrase in self.phrases:
            x = phrase(x, live)
        for layer in self.layers:
            x = layer(x, hidden)
        x = self.norm(x)
        found = (self.detect(x).relu() * live).amax(1)
        gathered = self.gather(self.queries.expand(x.shape[0], -1, -1), x, hidden).flatten(1)
        return self.out(torch.cat([gathered, found], 1))
