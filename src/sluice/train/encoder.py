"""Training the built-in encoder: the recipe, the loss, the loop.

Two towers are pulled together by InfoNCE (Radford and others, "Learning transferable visual models from natural
language supervision", 2021; the temperature is learnt from 0.07 on, its inverse kept at 100 or less). Among the
captions that a picture must be told from are false ones made for it, see `pairs`. More terms help, for the truth of a
drawn scene is known: true pairs are held on one side of a single cosine and false ones on the other, so that a
threshold means the same for every caption; the grid of the image tower is taught what lies in each cell; and both
towers answer the same questions on the scene. It begins with pictures alone: captions teach little to eyes that do not
see yet.
"""

# torch and onnx are an extra: checked with or without them
# pyright: reportMissingImports=false, reportUntypedBaseClass=false

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from math import cos, exp, log, pi
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from sluice.errors import RunError
from sluice.models.hashed_words import HashedWords
from sluice.train.batches import NOTHING, Batch, batch
from sluice.train.drawn import Drawn, draw
from sluice.train.towers import CELL_HEADS, GRID, ImageTower, Shape, TextTower
from sluice.train.truth import QUESTIONS, said_by_all

COLDEST: Final = log(100.0)  # of the logit scale, as CLIP
_FASTER: Final = 5.0  # words learn, for each is in few captions
_ASKING: Final = 0.1  # weight of the questions
_APART: Final = 2.0  # weight of true and false captions on two sides
_CHUNKS: Final = 4  # captions are run in groups of like length: most are half as long as the longest


@dataclass(frozen=True)
class Recipe:
    """All that a training follows from, beside the seed."""

    shape: Shape = field(default_factory=Shape)
    words: HashedWords = HashedWords(length=48, characters=(1,))  # noqa: RUF009 - a frozen value
    pictures: int = 28_000
    looking: int = 1_000  # steps in which each tower learns alone what is true
    steps: int = 3_200  # steps together
    batch: int = 64
    false: int = 3  # false captions a picture
    rate: float = 2e-3  # of AdamW, at its highest
    warm: int = 200  # steps up to it; from there by a half cosine down to 0
    decay: float = 0.05
    minutes: float = 45.0  # that it takes on two cores (EPYC, 2026): what `shortened` counts by

    def to_json(self) -> dict[str, Any]:
        """The recipe as plain JSON values."""
        return asdict(self)


RECIPES: Final = {"builtin": Recipe()}


@dataclass(frozen=True)
class Progress:
    """Where a training stands."""

    step: int
    steps: int
    loss: float
    parts: dict[str, float]


@dataclass(frozen=True)
class Trained:
    """What a training ends with."""

    recipe: Recipe
    seed: int
    image: ImageTower
    text: TextTower
    losses: tuple[float, ...]  # of each step


class Objective(nn.Module):
    """The numbers that belong to the loss, not to a tower."""

    answered: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(log(1 / 0.07)))  # log of the inverse temperature
        self.slope = nn.Parameter(torch.tensor(log(10.0)))
        self.middle = nn.Parameter(torch.tensor(0.4))  # cosine between true and false
        self.asked = nn.Linear(dim, QUESTIONS)
        nn.init.constant_(self.asked.bias, -4.0)  # most answers are no
        self.register_buffer("answered", torch.from_numpy(said_by_all()))

    def questions(self, vectors: Tensor, truth: Tensor, *, captions: bool) -> Tensor:
        """How badly vectors of any length answer what is true; captions are not asked for places, few say any."""
        wrong = F.binary_cross_entropy_with_logits(self.asked(vectors), truth, reduction="none")
        return (wrong * self.answered if captions else wrong).sum(1).mean()


