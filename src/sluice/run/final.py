"""04_final, conducted: splits by cluster, shards cut once, written in parallel, listed in the manifest.

Shards are cut from all samples that the stages before kept, so a sample taken down or failed while packing changes only
the shard that held it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.engine import Engine
from sluice.errors import RunError
from sluice.run.balancing import balance_name
from sluice.run.boxes import BoxPlan, box_plan, find_boxes, without_boxes
from sluice.run.embedding import Chosen
from sluice.run.events import Events
from sluice.run.exports import packs_of
from sluice.run.facts import write_card
from sluice.run.ingest import unit_count
from sluice.run.kept import Kept
from sluice.run.measure_plan import MeasurePlan
from sluice.run.packing import Place, Written, read_receipt
from sluice.run.recipe import PackConfig, RecipeFile
from sluice.run.scores import load_scores, score_fields
from sluice.run.shard_samples import CoveringPlan
from sluice.run.shards import Packing
from sluice.run.stage import LawOfCounts, decided_by, done, finish, reopen
from sluice.run.takedown import TAKEDOWN, taken_down
from sluice.table.commit import ROW_GROUP, write_pieces
from sluice.table.compute import pc
from sluice.table.ids import fingerprint
from sluice.table.layout import FILTERED, FINAL, Layout
from sluice.table.memory import collect
from sluice.table.read import read_table
from sluice.table.schema import REASON, VERDICTS
from sluice.wording import counted

MakeEngine: TypeAlias = Callable[[], AbstractContextManager[Engine]]
REDACT: Final = "redact"  # the reason of a sample of which nobody says whether there is anything to cover
_TRIES: Final = 3  # a source that keeps changing under our hands is no source


def final_stage(
    file: RecipeFile,
    layout: Layout,
    engine: Engine,
    events: Events,
    plan: MeasurePlan,
    models: MakeEngine,
    exporting: frozenset[str] = frozenset(),
) -> bool:
    """Bring the shards up to date with the verdicts; whether there was anything to do.

    `models` makes the engine for a detector, where the recipe has one. RunError where a sample fails in the formats
    `exporting`: what is packed already does not follow a later failure.
    """
    started = time.perf_counter()
    recipe = file.recipe
    gone = taken_down(layout)
    basis = PackBasis.of(file, layout, plan)
    boxes = basis.boxes
    asked = packs_of(recipe, layout)
    packs = [pack.model_dump_json() for pack in asked]
    shares = str(sorted(recipe.split.items()))
    steps = [step.model_dump_json() for step in recipe.augment]
    name = fingerprint("final/3", basis.decided, shares, str(recipe.seed), *packs, *sorted(gone), *steps)
    if done(layout, FINAL, name):
        return False
    reopen(layout, FINAL)
    failed: dict[str, tuple[str, str]] = {}
    unsure: dict[str, str] = {}  # by id, what becomes of those of which nobody says whether there is anything to cover
    seconds: dict[str, float] = {}
    if boxes is not None and recipe.redact is not None:
        with models() as engine_of_models:
            chosen, units = Chosen(layout.deciding, basis.kept_by), unit_count(layout)
            seconds = find_boxes(layout, boxes, chosen, units, engine_of_models, events)
        failed, unknown = without_boxes(layout, boxes.store, units)
        unsure = {} if recipe.redact.null == "pass" else dict.fromkeys(unknown, recipe.redact.null)
    kept = Kept.load(layout, file, basis.balancing)
    collect()  # what it was chosen from: the workers need the room
    packing = basis.packing(file, layout, kept, asked, place_of(layout))
    for _ in range(_TRIES):
        jobs = packing.jobs({*gone, *failed, *unsure})
        packing.write(jobs, engine, events)
        shards = {one.job.name: found for one in jobs if (found := read_receipt(packing.place, one.job.name))}
        refuse_failures(shards, exporting)
        news = _failures(shards)
        if not news.keys() - failed.keys():
            break
        failed |= news  # left out of every format: all formats hold the same samples
    else:
        raise RunError(f"source files keep changing while they are packed ({len(failed)} so far); run again later")
    engine.release()  # what lists the shards takes the most room of this process
    packing.finish(shards)
    absent = kept.rows_of(layout, {*gone, *failed, *unsure})
    law = LawOfCounts()
    pieces = _verdicts(layout, kept, gone, failed, unsure)
    write_pieces(layout.verdicts(FINAL), VERDICTS, law.counting(pieces))
    splits = kept.splits.filter(pa.array(~np.isin(kept.row, np.fromiter(absent, np.int64, len(absent)))))
    counted_splits = {one["values"]: one["counts"] for one in pc.value_counts(splits).to_pylist()}
    facts: dict[str, Any] = {
        **law.checked(layout.verdicts(FINAL), int(kept.entered.sum()), FINAL),
        "splits": {split: counted_splits.get(split, 0) for split in recipe.split},
        "shards": {pack.format: sum(one.job.format == pack.format for one in jobs) for pack in asked},
        "bytes": {
            pack.format: sum(found.bytes for name, found in shards.items() if name.startswith(f"{pack.format}/"))
            for pack in asked
        },
    }
    if kept.balanced is not None:
        facts["balance"] = kept.balanced.facts
    if boxes is not None:
        facts |= {"redacted": read_table(layout.redactions, ["id"]).num_rows, "boxes": boxes.store}
    write_card(file, layout, plan, facts)
    finish(layout, FINAL, name, facts, {**seconds, "pack": time.perf_counter() - started})
    return True


@dataclass(frozen=True)
class PackBasis:
    """What a pack follows from, beside the formats."""

    kept_by: str  # the name of the verdicts
    balancing: str | None  # the name of the draw among the samples, if there is one
    boxes: BoxPlan | None  # what is to be covered, if anything
    decided: str  # the name of all of it
    columns: Mapping[str, pa.DataType]  # that may be carried along

    @staticmethod
    def of(file: RecipeFile, layout: Layout, plan: MeasurePlan) -> PackBasis:
        """That of a run whose stages before 04_final are done."""
        columns = {name: kind for measure in plan.load().measures for name, kind in measure.writes.items()}
        columns |= {field.name: field.type for field in score_fields(load_scores(file))}
        kept_by = decided_by(layout, layout.deciding)
        decided = fingerprint("pack/3", kept_by)
        balancing = balance_name(file, decided)
        if balancing is not None:
            decided = fingerprint(decided, balancing)
        boxes = box_plan(file, plan.plugins)
        if boxes is not None:
            decided = fingerprint(decided, "redact/1", boxes.store, str(file.recipe.redact))
        return PackBasis(kept_by, balancing, boxes, decided, columns)

    def packing(
        self, file: RecipeFile, layout: Layout, kept: Kept, packs: tuple[PackConfig, ...], place: Place
    ) -> Packing:
        """The pack of the `kept` samples in the formats `packs`, at `place`."""
        covering = None
        if self.boxes is not None and file.recipe.redact is not None:
            covering = CoveringPlan(self.boxes.store, file.recipe.redact.method, self.boxes.share, self.boxes.limits)
        limits = file.recipe.limits.limits()
        return Packing(layout, place, kept, packs, self.columns, limits, self.decided, covering, file.recipe.augment)


def place_of(layout: Layout) -> Place:
    """Where a run's own pack goes."""
    return Place(layout.final, layout.state / "receipts", layout.named_final if layout.store else None)


