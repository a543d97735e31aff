"""04_final: the kept samples copied into shards, each shard a task, then the manifest that lists them all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from sluice.engine import WorkerContext
from sluice.media.limits import Limits
from sluice.pack.base import Contents, ShardReceipt
from sluice.pack.formats import packer
from sluice.pack.takedown import rewrite_shard_without
from sluice.run.shard_samples import CoveringPlan, ShardSamples
from sluice.table.commit import commit, table_writer, write_table
from sluice.table.compute import pc
from sluice.table.layout import Layout
from sluice.table.read import read_table
from sluice.table.refs import RefReader
from sluice.table.schema import REDACTIONS

_RECEIPT: Final = b"sluice.receipt"


@dataclass(frozen=True)
class ShardJob:
    """One shard to write: which samples, by unit and ordinal, and where it goes."""

    format: str
    split: str
    name: str  # below 04_final/, e.g. webdataset/train/shard-000000.tar
    samples: tuple[tuple[int, tuple[int, ...]], ...]  # (unit, places among the unit's entered samples)
    without: tuple[str, ...]  # ids of this shard that are not to be in it: taken down, or failed
    whole: str  # fingerprint of the shard with those
    fingerprint: str


@dataclass(frozen=True)
class PackShared:
    """What all shards of a run have in common."""

    layout: Layout
    limits: Limits
    contents: Contents
    groups: str  # file with the split group of each sample
    covering: CoveringPlan | None = None


def pack_shard(shared: PackShared, job: ShardJob, context: WorkerContext) -> tuple[str, int, int]:
    """Write one shard and its receipt; (name, samples, bytes). Runs in a worker."""
    layout = shared.layout
    written = read_receipt(layout, job.name)
    if written is not None and _holds(written, job):  # and more: the rest is copied, no source is asked
        shard = layout.final / job.name
        receipt = rewrite_shard_without(shard, job.format, written.rows(), job.without, _successor(shard))
        left = None
        if shared.covering:
            left = read_table(_redacted_path(layout, job.name))
            left = left.filter(pc.is_in(left.column("id"), receipt.rows.column("id").combine_chunks()))
        receipt = replace(receipt, failures=written.failures, redactions=left)
        _keep_receipt(shared, job, receipt)
        _successor(shard).replace(shard)
    else:
        made = packer(job.format, shared.contents)
        samples = ShardSamples(layout, shared.contents, Path(shared.groups), shared.covering)
        with samples, RefReader(shared.limits.bytes) as reader:
            found = samples.read(job.split, job.samples)
            receipt = made.write_shard(layout.final / job.name, job.name, found, reader.read)
        _keep_receipt(shared, job, receipt)
    return job.name, receipt.rows.num_rows, receipt.bytes


def _successor(shard: Path) -> Path:
    """Where a rewritten shard waits until its receipt is kept: a kill in between must not cost what was copied."""
    return shard.with_name(f"{shard.name}.next")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _holds(written: Written, job: ShardJob) -> bool:
    """Whether the shard that is there holds every sample of `job`."""
    there = written.rows().column("id").to_pylist()
    wanted = sum(len(places) for _, places in job.samples)
    return written.whole == job.whole and len(set(there) - set(job.without)) == wanted


def receipt_path(layout: Layout, name: str) -> Path:
    """Where the receipt of the shard `name` is kept."""
    return layout.state / "receipts" / f"{name}.parquet"


def _redacted_path(layout: Layout, name: str) -> Path:
    """Where it is kept what was covered in the images of the shard `name`."""
    return layout.state / "redacted" / f"{name}.parquet"


def write_redactions(layout: Layout, shards: Sequence[str], covering: CoveringPlan | None) -> dict[str, str]:
    """Write what was covered in which image, or remove it where nothing is to be; its SHA-256 by its name.

    All formats hold the same images, so those of one are all.
    """
    if covering is None:
        layout.redactions.unlink(missing_ok=True)
        return {}
    of_one = [name for name in shards if name.partition("/")[0] == shards[0].partition("/")[0]]
    tables = [read_table(_redacted_path(layout, name)) for name in of_one]
    write_table(layout.redactions, pa.concat_tables([pa.Table.from_batches([], REDACTIONS), *tables]))
    return {layout.redactions.name: _sha256(layout.redactions)}


@dataclass(frozen=True)
class Written:
    """A shard that is there whole, and what it was to hold; its rows are read when asked for, for shards are many."""

    path: Path  # of its receipt
    failures: tuple[tuple[str, str, str], ...]  # id, class, message
    bytes: int
    sha256: str
    fingerprint: str
    whole: str

    def rows(self) -> pa.Table:
        """Its rows of the manifest."""
        return read_table(self.path).replace_schema_metadata(None)


def read_receipt(layout: Layout, name: str) -> Written | None:
    """The receipt of the shard `name`; None if the shard is not there whole."""
    path, shard = receipt_path(layout, name), layout.final / name
    if not path.is_file() or not shard.is_file():
        return None
    facts = json.loads((pq.read_schema(path).metadata or {})[_RECEIPT])
    if _successor(shard).is_file() and _sha256(_successor(shard)) == facts["sha256"]:
        _successor(shard).replace(shard)  # a rewrite was killed before this, its last step
    if shard.stat().st_size != facts["bytes"]:
        return None
    failures = tuple((row[0], row[1], row[2]) for row in facts["failures"])
    return Written(path, failures, facts["bytes"], facts["sha256"], facts["job"], facts["whole"])


def _keep_receipt(shared: PackShared, job: ShardJob, receipt: ShardReceipt) -> None:
    layout = shared.layout
    facts = {
        "job": job.fingerprint,
        "whole": job.whole,
        "bytes": receipt.bytes,
        "sha256": receipt.sha256,
        "failures": receipt.failures,
    }
    if shared.covering and receipt.redactions is not None:
        write_table(_redacted_path(layout, job.name), receipt.redactions.replace_schema_metadata(None))
    rows = receipt.rows.replace_schema_metadata({_RECEIPT: json.dumps(facts).encode()})
    with commit(receipt_path(layout, job.name)) as partial, table_writer(partial, rows.schema) as writer:
        writer.write_table(rows)
