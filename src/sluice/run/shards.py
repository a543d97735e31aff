"""The shards of a pack: cut from the kept samples, written in parallel and each sample read once for all formats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sluice.engine import Engine, Task
from sluice.load.augment.declared import Recorded
from sluice.load.augment.steps import Step
from sluice.media.limits import Limits
from sluice.pack.base import FORMATS, Contents
from sluice.pack.indexes import finish_pack
from sluice.pack.listed import Listed
from sluice.pack.manifest import AUGMENT_FILE
from sluice.pack.plan import Shard, cut_shards
from sluice.run.events import Events
from sluice.run.kept import Kept
from sluice.run.packing import (
    PackShared,
    Place,
    ShardGroup,
    ShardJob,
    Written,
    read_receipt,
    write_redactions,
)
from sluice.run.recipe import PackConfig
from sluice.run.sending import forget_lost, is_settled
from sluice.run.shard_samples import CoveringPlan
from sluice.table.commit import write_bytes
from sluice.table.ids import fingerprint
from sluice.table.layout import Layout

PACK_SHARDS: Final = "sluice.run.packing:pack_shards"
PACK_AND_SEND: Final = "sluice.run.sending:pack_and_send"
CARRIED: Final = ("width", "height", "format", "sha256", "phash", "sharpness", "language", "spdx")


@dataclass(frozen=True)
class PlannedShard:
    """A shard to write, and which of the kept samples it is to hold, by their place among them."""

    job: ShardJob
    rows: npt.NDArray[np.signedinteger[Any]]

    @cached_property
    def holds(self) -> bytes:
        """A name for what it is to hold: equal in formats whose shards hold the same."""
        return blake2b(self.rows.tobytes(), digest_size=16).digest()


@dataclass(frozen=True)
class Packing:
    """A pack to write: the samples, the formats, the place, and what all of it follows from."""

    layout: Layout
    place: Place
    kept: Kept
    packs: Sequence[PackConfig]
    columns: Mapping[str, pa.DataType]  # that measures write
    limits: Limits
    decided: str
    covering: CoveringPlan | None
    augment: tuple[Step, ...] = ()  # that the pack holds for the loader

    def jobs(self, without: Set[str]) -> list[PlannedShard]:
        """The shards, in the order of the manifest, without the samples `without`."""
        absent = self.kept.rows_of(self.layout, without)
        jobs = [
            self._planned(pack, shard, absent)
            for pack in self.packs
            for shard in cut_shards(self.kept.sizes, self.kept.splits, pack.shard_bytes, pack.shard_samples)
        ]
        return sorted(jobs, key=lambda planned: planned.job.name)

    def _planned(self, pack: PackConfig, shard: Shard, absent: Mapping[int, str]) -> PlannedShard:
        name = shard.path(pack.format)
        whole = fingerprint(self.decided, pack.model_dump_json(), name, str(self.kept.places(shard.rows)))
        rows = self.kept.row[shard.rows]
        gone = np.isin(rows, np.fromiter(absent, np.int64, len(absent)))
        without = tuple(absent[row] for row in rows[gone].tolist())
        columns = tuple(name for name in pack.columns or CARRIED if name in self.columns)
        stays = shard.rows[~gone] if gone.any() else shard.rows
        names = fingerprint(whole, *without)
        job = ShardJob(pack.format, shard.split, name, len(stays), columns, without, whole, names)
        return PlannedShard(job, stays)

    def write(self, planned: Sequence[PlannedShard], engine: Engine, events: Events) -> None:
        """Write the shards that are not there yet; formats whose shards hold the same share one pass over them."""
        forget_lost(self.place)
        missing = [
            one for one in planned if not (_is_there(self.place, one.job) and is_settled(self.place, one.job.name))
        ]
        groups: dict[Any, list[PlannedShard]] = {}
        for one in missing:
            groups.setdefault((one.job.split, one.holds, one.job.columns), []).append(one)
        split_groups = str(self.layout.state / "groups.parquet")
        shared = PackShared(self.layout, self.place, self.limits, split_groups, self.covering)
        events.tell("packing", shards=len(planned), missing=len(missing))
        tasks = (Task(number, self._group(group)) for number, group in enumerate(groups.values()))
        work = PACK_SHARDS if self.place.store is None else PACK_AND_SEND
        for outcome in engine.run(work, shared, tasks):
            for name, samples, size in outcome.result:
                events.tell("shard_written", shard=name, samples=samples, bytes=size)

    def _group(self, group: Sequence[PlannedShard]) -> ShardGroup:
        """What a worker is given; made when it is its turn, for Python's own numbers take much room."""
        first = group[0]
        contents = self._contents(first.job.columns)
        return ShardGroup(tuple(one.job for one in group), self.kept.places(first.rows), contents)

    def _contents(self, columns: Sequence[str]) -> Contents:
        carried = {name: self.columns[name] for name in columns}
        return replace(self.kept.contents, columns=carried, redacted=self.covering is not None)

    def finish(self, shards: Mapping[str, Written]) -> None:
        """Write what lists the finished `shards`, in order, and remove what is not of this pack."""
        listed = [Listed(name, found.samples, found.bytes, found.sha256, found.rows) for name, found in shards.items()]
        others = write_redactions(self.place, list(shards), self.covering)
        others |= write_augment(self.place.folder, self.augment)
        self._remove_others(finish_pack(self.place.folder, listed, others), shards)

    def _remove_others(self, files: Mapping[str, str], shards: Mapping[str, Written]) -> None:
        """Remove shards, receipts and files of formats that are not of this pack."""
        receipts = {f"{name}.parquet" for name in shards}
        place = self.place
        for root, stays in ((place.folder, files.keys()), (place.receipts, receipts), (place.redacted, receipts)):
            for path in sorted(path for format in FORMATS for path in (root / format).rglob("*"))[::-1]:
                if path.is_dir():
                    with suppress(OSError):  # it holds something
                        path.rmdir()
                elif path.relative_to(root).as_posix() not in stays:
                    path.unlink()


def write_augment(folder: Path, steps: tuple[Step, ...]) -> dict[str, str]:
    """Write the steps that a recipe declares, or remove those of an earlier one; the file's SHA-256 by its name."""
    path = folder / AUGMENT_FILE
    if not steps:
        path.unlink(missing_ok=True)
        return {}
    data = Recorded(steps).to_json()
    write_bytes(path, data)
    return {path.name: sha256(data).hexdigest()}


def _is_there(place: Place, job: ShardJob) -> bool:
    written = read_receipt(place, job.name)
    return written is not None and written.is_of(job)
