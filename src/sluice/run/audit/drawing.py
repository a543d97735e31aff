"""Drawing an audit: the sample, its images and texts from the shards, the sheet to judge them in."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from sluice.corpus.strata import Stratum
from sluice.errors import RunError
from sluice.pack.reading import Packed, read_packed
from sluice.run.audit.page import page
from sluice.run.audit.sample import Drawn, draw, strata_of
from sluice.run.audit.sheet import Line, sheet
from sluice.run.holding import working_in
from sluice.run.packed import packed_tables
from sluice.run.stage import stage_record
from sluice.table.commit import sweep, write_bytes, write_json
from sluice.table.compute import pc
from sluice.table.layout import FINAL, Layout
from sluice.table.read import read_table
from sluice.wording import counted

if TYPE_CHECKING:
    from sluice.run.ledger import Run

SAMPLE: Final = "sample.json"
SHEET: Final = "sheet.csv"
PAGE: Final = "sheet.html"
IMAGES: Final = "images"
_EXTENSION: Final = re.compile(r"[a-z0-9]{1,5}")
_MANIFEST: Final = ("id", "source", "split", "format", "shard", "index", "offset", "size", "sha256", "captions")


@dataclass(frozen=True)
class Audit:
    """An audit that waits for judgements."""

    folder: Path
    name: str
    drawn: int
    packed: int
    strata: int
    problems: int  # samples that are not in their shard as the manifest says
    new: bool

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        return {**vars(self), "folder": str(self.folder), "sheet": str(self.folder / SHEET)}

    def __str__(self) -> str:
        what = f"{self.drawn:,} of {counted(self.packed, 'sample')} in {counted(self.strata, 'stratum', 'strata')}"
        lines = [f"{what}, {'drawn' if self.new else 'drawn before: the sheet is left as it is'}"]
        if self.problems:
            lines.append(f"{counted(self.problems, 'sample')} not as the manifest says: see the column `problem`")
        lines += [
            f"look    {self.folder / PAGE}",
            f"judge   {self.folder / SHEET}: verdict ok or error, for an error its cause",
            f"then    sluice audit {self.folder.parent.parent} --verdicts {self.folder / SHEET}",
        ]
        return "\n".join(lines)


def draw_audit(run: Run, size: int, seed: int | None = None) -> Audit:
    """Draw an audit of `size` samples into the run; one that was drawn of the same shards is left as it is."""
    run.require(FINAL)
    layout = run.layout
    seed = run.recipe.seed if seed is None else seed
    folder = layout.audits / f"{seed}-{size}"
    with working_in(layout):
        sweep(layout.root)
        state = state_of(layout)
        known = drawn_in(folder)
        if known is not None and known["state"] == state:
            return _audit(folder, known, new=False)
        _clear(folder)
        with packed_tables(layout) as tables:
            columns, packed = strata_of(tables)
        if not packed:
            raise RunError(f"{layout.named}: no sample is packed, so there is nothing to audit")
        return _audit(folder, _write(run, folder, draw(columns, packed, seed, size), state), new=True)


def state_of(layout: Layout) -> str:
    """What shards these are: judgements are of this state and of no other."""
    return str(stage_record(layout, FINAL)["fingerprint"])


def drawn_in(folder: Path) -> dict[str, Any] | None:
    """What was drawn into `folder`; None where it is not whole, for `sample.json` is written last."""
    try:
        known = json.loads((folder / SAMPLE).read_text(encoding="utf-8"))
        return known if {"audit", "state", "columns", "strata", "rows"} <= known.keys() else None
    except (OSError, ValueError, AttributeError):
        return None


def stratum_name(columns: Sequence[str], stratum: Stratum) -> str:
    """How a stratum is shown.

    >>> stratum_name(["split", "language"], ("train", "en"))
    'split=train language=en'
    """
    return " ".join(f"{column}={value}" for column, value in zip(columns, stratum, strict=True))


def _clear(folder: Path) -> None:
    """Make room; judgements of other shards are somebody's work and are not thrown away."""
    from sluice.run.audit.judgements import has_judgements

    if has_judgements(folder / SHEET):
        raise RunError(
            f"{folder}: holds judgements of what was packed before; move that folder elsewhere, or draw with another "
            "--seed"
        )
    shutil.rmtree(folder, ignore_errors=True)


def _write(run: Run, folder: Path, drawn: Drawn, state: str) -> dict[str, Any]:
    layout = run.layout
    audit = f"{folder.name}@{state}"
    rows = _manifest_rows(layout, [id for id, _ in drawn.rows])
    numbers = {id: number for number, (id, _) in enumerate(drawn.rows, 1)}
    named = dict(drawn.rows)
    lines: dict[int, Line] = {}
    by_id = {row["id"]: row for row in rows}
    for found in read_packed(layout.named_final if layout.store else layout.final, rows):
        row = by_id[found.id]
        number = numbers[found.id]
        where = stratum_name(drawn.columns, named[found.id])
        lines[number] = Line(
            number,
            found.id,
            _write_images(folder, number, found),
            found.captions,
            found.turns,
            found.problem,
            row["source"],
            row["split"],
            where,
            row["shard"],
        )
    ordered = [lines[number] for number in sorted(lines)]
    write_bytes(folder / PAGE, page(run.recipe.name, folder.name, ordered))
    write_bytes(folder / SHEET, sheet(audit, ordered))
    known = {
        "audit": audit,
        "state": state,
        "columns": list(drawn.columns),
        "strata": [{"stratum": list(stratum), "size": size} for stratum, size in drawn.sizes.items()],
        "rows": [
            {"id": line.id, "stratum": list(named[line.id]), "images": line.images, "problem": line.problem}
            for line in ordered
        ],
    }
    write_json(folder / SAMPLE, known)
    return known


def _manifest_rows(layout: Layout, ids: Sequence[str]) -> list[dict[str, Any]]:
    """A row of the manifest for each of `ids`, in that order; the formats take turns, so each one is looked at."""
    manifest: pa.Table = read_table(layout.manifest, _MANIFEST)
    manifest = manifest.filter(pc.is_in(manifest.column("id"), pa.array(ids, pa.string())))
    by_id: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(manifest.to_pylist(), key=lambda row: row["format"]):
        by_id.setdefault(row["id"], []).append(row)
    return [by_id[id][place % len(by_id[id])] for place, id in enumerate(ids)]


def _write_images(folder: Path, number: int, found: Packed) -> tuple[str, ...]:
    """The images as files, bit for bit; the names are ours, for those in a damaged shard may be anything."""
    files: list[str] = []
    for place, (extension, data) in enumerate(found.images):
        end = extension if _EXTENSION.fullmatch(extension) else "bin"
        more = f"-{place}" if len(found.images) > 1 else ""
        files.append(f"{IMAGES}/{number:04d}{more}.{end}")
        write_bytes(folder / files[-1], data)
    return tuple(files)


def _audit(folder: Path, known: dict[str, Any], *, new: bool) -> Audit:
    sizes = [stratum["size"] for stratum in known["strata"]]
    problems = sum(row["problem"] is not None for row in known["rows"])
    return Audit(folder, folder.name, len(known["rows"]), sum(sizes), len(sizes), problems, new)
