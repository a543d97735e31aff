"""`verify`: every shard re-read and checked, and the counts of every stage held against each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from sluice.errors import RunError
from sluice.pack.held import ShardsThere, brought
from sluice.pack.manifest import MANIFEST_FILE
from sluice.pack.verify import VerifyReport, verify
from sluice.run.balance_columns import balance_path
from sluice.run.stage import VERDICT_KINDS, stage_record
from sluice.run.stored import is_there, is_url
from sluice.table.compute import pc
from sluice.table.layout import BOXES, FILTERED, FINAL, RAW, Layout
from sluice.table.read import read_table
from sluice.wording import counted

_SHOWN: Final = 20


@dataclass(frozen=True)
class Verification:
    """What re-reading the run found."""

    shards: int
    rows: int  # of the manifest: a sample counts once a format
    bytes: int
    problems: tuple[str, ...]
    stages: bool = True  # whether the counts of a run's stages were held against each other too

    @property
    def fine(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        plain = {name: value for name, value in vars(self).items() if name != "stages"}
        return {**plain, "fine": self.fine}

    def __str__(self) -> str:
        head = f"{counted(self.shards, 'shard')}, {counted(self.rows, 'row')}, {counted(self.bytes, 'byte')} re-read: "
        if self.fine:
            return head + "all as the manifest says" + ("; the counts of all stages add up" if self.stages else "")
        shown = [f"  {problem}" for problem in self.problems[:_SHOWN]]
        more = len(self.problems) - _SHOWN
        return "\n".join(
            [f"{head}{counted(len(self.problems), 'problem')}", *shown, *([f"  and {more:,} more"] if more > 0 else [])]
        )


def verify_run(layout: Layout) -> Verification:
    """Check the pack and the counts of every finished stage; RunError where there is no finished pack."""
    for stage in (RAW, FILTERED, FINAL):
        if not layout.stage_file(stage).is_file():
            raise RunError(
                f"{layout.named}: {stage} is not finished, so there is nothing to verify; run the recipe to its end"
            )
    there = ShardsThere(layout.final, f"{layout.store}/{FINAL}") if layout.store else None
    report = verify(layout.final, held=there)
    problems = (*_told(report), *count_problems(layout))
    return Verification(report.shards, report.samples, report.bytes, problems)


def is_pack(folder: Path | str) -> bool:
    """Whether `folder` is a pack and no run: what `export --into` writes, or a copy of a run's `04_final`."""
    if is_url(str(folder)):
        return is_there(f"{folder}/{MANIFEST_FILE}")
    folder = Path(folder)
    return (folder / MANIFEST_FILE).is_file() and not Layout(folder).recipe_lock.is_file()


def verify_exported(folder: Path | str) -> Verification:
    """Check a pack alone."""
    if is_url(str(folder)):
        with brought(str(folder)) as beside:
            report = verify(beside, held=ShardsThere(beside, str(folder)))
    else:
        report = verify(Path(folder))
    return Verification(report.shards, report.samples, report.bytes, _told(report), stages=False)


def _told(report: VerifyReport) -> tuple[str, ...]:
    return tuple(f"{found.shard}: {found.id or 'the file'} {found.what}" for found in report.problems)


def count_problems(layout: Layout) -> list[str]:
    """Where the counts of the finished stages do not add up, or the manifest does not name what was kept."""
    return [*_counts(layout), *_packed(layout), *_drawn(layout), *redaction_problems(layout)]


def _counts(layout: Layout) -> Iterator[str]:
    """Law 1 of every stage, from its table: in = kept + rejected + held + failed, and out of one is in of the next."""
    before: int | None = None
    for stage in layout.stages_done():
        record = stage_record(layout, stage)
        found = Counter(read_table(layout.verdicts(stage), columns=["verdict"]).column("verdict").to_pylist())
        entered = sum(found.values())
        if before is not None and entered != before + record.get("taken_up", 0):
            yield f"{stage}: {entered:,} samples came in, the stage before kept {before:,}"
        if record["in"] != entered or any(record[kind] != found.get(kind, 0) for kind in VERDICT_KINDS):
            yield f"{stage}: stage.json says {record}, verdicts.parquet holds {dict(found)}"
        before = found.get("kept", 0)


def redaction_problems(layout: Layout) -> Iterator[str]:
    """Packed images that should be covered in part and are not; what was covered and is not what is packed."""
    if not layout.redactions.is_file():
        return
    name = layout.redactions.name
    covered = read_table(layout.redactions, ["id", "item", "sha256_before", "sha256"]).to_pylist()
    manifest = read_table(layout.manifest, ["id", "sha256"])
    packed = dict(zip(*(manifest.column(column).to_pylist() for column in ("id", "sha256")), strict=True))
    done = {(row["id"], row["item"]) for row in covered}
    for path in sorted((layout.root / BOXES / stage_record(layout, FINAL).get("boxes", "")).glob("unit-*.parquet")):
        boxes = read_table(path, ["id", "item", "boxes"])
        some = pc.fill_null(pc.greater(pc.list_value_length(boxes.column("boxes")), 0), False)
        for row in boxes.filter(some).select(["id", "item"]).to_pylist():
            if row["id"] in packed and (row["id"], row["item"]) not in done:
                yield f"{name}: {row['id']} item {row['item']} has boxes to cover, and is packed as it was"
    for row in covered:
        if row["id"] not in packed:
            yield f"{name}: {row['id']} is covered, and not packed"
        elif packed[row["id"]] == row["sha256_before"] != row["sha256"]:
            yield f"{name}: {row['id']} is covered, and the manifest names the image as it was"


def _packed(layout: Layout) -> Iterator[str]:
    """Every kept sample in every format, once."""
    verdicts = read_table(layout.verdicts(FINAL), columns=["id", "verdict"])
    kept = verdicts.filter(pc.equal(verdicts.column("verdict"), "kept")).column("id")
    manifest = read_table(layout.manifest, columns=["id", "format"])
    for name in pc.unique(manifest.column("format")).to_pylist():
        packed = manifest.filter(pc.equal(manifest.column("format"), name)).column("id")
        if len(packed) != len(kept) or pc.any(pc.invert(pc.is_in(kept, packed))).as_py():
            yield f"{name}: the manifest names {len(packed):,} samples, {FINAL} kept {len(kept):,}"


def _drawn(layout: Layout) -> Iterator[str]:
    """The weight and the repeats of every packed sample, as balancing drew them; 1 where nothing was balanced."""
    manifest = read_table(layout.manifest, columns=["id", "weight", "repeats"])
    weight, repeats = (pc.cast(manifest.column(name), "float64") for name in ("weight", "repeats"))
    if "balance" in stage_record(layout, FINAL):
        drawn = read_table(balance_path(layout), columns=["id", "weight", "repeats"])
        place = pc.index_in(manifest.column("id"), drawn.column("id").combine_chunks())
        said = [pc.cast(drawn.column(name).take(place), "float64") for name in ("weight", "repeats")]
    else:
        said = [pa.scalar(1.0), pa.scalar(1.0)]
    same = pc.fill_null(pc.and_(pc.equal(weight, said[0]), pc.equal(repeats, said[1])), False)
    wrong = len(same) - pc.sum(same).as_py() if len(same) else 0
    if wrong:
        first = manifest.column("id").filter(pc.invert(same))[0].as_py()
        yield f"the manifest gives {wrong:,} rows another weight or other repeats than was drawn: {first}, for instance"
