"""The loader: packed samples in global batches, in an order that resumes exactly on any number of ranks.

loader = Loader("runs/demo", batch=256, decode=pixels(224))
for batch in loader:          # one epoch; the next `for` is the next one
    train(batch.values)
    checkpoint["data"] = loader.state_dict()
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa

from sluice.errors import RecipeError
from sluice.load.batches import FixedBatches, part_of
from sluice.load.epoch import Epoch
from sluice.load.fetching import Bad, Decode, Fetcher, Served
from sluice.load.folder import PackFolder
from sluice.load.mixture import Mixture, Phase, tempered
from sluice.load.receipt import as_table
from sluice.load.state import VERSION, resumed, saved

Sources: TypeAlias = Path | str | Mapping[str, float] | Sequence[Path | str]
Curriculum: TypeAlias = Mapping[int, Sequence[float]]

WINDOW = 65_536  # samples that are shuffled together


@dataclass(frozen=True)
class Batch:
    """This rank's part of a global batch."""

    epoch: int
    step: int
    ids: tuple[str | None, ...]
    sources: tuple[int, ...]
    values: list[Any]  # samples, or what `decode` made of them
    bad: tuple[Bad, ...] = ()

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True)
class Share:
    """Who asks: a rank of `world`, and a worker of `workers` in it, which has every so manieth step."""

    rank: int = 0
    world: int = 1
    worker: int = 0
    workers: int = 1

    def __post_init__(self) -> None:
        if not (0 <= self.rank < self.world and 0 <= self.worker < self.workers):
            raise RecipeError(f"rank {self.rank} of {self.world}, worker {self.worker} of {self.workers}: no such one")


@dataclass(frozen=True)
class _Position:
    epoch: int = 0
    step: int = 0


@dataclass
class _Books:
    served: list[tuple[int, int, int, int, tuple[str | None, ...]]] = field(default_factory=list)
    bad: list[Bad] = field(default_factory=list)


