"""04_final, conducted: splits by cluster, shards cut once, written in parallel, listed in the manifest.

Shards are cut from all samples that the stages before kept, so a sample taken down or failed while packing changes only
the shard that held it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa

from sluice.engine import Engine
from sluice.errors import RunError
from sluice.run.balancing import balance_name
from sluice.run.events import Events
from sluice.run.exports import packs_of
from sluice.run.facts import write_card
from sluice.run.kept import Kept, among
from sluice.run.measure_plan import MeasurePlan
from sluice.run.packing import Place, Written, read_receipt
from sluice.run.recipe import PackConfig, RecipeFile
from sluice.run.shards import Packing
from sluice.run.stage import decided_by, done, finish, law_of_counts, reopen
from sluice.run.takedown import TAKEDOWN, taken_down
from sluice.table.commit import write_table
from sluice.table.ids import fingerprint
from sluice.table.layout import FINAL, Layout
from sluice.table.schema import REASON, VERDICTS
from sluice.wording import counted

_TRIES: Final = 3  # a source that keeps changing under our hands is no source


def final_stage(
    file: RecipeFile,
    layout: Layout,
    engine: Engine,
    events: Events,
    plan: MeasurePlan,
    exporting: frozenset[str] = frozenset(),
) -> bool:
    """Bring the shards up to date with the verdicts; whether there was anything to do.

    RunError where a sample fails in the formats `exporting`: what is packed already does not follow a later failure.
    """
    started = time.perf_counter()
    recipe = file.recipe
    gone = taken_down(layout)
    decided, balancing = pack_name(file, layout)
    asked = packs_of(recipe, layout)
    packs = [pack.model_dump_json() for pack in asked]
    name = fingerprint("final/1", decided, str(sorted(recipe.split.items())), str(recipe.seed), *packs, *sorted(gone))
    if done(layout, FINAL, name):
        return False
    reopen(layout, FINAL)
    kept = Kept.load(layout, file, balancing)
    pa.default_memory_pool().release_unused()  # what it was chosen from: the workers need the room
    failed: dict[str, tuple[str, str]] = {}
    packing = packing_of(file, layout, plan, kept, asked, place_of(layout))
    for _ in range(_TRIES):
        jobs = packing.jobs({*gone, *failed})
        packing.write(jobs, engine, events)
        shards = {job.name: found for job in jobs if (found := read_receipt(packing.place, job.name))}
        refuse_failures(shards, exporting)
        news = _failures(shards)
        if not news.keys() - failed.keys():
            break
        failed |= news  # left out of every format: all formats hold the same samples
    else:
        raise RunError(f"source files keep changing while they are packed ({len(failed)} so far); run again later")
    packing.finish(shards)
    verdicts = _verdicts(kept, gone, failed)
    write_table(layout.verdicts(FINAL), verdicts)
    counts = law_of_counts(verdicts, len(kept.entered), FINAL)
    splits = kept.splits[~among(kept.ids, {*gone, *failed})]
    facts: dict[str, Any] = {
        **counts,
        "splits": {split: int((splits == split).sum()) for split in recipe.split},
        "shards": {pack.format: sum(job.format == pack.format for job in jobs) for pack in asked},
        "bytes": {
            pack.format: sum(found.bytes for name, found in shards.items() if name.startswith(f"{pack.format}/"))
            for pack in asked
        },
    }
    if kept.balanced is not None:
        facts["balance"] = kept.balanced.facts
    write_card(file, layout, plan, facts)
    finish(layout, FINAL, name, facts, {"pack": time.perf_counter() - started})
    return True


def pack_name(file: RecipeFile, layout: Layout) -> tuple[str, str | None]:
    """What the shards follow from, and the name of the draw among the samples, if there is one."""
    decided = decided_by(layout, layout.deciding)
    balancing = balance_name(file, decided)
    return (decided if balancing is None else fingerprint(decided, balancing)), balancing


def place_of(layout: Layout) -> Place:
    """Where a run's own pack goes."""
    return Place(layout.final, layout.state / "receipts")


def packing_of(
    file: RecipeFile, layout: Layout, plan: MeasurePlan, kept: Kept, packs: tuple[PackConfig, ...], place: Place
) -> Packing:
    """The pack of the `kept` samples in the formats `packs`, at `place`."""
    columns = {name: kind for measure in plan.load().measures for name, kind in measure.writes.items()}
    decided, _ = pack_name(file, layout)
    return Packing(layout, place, kept, packs, columns, file.recipe.limits.limits(), decided)


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


def _verdicts(kept: Kept, gone: Mapping[str, str], failed: Mapping[str, tuple[str, str]]) -> pa.Table:
    """Kept, all but those taken down, not drawn or failed: only these cost more than a place in a column."""
    ids = kept.entered.column("id").combine_chunks()
    verdicts = np.full(len(ids), "kept", object)
    reasons: list[dict[str, Any]] = []
    undrawn = kept.balanced.reasons if kept.balanced else {}
    absent = np.flatnonzero(among(ids, {*gone, *failed, *undrawn}))
    for row in absent.tolist():
        identity: str = ids[row].as_py()
        if identity in gone:
            verdict, rule, values = "rejected", TAKEDOWN, _as_json({"request": gone[identity]})
        elif identity in undrawn:
            verdict, (rule, values) = "rejected", undrawn[identity]
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
        "unit": kept.entered.column("unit").combine_chunks(),
        "verdict": pa.array(verdicts, pa.string()),
        "rules": pa.ListArray.from_arrays(ends, rules),
        "reasons": pa.ListArray.from_arrays(ends, pa.array(reasons, REASON)),
        "captions_left_out": no_items,
    }
    arrays = [columns.get(field.name, pa.nulls(len(verdicts), field.type)) for field in VERDICTS]
    return pa.Table.from_arrays(arrays, schema=VERDICTS)


def _as_json(said: Mapping[str, str]) -> str:
    return json.dumps(said, ensure_ascii=False)
