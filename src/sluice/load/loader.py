"""The loader: packed samples in global batches, in an order that resumes exactly on any number of ranks.

loader = Loader("runs/demo", batch=256, decode=pixels(224))
for batch in loader:          # one epoch; the next `for` is the next one
    train(batch.values)
    checkpoint["data"] = loader.state_dict()
"""

from __future__ import annotations

import os
import weakref
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sluice.errors import RecipeError
from sluice.load.ahead import Downloads
from sluice.load.at_once import Here
from sluice.load.batches import FixedSteps, PlannedSteps, Step, Steps
from sluice.load.cache import MOST, DiskCache
from sluice.load.epoch import Epoch, Stretch
from sluice.load.fetching import Bad, Decode, Fetcher, Place, Served
from sluice.load.folder import PackFolder
from sluice.load.global_batches import BatchSettings
from sluice.load.image_tokens import Fixed, ImageRule
from sluice.load.lengths import sample_lengths
from sluice.load.mixture import Mixture, Phase, tempered
from sluice.load.processes import Processes
from sluice.load.receipt import Given, Receipts, as_table
from sluice.load.state import VERSION, resumed, saved
from sluice.table.arrays import distinct_numbers

if TYPE_CHECKING:
    from sluice.load.augment.declared import Augment

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
    sequences: tuple[int, ...]  # how many of them each sequence has: one, unless sequences are packed
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
    served: list[Given] = field(default_factory=list)
    bad: list[Bad] = field(default_factory=list)
    receipts: Receipts = field(default_factory=Receipts)