def refuse_failures(shards: Mapping[str, Written], formats: frozenset[str]) -> None:
    """RunError where a sample could not be packed in `formats`."""
    failures = _failures({name: found for name, found in shards.items() if name.partition("/")[0] in formats})
    if failures:
        id, (kind, message) = min(failures.items())
        raise RunError(
            f"{counted(len(failures), 'sample')} could not be packed as {', '.join(sorted(formats))}, so nothing was "
            f"added; the first is {id}: {kind}: {message}. Bring the source back and export again"
        )


def _failures(shards: Mapping[str, Written]) -> dict[str, tuple[str, str]]:
    """What could not be packed, by id: class and message."""
    return {id: (kind, message) for found in shards.values() for id, kind, message in found.failures}


def _verdicts(
    layout: Layout,
    kept: Kept,
    gone: Mapping[str, str],
    failed: Mapping[str, tuple[str, str]],
    unsure: Mapping[str, str],
) -> Iterator[pa.Table]:
    """Kept, all but those taken down, not drawn or failed: piece by piece, in order."""
    undrawn = kept.balanced.reasons if kept.balanced else {}
    absent = {*gone, *failed, *unsure, *undrawn}
    start = 0
    with pq.ParquetFile(layout.verdicts(FILTERED)) as file:
        for batch in file.iter_batches(ROW_GROUP, columns=["id", "unit"], use_threads=False):
            entered = batch.filter(pa.array(kept.entered[start : start + len(batch)]))
            start += len(batch)
            yield _verdicts_on(entered, absent, undrawn, gone, failed, unsure)


def _verdicts_on(
    entered: pa.RecordBatch,
    named: Set[str],
    undrawn: Mapping[str, tuple[str, str]],
    gone: Mapping[str, str],
    failed: Mapping[str, tuple[str, str]],
    unsure: Mapping[str, str],
) -> pa.Table:
    """The verdicts on some samples: only those that are not kept cost more than a place in a column."""
    ids = entered.column("id")
    verdicts = np.full(len(ids), "kept", object)
    reasons: list[dict[str, Any]] = []
    absent = np.flatnonzero([identity in named for identity in ids.to_pylist()]) if named else np.zeros(0, np.int64)
    for row in absent.tolist():
        identity: str = ids[row].as_py()
        if identity in gone:
            verdict, rule, values = "rejected", TAKEDOWN, _as_json({"request": gone[identity]})
        elif identity in undrawn:
            verdict, (rule, values) = "rejected", undrawn[identity]
        elif identity in unsure:
            verdict, rule, values = unsure[identity], REDACT, _as_json({"boxes": None})
        else:
            rule, message = failed[identity]
            verdict, values = "failed", _as_json({"class": rule, "message": message})
        verdicts[row] = verdict
        reasons.append({"rule": rule, "effect": verdict, "item": None, "values": values})
    ends = pa.array(np.searchsorted(absent, np.arange(len(verdicts) + 1)), pa.int32())
    rules = pa.array([reason["rule"] for reason in reasons], pa.string())
    no_items = pa.ListArray.from_arrays(pa.array([0] * len(ends), pa.int32()), pa.array([], pa.int16()))
    columns = {
        "id": ids,
        "unit": entered.column("unit"),
        "verdict": pa.array(verdicts, pa.string()),
        "rules": pa.ListArray.from_arrays(ends, rules),
        "reasons": pa.ListArray.from_arrays(ends, pa.array(reasons, REASON)),
        "captions_left_out": no_items,
    }
    arrays = [columns.get(field.name, pa.nulls(len(verdicts), field.type)) for field in VERDICTS]
    return pa.Table.from_arrays(arrays, schema=VERDICTS)


def _as_json(said: Mapping[str, str | None]) -> str:
    return json.dumps(said, ensure_ascii=False)