class Loader:
    """Global batches of packed samples, this rank's part of each.

    `sources` is a pack, several of them, or packs with weights; the order is a function of the packs, the mixture,
    `seed` and the epoch, and of nothing else: not of ranks, workers, threads or where it was stopped.
    """

    def __init__(
        self,
        sources: Sources,
        batch: int,
        *,
        seed: int = 0,
        window: int = WINDOW,
        last: str = "keep",
        ends: str = "repeat",
        temperature: float | None = None,
        curriculum: Curriculum | None = None,
        samples: int | None = None,
        split: str = "train",
        format: str | None = None,
        decode: Decode | None = None,
        rank: int = 0,
        world: int = 1,
        threads: int = 2,
        ahead: int = 2,
    ) -> None:
        names, weights = _named(sources)
        self.folders = [PackFolder(name, split, format) for name in names]
        sizes = [len(folder) for folder in self.folders]
        phases = _phases(sizes, weights, temperature, curriculum)
        self._mixture = Mixture(sizes, phases, ends, samples)
        self._batches = FixedBatches(batch, last)
        self._seed, self._window = seed, window
        self._settings: dict[str, Any] = {
            "version": VERSION,
            "packs": [folder.fingerprint for folder in self.folders],
            "seed": seed,
            "window": window,
            "batch": batch,
            "last": last,
            "ends": ends,
            "phases": [[phase.start, list(phase.weights)] for phase in phases],
            "samples": samples,
        }
        self._fetcher = Fetcher(self.folders, decode)
        self._threads, self._ahead = max(1, threads), max(1, ahead)
        self.share = Share(rank, world)
        self._at = _Position()
        self._books = _Books()

    def __len__(self) -> int:
        """The steps of an epoch, the same for every rank."""
        return self._batches.steps(len(self._mixture))

    def __iter__(self) -> Iterator[Batch]:
        """The rest of the epoch at hand; after it the state is the beginning of the next."""
        epoch, first = self.position
        for batch in self.batches(epoch, first, self.share):
            self.served(batch)
            yield batch

    @property
    def position(self) -> tuple[int, int]:
        """The epoch and the step of the next batch."""
        return self._at.epoch, self._at.step

    def served(self, batch: Batch) -> None:
        """Write `batch` down as served and move on; iterating does it, other ways of loading call it."""
        step = batch.step + 1
        self._at = _Position(batch.epoch, step) if step < len(self) else _Position(batch.epoch + 1, 0)
        self._books.served.append((batch.epoch, batch.step, self.share.rank, self.share.world, batch.ids))
        self._books.bad += batch.bad

    def batches(self, epoch: int, first: int, share: Share) -> Iterator[Batch]:
        """The parts of `share` from step `first` of an epoch on; does not move the loader's own state."""
        order = Epoch(self.folders, self._mixture, self._seed, epoch, self._window)
        steps = iter(range(first + (share.worker - first) % share.workers, len(self), share.workers))
        waiting: deque[tuple[int, list[Future[list[Served]]]]] = deque()
        pool = ThreadPoolExecutor(self._threads, thread_name_prefix="sluice-load")
        try:
            while True:
                while len(waiting) <= self._ahead and (step := next(steps, None)) is not None:
                    waiting.append((step, self._ask(pool, order, step, share)))
                if not waiting:
                    return
                step, asked = waiting.popleft()
                yield _batch(epoch, step, [one for part in asked for one in part.result()])
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def state_dict(self) -> dict[str, Any]:
        """Where the next batch is: the same on every rank, good for any number of them."""
        return saved(self._at.epoch, self._at.step, self._settings)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on there; RunError where the packs, the mixture or the seed are others, and says which."""
        epoch, step = resumed(state, self._settings)
        self._at = _Position(epoch, step)

    def receipt(self) -> pa.Table:
        """What this process was served: a row a sample, with its epoch, step and rank."""
        return as_table(self._books.served)

    @property
    def quarantine(self) -> tuple[Bad, ...]:
        """The bad samples met so far, and who took the place of each."""
        return tuple(self._books.bad)

    def _ask(self, pool: ThreadPoolExecutor, order: Epoch, step: int, share: Share) -> list[Future[list[Served]]]:
        start, stop = self._batches.stretch(step, len(self._mixture))
        stretch = order.locate(start, stop)
        mine = part_of(stop - start, share.rank, share.world)
        places = list(
            zip(
                stretch.sources[mine].tolist(),
                stretch.blocks[mine].tolist(),
                stretch.places[mine].tolist(),
                strict=True,
            )
        )
        size = -(-len(places) // self._threads)
        return [pool.submit(self._fetch, places[at : at + size]) for at in range(0, len(places), max(1, size))]

    def _fetch(self, places: Sequence[tuple[int, int, int]]) -> list[Served]:
        return [self._fetcher.fetch(*place) for place in places]


def _batch(epoch: int, step: int, served: Sequence[Served]) -> Batch:
    return Batch(
        epoch,
        step,
        tuple(one.id for one in served),
        tuple(one.source for one in served),
        [one.value for one in served],
        tuple(bad for one in served for bad in one.bad),
    )


def _named(sources: Sources) -> tuple[list[Path | str], list[float] | None]:
    if isinstance(sources, Path | str):
        return [sources], None
    if isinstance(sources, Mapping):
        return list(sources), [float(weight) for weight in sources.values()]
    return list(sources), None


def _phases(
    sizes: Sequence[int], weights: Sequence[float] | None, temperature: float | None, curriculum: Curriculum | None
) -> list[Phase]:
    if sum(one is not None for one in (weights, temperature, curriculum)) > 1:
        raise RecipeError("weights, a temperature and a curriculum say the same thing: give one of them")
    if curriculum is not None:
        return [Phase(start, tuple(map(float, shares))) for start, shares in curriculum.items()]
    return [Phase(0, tuple(weights) if weights is not None else tempered(sizes, temperature or 1.0))]
