"""One pass over samples: each is read and hashed once, and goes into a shard of every format that wants it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from sluice.errors import SampleFailure
from sluice.pack.base import Packer, PackSample, Read, ShardReceipt
from sluice.pack.receipt import load


@dataclass(frozen=True)
class Target:
    """A shard to write: by which packer, to which file, and what the manifest calls it."""

    packer: Packer
    path: Path
    name: str


def write_shards(targets: Sequence[Target], samples: Iterable[PackSample], read: Read) -> list[ShardReceipt]:
    """Write the same samples into a shard of each target; a sample is held in memory once for all of them."""
    with ExitStack() as stack:
        shards = [stack.enter_context(target.packer.open_shard(target.path, target.name)) for target in targets]
        for sample in samples:
            try:
                loaded = load(sample, read)
            except SampleFailure as failure:
                for shard in shards:
                    shard.fail(sample, failure)
                continue
            for shard in shards:
                try:
                    shard.add(sample, loaded)
                except SampleFailure as failure:
                    shard.fail(sample, failure)
    return [shard.receipt() for shard in shards]


def write_shard(packer: Packer, path: Path, name: str, samples: Iterable[PackSample], read: Read) -> ShardReceipt:
    """Write one shard of one format."""
    (receipt,) = write_shards([Target(packer, path, name)], samples, read)
    return receipt
