"""04_final, conducted: splits by cluster, shards cut once, written in parallel, listed in the manifest.

Shards are cut from all samples that the stages before kept, so a sample taken down or failed while packing changes only
the shard that held it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.corpus.split import Links, assign, equal_links, group_ids, near_links, split_groups
from sluice.engine import Engine, Task
from sluice.errors import RunError
from sluice.pack.base import Contents
from sluice.pack.formats import packer
from sluice.pack.manifest import write_checksums, write_manifest
from sluice.pack.plan import Shard, cut_shards
from sluice.run.balance_draw import Balanced
from sluice.run.balancing import balance, balance_name
from sluice.run.boxes import box_plan, find_boxes, without_boxes
from sluice.run.corpus_steps import CorpusFacts, load_corpus
from sluice.run.embedding import Chosen
from sluice.run.events import Events
from sluice.run.facts import write_card
from sluice.run.ingest import unit_count
from sluice.run.measure_plan import MeasurePlan
from sluice.run.packing import PackShared, ShardJob, pack_shard, read_receipt, write_redactions
from sluice.run.recipe import PackConfig, Recipe, RecipeFile
from sluice.run.scores import load_scores, score_fields
from sluice.run.shard_samples import CoveringPlan
from sluice.run.stage import decided_by, done, finish, law_of_counts, reopen
from sluice.run.takedown import TAKEDOWN, taken_down
from sluice.table.commit import write_table
from sluice.table.compute import pc
from sluice.table.ids import fingerprint
from sluice.table.layout import CAPTIONED, FILTERED, FINAL, Layout
from sluice.table.memory import give_back
from sluice.table.read import read_table
from sluice.table.schema import REASON, VERDICTS

MakeEngine: TypeAlias = Callable[[], AbstractContextManager[Engine]]
CARRIED: Final = ("width", "height", "format", "sha256", "phash", "sharpness", "language", "spdx")
ALIGNMENT: Final = "alignment"  # the column of cosines that captions are weighed by
_TEXT_ROOM: Final = 2_048  # bytes that a sample's texts, JSON and padding take in a shard, about
REDACT: Final = "redact"  # the reason of a sample of which nobody says whether there is anything to cover
_TRIES: Final = 3  # a source that keeps changing under our hands is no source


def final_stage(
    file: RecipeFile, layout: Layout, engine: Engine, events: Events, plan: MeasurePlan, models: MakeEngine
) -> bool:
    """Bring the shards up to date with the verdicts; whether there was anything to do.

    `models` makes the engine for a detector, where the recipe has one.
    """
    started = time.perf_counter()
    recipe = file.recipe
    columns = {name: kind for measure in plan.load().measures for name, kind in measure.writes.items()}
    columns |= {field.name: field.type for field in score_fields(load_scores(file))}
    gone = taken_down(layout)
    kept_by = decided_by(layout, layout.deciding)
    decided = fingerprint("pack/2", kept_by)
    balancing = balance_name(file, decided)
    if balancing is not None:
        decided = fingerprint(decided, balancing)
    boxes = box_plan(file, plan.plugins)
    if boxes is not None:
        decided = fingerprint(decided, "redact/1", boxes.store, str(recipe.redact))
    packs = [pack.model_dump_json() for pack in recipe.pack]
    name = fingerprint("final/2", decided, str(sorted(recipe.split.items())), str(recipe.seed), *packs, *sorted(gone))
    if done(layout, FINAL, name):
        return False
    reopen(layout, FINAL)
    failed: dict[str, tuple[str, str]] = {}
    unsure: set[str] = set()
    covering = None
    seconds: dict[str, float] = {}
    if boxes is not None and recipe.redact is not None:
        with models() as engine_of_models:
            chosen, units = Chosen(layout.deciding, kept_by), unit_count(layout)
            seconds = find_boxes(layout, boxes, chosen, units, engine_of_models, events)
        failed, unsure = without_boxes(layout, boxes.store, units)
        covering = CoveringPlan(boxes.store, recipe.redact.method, boxes.share, boxes.limits)
    unsure = set() if recipe.redact is None or recipe.redact.null == "pass" else unsure
    kept = _Kept.load(layout, file, balancing)
    give_back()  # what it was chosen from: the workers need the room
    for _ in range(_TRIES):
        jobs = _jobs(kept, recipe.pack, {*gone, *failed, *unsure}, decided)
        _write_shards(layout, recipe, kept, jobs, engine, events, columns, covering)
        receipts = {job.name: read_receipt(layout, job.name) for job in jobs}
        news = {r[0]: (r[1], r[2]) for found in receipts.values() if found for r in found.failures}
        if not news.keys() - failed.keys():
            break
        failed |= news  # left out of every format: all formats hold the same samples
    else:
        raise RunError(f"source files keep changing while they are packed ({len(failed)} so far); run again later")
    _remove_others(layout, jobs)
    shards = {job.name: found for job in jobs if (found := receipts[job.name])}
    write_manifest(layout.final, (found.rows() for found in shards.values()))
    redactions = write_redactions(layout, list(shards), covering)
    write_checksums(layout.final, {**redactions, **{name: found.sha256 for name, found in shards.items()}})
    verdicts = _verdicts(kept, gone, failed, _unsure(recipe, unsure))
    write_table(layout.verdicts(FINAL), verdicts)
    counts = law_of_counts(verdicts, len(kept.entered), FINAL)
    splits = kept.splits[~_among(kept.ids, {*gone, *failed, *unsure})]
    facts: dict[str, Any] = {
        **counts,
        "splits": {split: int((splits == split).sum()) for split in recipe.split},
        "shards": {pack.format: sum(job.format == pack.format for job in jobs) for pack in recipe.pack},
        "bytes": {
            pack.format: sum(found.bytes for name, found in shards.items() if name.startswith(f"{pack.format}/"))
            for pack in recipe.pack
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
class _Kept:
    """The samples that the stages before kept, in order: those of them that were drawn."""

    ids: pa.Array
    unit: npt.NDArray[np.int64]
    place: npt.NDArray[np.int64]  # among the unit's entered samples
    sizes: npt.NDArray[np.int64]  # bytes in a shard, about
    splits: npt.NDArray[np.str_]
    contents: Contents
    entered: pa.Table  # id, unit of all that the stages before kept
    balanced: Balanced | None

    @staticmethod
    def load(layout: Layout, file: RecipeFile, balancing: str | None) -> _Kept:
        """Read the verdicts, draw, assign splits; the split groups and weights are written down for the packers."""
        recipe = file.recipe
        verdicts = read_table(layout.verdicts(FILTERED), columns=["id", "unit"])
        ids = verdicts.column("id").combine_chunks()
        unit = verdicts.column("unit").to_numpy().astype(np.int64)
        starts = np.searchsorted(unit, np.arange(unit[-1] + 1 if len(unit) else 0))
        kept = _kept(layout, ids)
        entered = verdicts.filter(pa.array(kept))
        weight, repeats = np.ones(len(unit), np.float32), np.ones(len(unit), np.int32)
        balanced = None
        if balancing is not None:
            balanced = balance(file, layout, entered.column("id").combine_chunks(), balancing)
            weight[kept] = balanced.table.column("weight").to_numpy()
            repeats[kept] = balanced.table.column("repeats").to_numpy()
            kept[kept] = balanced.drawn
        groups = name_groups(load_corpus(layout, recipe.filter.duplicates), ids)
        write_table(
            layout.state / "groups.parquet",
            pa.table(
                {"id": ids, "unit": verdicts.column("unit"), "group": groups, "weight": weight, "repeats": repeats}
            ),
        )
        splits = assign(groups, recipe.split, recipe.seed)
        sizes, contents = _sizes(layout, unit, ids)
        place = np.arange(len(unit)) - starts[unit] if len(unit) else unit
        return _Kept(
            ids.filter(pa.array(kept)),
            unit[kept],
            place[kept],
            sizes[kept],
            np.asarray(splits)[kept],
            contents,
            entered,
            balanced,
        )


def _kept(layout: Layout, ids: pa.Array) -> npt.NDArray[np.bool_]:
    """Which of `ids`, all that entered 01_filtered, the last deciding stage keeps."""
    last = read_table(layout.verdicts(layout.deciding), columns=["id", "verdict"])
    return pc.is_in(ids, last.filter(pc.equal(last.column("verdict"), "kept")).column("id").combine_chunks()).to_numpy(
        zero_copy_only=False
    )


def name_groups(corpus: CorpusFacts, ids: pa.Array) -> pa.Array:
    """The group of each sample: the smallest id among all it is linked to by equal bytes or near hashes.

    Chains count here, rejected samples too: what is near, or near to what is near, must not lie in two splits.
    """
    links: list[Links] = []
    if corpus.near is not None and corpus.near_members is not None:
        ordinal = corpus.near_members.column("ordinal").to_numpy()
        hashes = corpus.near_members.column("value").to_numpy()
        a, b = near_links(corpus.near, hashes, np.ones(len(hashes), np.bool_))
        links.append((ordinal[a], ordinal[b]))
    if corpus.bytes_members is not None:
        ordinal = corpus.bytes_members.column("ordinal").to_numpy()
        a, b = equal_links(corpus.bytes_members.column("value"))
        links.append((ordinal[a], ordinal[b]))
    return group_ids(split_groups(len(ids), *links), ids)


def _sizes(layout: Layout, unit: Any, ids: pa.Array) -> tuple[Any, Contents]:
    """Bytes of each sample in a shard, about, and what the samples of the pack may hold."""
    sizes: list[Any] = []
    most_images, turns, weights = 1, False, False
    generated = layout.stage_file(CAPTIONED).is_file()
    for number in range(int(unit[-1]) + 1 if len(unit) else 0):
        items = read_table(layout.items(number), columns=["id", "kind", "role", "size", "weight"])
        owner = pc.index_in(
            items.column("id"), ids.slice(int(np.searchsorted(unit, number)), int((unit == number).sum()))
        )
        where = owner.to_numpy().astype(np.int64)
        held = np.bincount(where, pc.fill_null(items.column("size"), 0).to_numpy(), int((unit == number).sum()))
        sizes.append(held.astype(np.int64) + _TEXT_ROOM)
        images = pc.equal(items.column("kind"), "image").to_numpy()
        most_images = max(most_images, int(np.bincount(where[images], minlength=1).max(initial=1)))
        turns |= bool((~images & ~pc.equal(items.column("role"), "caption").to_numpy()).any())
        weights |= items.column("weight").null_count < items.num_rows
        if generated:
            turns |= _pairs_in(layout.generated(number))
    scored = ALIGNMENT in pq.read_schema(layout.rows_of(layout.deciding)).names
    contents = Contents(most_images, turns, weights, scored, generated)
    return np.concatenate(sizes) if sizes else np.zeros(0, np.int64), contents


def _pairs_in(path: Path) -> bool:
    """Whether there are questions and answers among the generated items in `path`."""
    roles = read_table(path, columns=["role"]).column("role")
    return bool(pc.any(pc.not_equal(roles, "caption")).as_py())


def _jobs(kept: _Kept, packs: Sequence[PackConfig], without: set[str], decided: str) -> list[ShardJob]:
    absent = _among(kept.ids, without)
    jobs = [
        _job(pack, shard, kept, absent, decided)
        for pack in packs
        for shard in cut_shards(kept.sizes, kept.splits, pack.shard_bytes, pack.shard_samples)
    ]
    return sorted(jobs, key=lambda job: job.name)  # the order of the manifest


def _job(pack: PackConfig, shard: Shard, kept: _Kept, absent: Any, decided: str) -> ShardJob:
    name = shard.path(pack.format, packer(pack.format).suffix)
    whole = fingerprint(decided, pack.model_dump_json(), name, str(_places(kept, shard.rows)))
    without = tuple(kept.ids.take(pa.array(shard.rows[absent[shard.rows]])).to_pylist())
    samples = _places(kept, shard.rows[~absent[shard.rows]])
    return ShardJob(pack.format, shard.split, name, samples, without, whole, fingerprint(whole, *without))


def _places(kept: _Kept, rows: npt.NDArray[np.int64]) -> tuple[tuple[int, tuple[int, ...]], ...]:
    """By unit, the places of the samples among those that entered."""
    units = kept.unit[rows]
    return tuple((int(unit), tuple(kept.place[rows[units == unit]].tolist())) for unit in np.unique(units))


def _write_shards(
    layout: Layout,
    recipe: Recipe,
    kept: _Kept,
    jobs: Sequence[ShardJob],
    engine: Engine,
    events: Events,
    columns: Mapping[str, pa.DataType],
    covering: CoveringPlan | None,
) -> None:
    carried = {name: columns[name] for pack in recipe.pack for name in pack.columns or CARRIED if name in columns}
    contents = replace(kept.contents, columns=carried, redacted=covering is not None)
    shared = PackShared(layout, recipe.limits.limits(), contents, str(layout.state / "groups.parquet"), covering)
    tasks: list[Task] = []
    for number, job in enumerate(jobs):
        written = read_receipt(layout, job.name)
        if written is None or written.fingerprint != job.fingerprint:
            tasks.append(Task(number, job))
    events.tell("packing", shards=len(jobs), missing=len(tasks))
    for outcome in engine.run(f"{pack_shard.__module__}:{pack_shard.__name__}", shared, tasks):
        name, samples, size = outcome.result
        events.tell("shard_written", shard=name, samples=samples, bytes=size)


def _remove_others(layout: Layout, jobs: Sequence[ShardJob]) -> None:
    """Remove shards and receipts that are not of this pack."""
    names = {job.name for job in jobs}
    for folder, suffix in (
        (layout.final, ""),
        (layout.state / "receipts", ".parquet"),
        (layout.state / "redacted", ".parquet"),
    ):
        for path in sorted(folder.glob("*/*/shard-*")):
            if path.relative_to(folder).as_posix().removesuffix(suffix) not in names:
                path.unlink()


def _unsure(recipe: Recipe, ids: Iterable[str]) -> dict[str, str]:
    """By id what becomes of the samples of which nobody says whether there is anything to cover."""
    return dict.fromkeys(ids, recipe.redact.null) if recipe.redact else {}


def _verdicts(
    kept: _Kept, gone: Mapping[str, str], failed: Mapping[str, tuple[str, str]], unsure: Mapping[str, str]
) -> pa.Table:
    """Kept, all but those taken down, not drawn or failed: only these cost more than a place in a column."""
    ids = kept.entered.column("id").combine_chunks()
    verdicts = np.full(len(ids), "kept", object)
    reasons: list[dict[str, Any]] = []
    undrawn = kept.balanced.reasons if kept.balanced else {}
    absent = np.flatnonzero(_among(ids, {*gone, *failed, *unsure, *undrawn}))
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
        "unit": kept.entered.column("unit").combine_chunks(),
        "verdict": pa.array(verdicts, pa.string()),
        "rules": pa.ListArray.from_arrays(ends, rules),
        "reasons": pa.ListArray.from_arrays(ends, pa.array(reasons, REASON)),
        "captions_left_out": no_items,
    }
    arrays = [columns.get(field.name, pa.nulls(len(verdicts), field.type)) for field in VERDICTS]
    return pa.Table.from_arrays(arrays, schema=VERDICTS)


def _as_json(said: Mapping[str, str | None]) -> str:
    return json.dumps(said, ensure_ascii=False)


def _among(ids: pa.Array, some: Iterable[str]) -> npt.NDArray[np.bool_]:
    """Which of `ids` are among `some`."""
    return pc.is_in(ids, pa.array(sorted(some), pa.string())).to_numpy(zero_copy_only=False)
