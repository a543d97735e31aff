"""`verify`: every shard re-read and checked, and the counts of every stage held against each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sluice.errors import RunError
from sluice.pack.manifest import MANIFEST_FILE
from sluice.pack.verify import VerifyReport, verify
from sluice.run.stage import VERDICT_KINDS, stage_record
from sluice.table.compute import pc
from sluice.table.layout import FILTERED, FINAL, RAW, Layout
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
                f"{layout.root}: {stage} is not finished, so there is nothing to verify; run the recipe to its end"
            )
    report = verify(layout.final)
    problems = (*_told(report), *count_problems(layout))
    return Verification(report.shards, report.samples, report.bytes, problems)


def is_pack(folder: Path) -> bool:
    """Whether `folder` is a pack and no run: what `export --into` writes, or a copy of a run's `04_final`."""
    return (folder / MANIFEST_FILE).is_file() and not Layout(folder).recipe_lock.is_file()


def verify_exported(folder: Path) -> Verification:
    """Check a pack alone."""
    report = verify(folder)
    return Verification(report.shards, report.samples, report.bytes, _told(report), stages=False)


def _told(report: VerifyReport) -> tuple[str, ...]:
    return tuple(f"{found.shard}: {found.id or 'the file'} {found.what}" for found in report.problems)


def count_problems(layout: Layout) -> list[str]:
    """Where the counts of the finished stages do not add up, or the manifest does not name what was kept."""
    return [*_counts(layout), *_packed(layout)]


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


def _packed(layout: Layout) -> Iterator[str]:
    """Every kept sample in every format, once."""
    verdicts = read_table(layout.verdicts(FINAL), columns=["id", "verdict"])
    kept = verdicts.filter(pc.equal(verdicts.column("verdict"), "kept")).column("id")
    manifest = read_table(layout.manifest, columns=["id", "format"])
    for name in pc.unique(manifest.column("format")).to_pylist():
        packed = manifest.filter(pc.equal(manifest.column("format"), name)).column("id")
        if len(packed) != len(kept) or pc.any(pc.invert(pc.is_in(kept, packed))).as_py():
            yield f"{name}: the manifest names {len(packed):,} samples, {FINAL} kept {len(kept):,}"