class Loader:
    """Global batches of packed samples, this rank's part of each.

    `sources` is a pack, several of them, or packs with weights; the order is a function of the packs, the mixture,
    `seed` and the epoch, and of nothing else: not of ranks, workers, threads or where it was stopped. So do the draws
    of `augment`: steps, a file of them, or "recipe" for those that the packs hold; values are then `Example`s.

    A pack may lie behind an fsspec URL: its shards come through `cache`, a folder of this machine (by default
    `~/.cache/sluice/shards`) that holds up to `cache_bytes`, by `downloads` threads that look ahead.
    """

    def __init__(
        self,
        sources: Sources,
        batch: int | BatchSettings,
        *,
        seed: int = 0,
        window: int = WINDOW,
        last: str = "keep",
        ends: str = "repeat",
        temperature: float | None = None,
        curriculum: Curriculum | None = None,
        samples: int | None = None,
        image_tokens: ImageRule | None = None,
        split: str = "train",
        format: str | None = None,
        decode: Decode | None = None,
        augment: Augment | Sequence[Any] | Path | str | None = None,
        rank: int = 0,
        world: int = 1,
        threads: int = 2,
        processes: int = 0,
        ahead: int = 2,
        cache: Path | str | None = None,
        cache_bytes: int | str = MOST,
        downloads: int = 4,
        seconds: float = 30.0,
    ) -> None:
        self._arguments = {name: value for name, value in locals().items() if name != "self"}
        names, weights = _named(sources)
        on_disk = DiskCache(cache, cache_bytes)
        self.folders = [PackFolder(name, split, format, on_disk) for name in names]
        sizes = [len(folder) for folder in self.folders]
        self._rule = image_tokens or Fixed()
        phases = _phases(sizes, weights, temperature, curriculum)
        self._mixture = Mixture(sizes, phases, ends, samples)
        self._batch, self._last = batch, last
        self._seed, self._window = seed, window
        self._settings: dict[str, Any] = {
            "version": VERSION,
            "packs": [folder.fingerprint for folder in self.folders],
            "seed": seed,
            "window": window,
            "batch": batch if isinstance(batch, int) else repr(batch),
            "last": last,
            **({} if isinstance(batch, int) else self._counting()),
            "ends": ends,
            "phases": [[phase.start, list(phase.weights)] for phase in phases],
            "samples": samples,
        }
        if augment is not None:
            from sluice.load.augment.loading import augmented

            decode = augmented(decode, augment, self.folders, split)
        self._fetcher = Fetcher(self.folders, decode)
        if processes < 0:
            raise RecipeError(f"a loader decodes in 0 processes or more, not {processes!r}")
        self._decode, self._seconds = decode, seconds
        self._threads, self._processes, self._ahead = max(0, threads), processes, max(1, ahead)
        self._downloads = downloads
        self._held: tuple[int, Processes] | None = None  # and the process that started them
        self.share = Share(rank, world)
        self._at = _Position()
        self._books = _Books()
        self._steps = self._steps_of(0)

    def __reduce__(self) -> tuple[Any, ...]:
        """For a process that does not share this one's memory: opened anew there, at the same place, nothing served."""
        return _opened, (type(self), self._arguments, self.state_dict())

    def __len__(self) -> int:
        """The steps of the epoch at hand, the same for every rank; a token budget plans the whole epoch to say it."""
        return len(self._steps)

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
        if batch.epoch != self._at.epoch:  # workers that had a state of their own have gone on elsewhere
            self._begin(batch.epoch, batch.step)
        last = not self._steps.has(batch.step + 1)
        if not last:
            self._at = _Position(batch.epoch, batch.step + 1)
        else:
            self._begin(batch.epoch + 1, 0)
        share = self.share
        self._books.served.append(
            Given(batch.epoch, batch.step, share.rank, share.world, batch.ids, batch.sources, batch.bad, last)
        )
        self._books.bad += batch.bad

    def batches(self, epoch: int, first: int, share: Share) -> Iterator[Batch]:
        """The parts of `share` from step `first` of an epoch on; does not move the loader's own state."""
        steps = self._steps if epoch == self._at.epoch else self._steps_of(epoch)
        number = first + (share.worker - first) % share.workers
        waiting: deque[tuple[int, Step, list[Future[list[Served]]]]] = deque()
        pool = None if self._processes else self._executor()
        # A rank alone reads all of a window; several would each have it read whole, on whatever machines they are.
        downloads = Downloads(self.folders, self._epoch, epoch, self._window, self._downloads, disks=share.world == 1)
        try:
            while True:
                while len(waiting) <= self._ahead and steps.has(number):
                    downloads.reached(steps.start(number))
                    part = steps.step(number).part(share.rank, share.world)
                    waiting.append((number, part, self._ask(pool, part.samples, epoch)))
                    number += share.workers
                if not waiting:
                    return
                step, part, asked = waiting.popleft()
                served = [one for some in asked for one in some.result()]
                downloads.first_is_served()
                yield _batch(epoch, step, served, part, self._too_long(part.too_long))
        finally:
            downloads.close()
            for some in (future for _, _, asked in waiting for future in asked):
                some.cancel()
            if pool is not None:
                pool.shutdown(wait=False)

    def close(self) -> None:
        """End the worker processes, if there are any; they end with the loader anyhow."""
        if self._held is not None:
            self._held[1].close()
            self._held = None

    def state_dict(self) -> dict[str, Any]:
        """Where the next batch is: the same on every rank, good for any number of them."""
        return saved(self._at.epoch, self._at.step, self._settings, self._steps.place(self._at.step))

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on there; RunError where the packs, the mixture or the seed are others, and says which."""
        epoch, step, place = resumed(state, self._settings)
        self._begin(epoch, step, place)
        self._books.receipts.resumed(len(self._books.served))

    def receipt(self) -> pa.Table:
        """What this process was served: a row a sample, with its epoch, step and rank."""
        return as_table((one.epoch, one.step, one.rank, one.world, one.ids) for one in self._books.served)

    def write_receipt(self, folder: Path | str) -> Path | None:
        """Commit what was served since the last call as a Parquet file of its own in `folder`; call it at checkpoints.

        None where nothing was served. All ranks, and all processes that go on after them, may share a folder:
        `sluice receipt FOLDER` holds what is there against the packs.
        """
        packs = [{"folder": one.store.address, "split": one.split, "format": one.format} for one in self.folders]
        order = {"packs": packs, "settings": self._settings}
        return self._books.receipts.write(Path(folder), self.share.rank, self._books.served, order)

    @property
    def quarantine(self) -> tuple[Bad, ...]:
        """The bad samples met so far, and who took the place of each."""
        return tuple(self._books.bad)

    def _counting(self) -> dict[str, Any]:
        """What the tokens of a sample follow from, beside its pack."""
        known = [folder.every_image for folder in self.folders]
        return {"image_tokens": repr(self._rule), **({"every_image": known} if any(known) else {})}

    def _begin(self, epoch: int, step: int, place: list[int] | None = None) -> None:
        self._at = _Position(epoch, step)
        self._steps = self._steps_of(epoch, place)

    def _steps_of(self, number: int, place: list[int] | None = None) -> Steps:
        epoch = self._epoch(number)
        if isinstance(self._batch, int):
            return FixedSteps(epoch, self._batch, self._last)
        return PlannedSteps(epoch, self._batch, self._lengths, place or None)

    def _epoch(self, number: int) -> Epoch:
        return Epoch(self.folders, self._mixture, self._seed, number, self._window)

    def _lengths(self, samples: Stretch) -> npt.NDArray[np.int64]:
        """Tokens of samples: of each block at once, for the samples of a stretch lie in few."""
        lengths = np.empty(len(samples), np.int64)
        wheres = np.stack([samples.sources, samples.blocks], axis=1)
        for source, block in np.unique(wheres, axis=0).tolist():
            folder = self.folders[source]
            here = np.flatnonzero((samples.sources == source) & (samples.blocks == block))
            of_rows, _ = sample_lengths(folder.counted(block), self._rule)
            lengths[here] = of_rows[folder.rows_taken(block)[samples.places[here]]]
        return lengths

    def _too_long(self, samples: Stretch) -> list[Bad]:
        if not len(samples):
            return []
        lengths = self._lengths(samples).tolist()
        wheres = zip(samples.sources.tolist(), samples.blocks.tolist(), samples.places.tolist(), strict=True)
        return [
            Bad(
                where[0],
                self._fetcher.id_of(*where),
                "too_large",
                f"{length:,} tokens, more than a batch holds",
                None,
                "too_long",
            )
            for where, length in zip(wheres, lengths, strict=True)
        ]

    def _executor(self) -> Executor:
        if not self._threads:
            return Here()
        return ThreadPoolExecutor(self._threads, thread_name_prefix="sluice-load")

    def _ask(self, pool: Executor | None, samples: Stretch, epoch: int) -> list[Future[list[Served]]]:
        moments = {turn: (self._seed, epoch, turn) for turn in distinct_numbers(samples.turns).tolist()}
        columns = (samples.sources, samples.blocks, samples.places)
        turns = (moments[turn] for turn in samples.turns.tolist())
        places: list[Place] = list(zip(*(column.tolist() for column in columns), turns, strict=True))
        size = max(1, -(-len(places) // (self._processes or self._threads or 1)))
        chunks = [places[at : at + size] for at in range(0, len(places), size)]
        if pool is None:
            return [self._workers().submit(chunk) for chunk in chunks]
        return [pool.submit(self._fetcher.fetch_all, chunk) for chunk in chunks]

    def _workers(self) -> Processes:
        """The worker processes, started when they are first asked for: a forked child has its own."""
        if self._held is None or self._held[0] != os.getpid():
            processes = Processes(self._processes, self.folders, self._decode, self._seconds)
            weakref.finalize(self, processes.close)
            self._held = os.getpid(), processes
        return self._held[1]


def _opened(kind: type[Loader], arguments: Mapping[str, Any], state: Mapping[str, Any]) -> Loader:
    loader = kind(**arguments)
    loader.load_state_dict(state)
    return loader


def _batch(epoch: int, number: int, served: Sequence[Served], step: Step, too_long: Sequence[Bad]) -> Batch:
    return Batch(
        epoch,
        number,
        tuple(one.id for one in served),
        tuple(one.source for one in served),
        [one.value for one in served],
        tuple(step.sizes.tolist()),
        (*too_long, *(bad for one in served for bad in one.bad)),
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
    return [
        Phase(
            0, tuple(weights) if weights is not None else tempered(sizes, 1.0 if temperature is None else temperature)
        )
    ]
