"""04_final: the kept samples copied into shards, each shard a task, then the manifest that lists them all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from sluice.engine import WorkerContext
from sluice.media.limits import Limits
from sluice.pack.base import Contents, ShardReceipt
from sluice.pack.formats import packer
from sluice.pack.takedown import rewrite_shard_without
from sluice.pack.writing import Target, write_shards
from sluice.run.shard_samples import CoveringPlan, Places, ShardSamples
from sluice.table.commit import commit, table_writer, write_table
from sluice.table.compute import pc
from sluice.table.layout import REDACTIONS_FILE, Layout
from sluice.table.read import read_table
from sluice.table.refs import RefReader
from sluice.table.schema import REDACTIONS

_RECEIPT: Final = b"sluice.receipt"
_STORED: Final = "stored"


@dataclass(frozen=True)
class Place:
    """Where a pack goes: its folder, and where the receipts of its shards are kept.

    `store` is the URL of that folder where its shards go to a store: here they lie only until they are there.
    """

    folder: Path
    receipts: Path
    store: str | None = None

    @property
    def redacted(self) -> Path:
        """Where it is kept what was covered in the images of each shard."""
        return self.receipts.with_name("redacted")


@dataclass(frozen=True)
class ShardJob:
    """One shard to write: what it is to hold, and where it goes."""

    format: str
    split: str
    name: str  # below the pack's folder, e.g. webdataset/train/shard-000000.tar
    samples: int  # how many it is to hold
    columns: tuple[str, ...]  # measured values to carry along
    without: tuple[str, ...]  # ids of this shard that are not to be in it: taken down, or failed
    whole: str  # fingerprint of the shard with those
    fingerprint: str


@dataclass(frozen=True)
class ShardGroup:
    """Shards of several formats that hold the same: their samples are read once for all of them."""

    jobs: tuple[ShardJob, ...]
    samples: Places
    contents: Contents


@dataclass(frozen=True)
class PackShared:
    """What all shards of a run have in common."""

    layout: Layout
    place: Place
    limits: Limits
    groups: str  # file with the split group of each sample
    covering: CoveringPlan | None = None


def pack_shards(shared: PackShared, group: ShardGroup, context: WorkerContext) -> list[tuple[str, int, int]]:
    """Write the shards of a group and their receipts; (name, samples, bytes) of each. Runs in a worker."""
    place = shared.place
    done: dict[ShardJob, tuple[int, int]] = {}  # samples, bytes
    targets: dict[ShardJob, Target] = {}
    for job in group.jobs:
        written = read_receipt(place, job.name)
        if written is not None and written.is_of(job):  # by a worker that died before it could say so
            done[job] = written.samples, written.bytes
        elif written is not None and _holds(written, job):  # and more: the rest is copied, no source is asked
            done[job] = _counts(_rewrite(shared, job, written))
        else:
            targets[job] = Target(packer(job.format, group.contents), place.folder / job.name, job.name)
    if targets:
        samples = ShardSamples(shared.layout, group.contents, Path(shared.groups), shared.covering)
        with samples, RefReader(shared.limits.bytes) as reader:
            first = next(iter(targets))
            found = samples.read(first.split, group.samples)
            for job, receipt in zip(targets, write_shards(list(targets.values()), found, reader.read), strict=True):
                _keep_receipt(shared, job, receipt)
                done[job] = _counts(receipt)
    return [(job.name, *counts) for job, counts in done.items()]


def _counts(receipt: ShardReceipt) -> tuple[int, int]:
    return receipt.rows.num_rows, receipt.bytes


def _rewrite(shared: PackShared, job: ShardJob, written: Written) -> ShardReceipt:
    shard = shared.place.folder / job.name
    receipt = rewrite_shard_without(shard, job.format, written.rows(), job.without, _successor(shard))
    left = None
    if shared.covering:
        left = read_table(_redacted_path(shared.place, job.name))
        left = left.filter(pc.is_in(left.column("id"), receipt.rows.column("id").combine_chunks()))
    receipt = replace(receipt, failures=written.failures, redactions=left)
    _keep_receipt(shared, job, receipt)
    _successor(shard).replace(shard)
    return receipt


def _successor(shard: Path) -> Path:
    """Where a rewritten shard waits until its receipt is kept: a kill in between must not cost what was copied."""
    return shard.with_name(f"{shard.name}.next")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _holds(written: Written, job: ShardJob) -> bool:
    """Whether the shard that is there holds every sample of `job`."""
    there = written.rows().column("id").to_pylist()
    return written.whole == job.whole and len(set(there) - set(job.without)) == job.samples


def receipt_path(place: Place, name: str) -> Path:
    """Where the receipt of the shard `name` is kept."""
    return place.receipts / f"{name}.parquet"


def _redacted_path(place: Place, name: str) -> Path:
    """Where it is kept what was covered in the images of the shard `name`."""
    return place.redacted / f"{name}.parquet"


def write_redactions(place: Place, shards: Sequence[str], covering: CoveringPlan | None) -> dict[str, str]:
    """Write what was covered in which image, or remove it where nothing is to be; its SHA-256 by its name.

    All formats hold the same images, so those of one are all.
    """
    path = place.folder / REDACTIONS_FILE
    if covering is None:
        path.unlink(missing_ok=True)
        return {}
    of_one = [name for name in shards if name.partition("/")[0] == shards[0].partition("/")[0]]
    tables = [read_table(_redacted_path(place, name)) for name in of_one]
    write_table(path, pa.concat_tables([pa.Table.from_batches([], REDACTIONS), *tables]))
    return {path.name: _sha256(path)}


@dataclass(frozen=True)
class Written:
    """A shard that is there whole, and what it was to hold; its rows are read when asked for, for shards are many."""

    path: Path  # of its receipt
    samples: int
    failures: tuple[tuple[str, str, str], ...]  # id, class, message
    bytes: int
    sha256: str
    fingerprint: str
    whole: str

    def is_of(self, job: ShardJob) -> bool:
        """Whether it is what `job` is to write."""
        return self.fingerprint == job.fingerprint

    def rows(self) -> pa.Table:
        """Its rows of the manifest."""
        return read_table(self.path).replace_schema_metadata(None)


def read_receipt(place: Place, name: str) -> Written | None:
    """The receipt of the shard `name`; None if the shard is not there whole."""
    path, shard = receipt_path(place, name), place.folder / name
    if not path.is_file():
        return None
    held = pq.read_metadata(path)
    facts = json.loads((held.metadata or {})[_RECEIPT])
    if not (place.store and facts.get(_STORED)) and not _is_whole(shard, facts):
        return None
    failures = tuple((row[0], row[1], row[2]) for row in facts["failures"])
    return Written(path, held.num_rows, failures, facts["bytes"], facts["sha256"], facts["job"], facts["whole"])


def stored_as(place: Place, name: str) -> str | None:
    """What the store calls the shard `name` of this version; None where it is not sent yet."""
    try:
        metadata = pq.read_metadata(receipt_path(place, name)).metadata or {}
    except FileNotFoundError:
        return None
    return json.loads(metadata[_RECEIPT]).get(_STORED)


def keep_stored(place: Place, name: str, stored: str) -> None:
    """Note that the shard `name` lies in the store, which calls it `stored`."""
    path = receipt_path(place, name)
    rows = pq.read_table(path)
    facts = {**json.loads(rows.schema.metadata[_RECEIPT]), _STORED: stored}
    _write_receipt(path, rows, facts)


def _is_whole(shard: Path, facts: Mapping[str, Any]) -> bool:
    """Whether the shard lies here as its receipt says."""
    if not shard.is_file():
        return False
    if _successor(shard).is_file() and _sha256(_successor(shard)) == facts["sha256"]:
        _successor(shard).replace(shard)  # a rewrite was killed before this, its last step
    return shard.stat().st_size == facts["bytes"]


def _keep_receipt(shared: PackShared, job: ShardJob, receipt: ShardReceipt) -> None:
    facts = {
        "job": job.fingerprint,
        "whole": job.whole,
        "bytes": receipt.bytes,
        "sha256": receipt.sha256,
        "failures": receipt.failures,
    }
    if shared.covering and receipt.redactions is not None:
        write_table(_redacted_path(shared.place, job.name), receipt.redactions.replace_schema_metadata(None))
    _write_receipt(receipt_path(shared.place, job.name), receipt.rows, facts)


def _write_receipt(path: Path, rows: pa.Table, facts: Mapping[str, Any]) -> None:
    rows = rows.replace_schema_metadata({_RECEIPT: json.dumps(facts).encode()})
    with commit(path) as partial, table_writer(partial, rows.schema) as writer:
        writer.write_table(rows)