def recipe(name: str, minutes: float | None = None) -> Recipe:
    """The recipe of this name, cut to about `minutes` where given.

    >>> recipe("builtin", 4.5).steps
    320
    """
    if name not in RECIPES:
        raise RunError(f"no recipe {name!r} for an encoder: there is {', '.join(RECIPES)}")
    whole = RECIPES[name]
    if minutes is None:
        return whole
    if minutes <= 0:
        raise RunError(f"a training takes more than {minutes:g} minutes")
    share = minutes / whole.minutes
    steps, looking = max(1, round(whole.steps * share)), round(whole.looking * share)
    pictures = max(whole.batch, min(whole.pictures, round(whole.pictures * share)))
    return replace(whole, looking=looking, steps=steps, pictures=pictures, warm=min(whole.warm, max(1, steps // 8)))


def train(
    recipe: Recipe, seed: int, *, drawn: Drawn | None = None, told: Callable[[Progress], None] | None = None
) -> Trained:
    """Train the towers. Equal recipe and seed give equal weights, to the bit, on one machine."""
    torch.set_num_threads(1)  # of one operation; the towers run side by side
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(seed)
    image = ImageTower(recipe.shape).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    text, objective = TextTower(recipe.shape), Objective(recipe.shape.dim)
    if drawn is None:
        drawn = draw(recipe.pictures, seed, recipe.shape.side)
    optimizer = _optimizer(recipe, image, text, objective)
    towers = _SideBySide(image, text)
    losses: list[float] = []
    for step, given in enumerate(_batches(recipe, seed, drawn)):
        for group in optimizer.param_groups:
            group["lr"] = group["times"] * recipe.rate * _share_of_rate(step, recipe)
        optimizer.zero_grad(set_to_none=True)
        loss, parts = towers.learn(objective, given, together=step >= recipe.looking)
        nn.utils.clip_grad_norm_([*image.parameters(), *text.parameters()], 2.0)
        optimizer.step()
        with torch.no_grad():
            objective.scale.clamp_(max=COLDEST)
        losses.append(loss)
        if told is not None:
            told(Progress(step + 1, recipe.looking + recipe.steps, losses[-1], parts))
    towers.close()
    return Trained(recipe, seed, image.eval(), text.eval(), tuple(losses))


def _batches(recipe: Recipe, seed: int, drawn: Drawn) -> Iterator[Batch]:
    """The batches in order, the next one made while this one is learnt from."""

    def make(step: int) -> Batch:
        return batch(drawn, recipe.words, GRID, recipe.batch, recipe.false, seed, step)

    steps = recipe.looking + recipe.steps
    with ThreadPoolExecutor(1) as ahead:
        coming = ahead.submit(make, 0)
        for step in range(steps):
            given = coming.result()
            if step + 1 < steps:
                coming = ahead.submit(make, step + 1)
            yield given


def _share_of_rate(step: int, recipe: Recipe) -> float:
    """Up, and level while looking; up again when the captions come, and by a half cosine down to 0."""
    if step < recipe.looking:
        return min(1.0, (step + 1) / recipe.warm)
    step -= recipe.looking
    if step < recipe.warm:
        return (step + 1) / recipe.warm
    return 0.5 * (1 + cos(pi * (step - recipe.warm) / max(1, recipe.steps - recipe.warm)))


def _optimizer(recipe: Recipe, *parts: nn.Module) -> torch.optim.AdamW:
    """Matrices shrink; biases, norms, places, words and the numbers of the loss do not."""
    named = [(name, one) for part in parts for name, one in part.named_parameters()]
    matrices = [one for name, one in named if one.ndim >= 2 and not name.startswith(("place", "queries", "words"))]
    words = [one for name, one in named if name.startswith("words")]
    chosen = {id(one) for one in (*matrices, *words)}
    others = [one for _, one in named if id(one) not in chosen]
    groups = [
        {"params": matrices, "weight_decay": recipe.decay, "times": 1.0},
        {"params": words, "weight_decay": 0.0, "times": _FASTER},
        {"params": others, "weight_decay": 0.0, "times": 1.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.rate, betas=(0.9, 0.98))


class _SideBySide:
    """The two towers, each on a thread and a core of its own, forwards and backwards.

    They meet once a step, at the loss, whereas the threads of one operation meet thousands of times; and since no sum
    is shared out among threads, the weights do not depend on how many cores there are.
    """

    def __init__(self, image: ImageTower, text: TextTower) -> None:
        self._image, self._text = image, text
        self._pool = ThreadPoolExecutor(2, initializer=lambda: torch.set_num_threads(1))

    def learn(self, objective: Objective, given: Batch, *, together: bool) -> tuple[float, dict[str, float]]:
        """The loss of a batch; its gradients are left in the parameters."""
        looked = self._pool.submit(_looked, self._image, given)
        read = self._pool.submit(_read, self._text, given)
        (seen, cells), said = looked.result(), read.result()
        saw, found, heard = (one.detach().requires_grad_() for one in (seen, cells, said))
        total, parts = _alone(saw, found, heard, objective, given)
        if together:
            more, others = _together(saw, heard, objective)
            total, parts = total + more, parts | others
        total.backward()
        back = [
            self._pool.submit(torch.autograd.backward, [seen, cells], [saw.grad, found.grad]),
            self._pool.submit(torch.autograd.backward, [said], [heard.grad]),
        ]
        for one in back:
            one.result()
        return float(total.detach()), parts

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()


# Without autocast's cache: all threads share it, and one that ends empties it for the others, at random.
def _looked(image: ImageTower, given: Batch) -> tuple[Tensor, Tensor]:
    with torch.autocast("cpu", dtype=torch.bfloat16, cache_enabled=False):
        grid = image.grid(torch.from_numpy(given.pixels).to(memory_format=torch.channels_last))
        vectors, cells = image.vectors(grid), image.cells(grid)
    return vectors.float(), cells.float()


def _read(text: TextTower, given: Batch) -> Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16, cache_enabled=False):
        vectors = in_groups(text, torch.from_numpy(given.captions))
    return vectors.float()


def _alone(
    seen: Tensor, cells: Tensor, said: Tensor, objective: Objective, given: Batch
) -> tuple[Tensor, dict[str, float]]:
    """What is where in the pictures, and what is true of pictures and of captions as a whole."""
    eyes = _cells_loss(cells, given)
    answers = objective.questions(seen, torch.from_numpy(given.seen), captions=False)
    heard = objective.questions(said, torch.from_numpy(given.said), captions=True)
    parts = {"eyes": float(eyes.detach()), "answers": float(answers.detach()), "said": float(heard.detach())}
    return eyes + _ASKING * (answers + heard), parts


def _together(seen: Tensor, said: Tensor, objective: Objective) -> tuple[Tensor, dict[str, float]]:
    """Which caption belongs to which picture; and true and false ones on the two sides of one cosine."""
    n = len(seen)
    each = len(said) // n
    cosines = F.normalize(seen, dim=-1) @ F.normalize(said, dim=-1).T
    nce = info_nce(cosines, objective.scale.exp())
    truth = torch.arange(n)
    own = cosines.reshape(n, n, each)[truth, truth]
    sides = (own - objective.middle) * objective.slope.exp()
    wrong = F.softplus(sides[:, 1:])
    # the first false caption has its colours exchanged: half of the weight is on what is hardest to tell
    apart = F.softplus(-sides[:, 0]).mean() + (wrong[:, 0].mean() + wrong.mean()) / 2
    return nce + _APART * apart, {
        "nce": float(nce.detach()),
        "apart": float(apart.detach()),
        "told": float((own[:, :1] > own[:, 1:]).float().mean()),
        "swaps": float((own[:, 0] > own[:, 1]).float().mean()),
        "scale": exp(float(objective.scale.detach())),
    }


def info_nce(cosines: Tensor, scale: Tensor) -> Tensor:
    """InfoNCE both ways of pictures (n) and captions (n * each); the true caption of picture i is i * each.

    A picture is told from all captions, a caption from the pictures of the true ones alone.

    >>> both = info_nce(torch.eye(2), torch.tensor(1.0))
    >>> round(float(both), 4) == round(2 * log(1 + exp(-1)), 4)
    True
    """
    n = len(cosines)
    each = cosines.shape[1] // n
    truth = torch.arange(n, device=cosines.device)
    to_captions = F.cross_entropy(cosines * scale, truth * each)
    return to_captions + F.cross_entropy((cosines[:, ::each] * scale).T, truth)


def in_groups(text: TextTower, tokens: Tensor) -> Tensor:
    """The vectors of `tokens`, run in groups of like length, each only as long as its longest."""
    lengths = (tokens != 0).sum(1)
    order = torch.argsort(lengths, stable=True)
    vectors = [text(tokens[part][:, : max(1, int(lengths[part].max()))]) for part in order.chunk(_CHUNKS)]
    return torch.cat(vectors)[torch.argsort(order, stable=True)]


def _cells_loss(cells: Tensor, given: Batch) -> Tensor:
    """Has a thing its centre in the cell; and what does it look like, where there is one."""
    loss = 4 * F.binary_cross_entropy_with_logits(cells[..., 0], torch.from_numpy(given.centres))
    looks = torch.from_numpy(given.looks)
    there = looks[..., 0] != NOTHING
    if not bool(there.any()):
        return loss
    for number, head in enumerate(cells[there][:, 1:].split(CELL_HEADS, dim=-1)):
        loss = loss + F.cross_entropy(head, looks[there][:, number])
    return loss
