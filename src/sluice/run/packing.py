"""04_final: the kept samples copied into shards, each shard a task, then the manifest that lists them all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.engine import WorkerContext
from sluice.media.limits import Limits
from sluice.pack.base import Contents, PackImage, PackSample, PackText, ShardReceipt, packer
from sluice.pack.takedown import rewrite_shard_without
from sluice.run.measuring import extension_of
from sluice.table.commit import commit, table_writer
from sluice.table.compute import pc
from sluice.table.layout import FILTERED, Layout
from sluice.table.read import read_table, read_where
from sluice.table.refs import Ref, RefReader

_EXTENSIONS: Final = {"jpeg": "jpg", "tiff": "tif"}
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


def pack_shard(shared: PackShared, job: ShardJob, context: WorkerContext) -> tuple[str, int, int]:
    """Write one shard and its receipt; (name, samples, bytes). Runs in a worker."""
    layout = shared.layout
    written = read_receipt(layout, job.name)
    if written is not None and _holds(written, job):  # and more: the rest is copied, no source is asked
        shard, rows = layout.final / job.name, written.receipt.rows
        receipt = rewrite_shard_without(shard, job.format, rows, job.without, _successor(shard))
        receipt = replace(receipt, failures=written.receipt.failures)
        _keep_receipt(layout, job, receipt)
        _successor(shard).replace(shard)
    else:
        made = packer(job.format, shared.contents)
        with RefReader(shared.limits.bytes) as reader:
            receipt = made.write_shard(layout.final / job.name, job.name, _samples(shared, job), reader.read)
        _keep_receipt(layout, job, receipt)
    return job.name, receipt.rows.num_rows, receipt.bytes


def _successor(shard: Path) -> Path:
    """Where a rewritten shard waits until its receipt is kept: a kill in between must not cost what was copied."""
    return shard.with_name(f"{shard.name}.next")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _holds(written: Written, job: ShardJob) -> bool:
    """Whether the shard that is there holds every sample of `job`."""
    there = written.receipt.rows.column("id").to_pylist()
    wanted = sum(len(places) for _, places in job.samples)
    return written.whole == job.whole and len(set(there) - set(job.without)) == wanted


def receipt_path(layout: Layout, name: str) -> Path:
    """Where the receipt of the shard `name` is kept."""
    return layout.state / "receipts" / f"{name}.parquet"


@dataclass(frozen=True)
class Written:
    """A shard that is there whole, and what it was to hold."""

    receipt: ShardReceipt
    fingerprint: str
    whole: str


def read_receipt(layout: Layout, name: str) -> Written | None:
    """The receipt of the shard `name`; None if the shard is not there whole."""
    path, shard = receipt_path(layout, name), layout.final / name
    if not path.is_file() or not shard.is_file():
        return None
    rows = read_table(path)
    facts = json.loads((rows.schema.metadata or {})[_RECEIPT])
    if _successor(shard).is_file() and _sha256(_successor(shard)) == facts["sha256"]:
        _successor(shard).replace(shard)  # a rewrite was killed before this, its last step
    if shard.stat().st_size != facts["bytes"]:
        return None
    failures = tuple((row[0], row[1], row[2]) for row in facts["failures"])
    receipt = ShardReceipt(rows.replace_schema_metadata(None), failures, facts["bytes"], facts["sha256"])
    return Written(receipt, facts["job"], facts["whole"])


def _keep_receipt(layout: Layout, job: ShardJob, receipt: ShardReceipt) -> None:
    facts = {
        "job": job.fingerprint,
        "whole": job.whole,
        "bytes": receipt.bytes,
        "sha256": receipt.sha256,
        "failures": receipt.failures,
    }
    rows = receipt.rows.replace_schema_metadata({_RECEIPT: json.dumps(facts).encode()})
    with commit(receipt_path(layout, job.name)) as partial, table_writer(partial, rows.schema) as writer:
        writer.write_table(rows)


def _samples(shared: PackShared, job: ShardJob) -> Iterator[PackSample]:
    for unit, places in job.samples:
        yield from _unit_samples(shared, job, unit, np.array(places))


def _unit_samples(shared: PackShared, job: ShardJob, unit: int, places: Any) -> Iterator[PackSample]:
    layout = shared.layout
    samples = read_table(layout.samples(unit), threads=False)
    samples = samples.filter(pc.is_null(samples.column("failure_class"))).take(pa.array(places))
    items = read_table(layout.items(unit), threads=False)
    items = items.filter(pc.is_in(items.column("id"), samples.column("id").combine_chunks()))
    carried = _measured(shared, unit)
    left_out = _left_out(layout, unit)
    groups = _groups(shared, unit)
    by_sample: dict[str, list[dict[str, Any]]] = {}
    for item in items.to_pylist():
        by_sample.setdefault(item["id"], []).append(item)
    for record in samples.to_pylist():
        rows = carried[record["id"]]
        yield _pack_sample(record, by_sample.get(record["id"], []), rows, job, shared, left_out, groups)


def _pack_sample(
    record: Mapping[str, Any],
    items: Sequence[Mapping[str, Any]],
    rows: Mapping[int, Mapping[str, Any]],
    job: ShardJob,
    shared: PackShared,
    left_out: Mapping[str, list[int]],
    groups: Mapping[str, str],
) -> PackSample:
    first = next(iter(rows.values()))
    skipped = left_out.get(record["id"], ())
    images: list[PackImage] = []
    texts: list[PackText] = []
    for item in items:
        if item["kind"] == "image":
            ref = Ref(item["container"], item["uri"], item["member"], item["offset"], item["size"])
            row = rows.get(item["item"], {})
            kind: str = row.get("format") or extension_of(ref) or "bin"
            extension = _EXTENSIONS.get(kind, kind)
            images.append(
                PackImage(item["item"], ref, extension, row.get("width"), row.get("height"), row.get("sha256"))
            )
        elif item["item"] not in skipped:
            texts.append(PackText(item["item"], item["role"], item["text"], item["language"], item["weight"]))
    rights = {name: record[name] for name in ("licence", "author", "source_url", "fetched", "dataset")}
    return PackSample(
        id=record["id"],
        key=record["key"],
        source=record["source"],
        split=job.split,
        images=tuple(images),
        texts=tuple(texts),
        rights={**rights, "spdx": first.get("spdx")},
        columns={name: first.get(name) for name in shared.contents.columns},
        cluster=groups.get(record["id"]),
    )


def _measured(shared: PackShared, unit: int) -> dict[str, dict[int, dict[str, Any]]]:
    """By sample and image item (-1: it has no image), the columns that packing needs."""
    schema = pq.read_schema(shared.layout.rows)
    wanted = {"id", "image_item", "format", "width", "height", "sha256", "spdx", *shared.contents.columns}
    columns = [name for name in schema.names if name in wanted]
    rows = read_where(shared.layout.rows, "unit", unit, columns)
    by_sample: dict[str, dict[int, dict[str, Any]]] = {}
    for row in rows.to_pylist():
        item = row["image_item"]
        by_sample.setdefault(row["id"], {}).setdefault(-1 if item is None else item, row)
    return by_sample


def _left_out(layout: Layout, unit: int) -> dict[str, list[int]]:
    table = read_where(layout.verdicts(FILTERED), "unit", unit, ["id", "captions_left_out"])
    lists = zip(table.column("id").to_pylist(), table.column("captions_left_out").to_pylist(), strict=True)
    return {identity: items for identity, items in lists if items}


def _groups(shared: PackShared, unit: int) -> dict[str, str]:
    table = read_where(Path(shared.groups), "unit", unit)
    return dict(zip(table.column("id").to_pylist(), table.column("group").to_pylist(), strict=True))
