"""A whole small pack: both formats, two splits, several shards."""

from functools import partial

import numpy as np
import pyarrow as pa

from pack.making import image, pair
from sluice.pack.base import FORMATS, Contents, PackText
from sluice.pack.formats import packer
from sluice.pack.indexes import finish_pack
from sluice.pack.listed import Listed
from sluice.pack.manifest import MANIFEST_FILE, write_checksums
from sluice.pack.plan import cut_shards
from sluice.pack.verify import VerifyReport, verify
from sluice.pack.writing import write_shard

COLUMNS = {"sharpness": pa.float32(), "phash": pa.uint64()}


def samples(folder, several=False):
    made = [pair(folder, seed, split="val" if seed % 4 == 3 else "train", cluster=f"c{seed}") for seed in range(12)]
    if several:
        texts = (PackText(2, "question", "what?"), PackText(3, "answer", "a bus", weight=0.5))
        made[1] = pair(folder, 1, cluster="c1", texts=texts, images=(image(folder, 1), image(folder, 50, 1, "png")))
        made[2] = pair(folder, 2, images=())
    return made


def pack(final, made, read, formats=("parquet", "webdataset"), max_samples=4):
    several = max(len(sample.images) for sample in made) > 1
    contents = Contents(images=2 if several else 1, turns=several, weights=several, columns=COLUMNS)
    splits = [sample.split for sample in made]
    receipts, checksums = {}, {}
    for name in formats:
        writer = packer(name, contents)
        for shard in cut_shards(np.ones(len(made), np.int64), splits, 2**30, max_samples):
            path = shard.path(name)
            receipts[path] = write_shard(writer, final / path, path, [made[row] for row in shard.rows], read)
            checksums[path] = receipts[path].sha256
    finish(final, receipts)
    return receipts


def finish(final, receipts):
    """Indexes, manifest and checksums of `receipts`, as the conductor writes them, and the manifest's own checksum."""
    shards = [
        Listed(path, receipt.rows.num_rows, receipt.bytes, receipt.sha256, partial(getattr, receipt, "rows"))
        for path, receipt in receipts.items()
    ]
    checksums = finish_pack(final, shards, {})
    for path in [path for format in FORMATS for path in (final / format).rglob("*")]:
        if path.is_file() and path.relative_to(final).as_posix() not in checksums:
            path.unlink()
    write_checksums(final, {**checksums, MANIFEST_FILE: digest(final / MANIFEST_FILE)})


def digest(path):
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()


def problems(final) -> set[tuple[str, str | None, str]]:
    report: VerifyReport = verify(final)
    return {(problem.shard, problem.id, problem.what) for problem in report.problems}
