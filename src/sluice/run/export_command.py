"""`export`: more formats of a finished run, later, in its own pack or into a folder; what is there is not touched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from sluice.errors import RecipeError, RunError
from sluice.pack.base import FORMATS
from sluice.pack.formats import packer
from sluice.pack.held import ON_DISKS_ALONE
from sluice.run.exports import Exports, of_folder, of_run
from sluice.run.final import PackBasis, final_stage, place_of, refuse_failures
from sluice.run.kept import Kept
from sluice.run.packing import Written, read_receipt
from sluice.run.recipe import PackConfig, Recipe, largest_shard
from sluice.run.reporting import refresh_report
from sluice.run.stage import stage_record
from sluice.run.stored import checked, exported, is_url
from sluice.table.commit import sweep
from sluice.table.compute import pc
from sluice.table.layout import FINAL
from sluice.table.read import read_table
from sluice.table.remote import masked
from sluice.wording import counted

if TYPE_CHECKING:
    from sluice.engine import Engine
    from sluice.run.conductor import Prepared
    from sluice.run.events import Events, Listener
    from sluice.run.ledger import Run


@dataclass(frozen=True)
class Exported:
    """What an export wrote."""

    folder: str
    formats: tuple[str, ...]
    samples: int
    shards: int
    bytes: int
    written: int  # shards that were not there yet

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        return dict(vars(self))

    def __str__(self) -> str:
        formats = ", ".join(self.formats)
        new = "all of them there already" if not self.written else f"{counted(self.written, 'shard')} written"
        return (
            f"{self.folder}: {counted(self.samples, 'sample')} as {formats} in {counted(self.shards, 'shard')}, "
            f"{counted(self.bytes, 'byte')}; {new}"
        )


def export(
    run: Run,
    formats: Sequence[str],
    *,
    into: str | Path | None = None,
    shard_bytes: int | None = None,
    shard_samples: int | None = None,
    listener: Listener | None = None,
) -> Exported:
    """Write the packed samples in `formats` too: into the run's own pack, or `into` a folder as a pack of its own.

    The samples, their order and their splits are those of the run. Doing it again writes what is missing, and after a
    takedown those shards alone that held what is gone. RunError where a sample cannot be read any more: a format with
    fewer samples would not be the same dataset.
    """
    from sluice.run.conductor import make_engine, prepare
    from sluice.run.events import Events
    from sluice.run.holding import working_in

    packs = [_pack(run.recipe, name, shard_bytes, shard_samples) for name in dict.fromkeys(formats)]
    prepared = prepare(run.file)
    written: list[str] = []

    def told(event: dict[str, Any]) -> None:
        if event["event"] == "shard_written":
            written.append(event["shard"])
        if listener:
            listener(event)

    with working_in(run.layout) as watch:
        if not stage_record(run.layout, FINAL) and not of_run(run.layout).packs:
            raise RunError(f"{run.layout.named}: {FINAL} is not finished; run the recipe to its end first")
        sweep(run.layout.root)
        with Events(run.layout, watch(told)) as events, make_engine(run.file) as engine:
            if into is None:
                folder, shards = run.layout.named_final, _beside(run, prepared, packs, engine, events)
            else:
                folder, shards = _elsewhere(run, prepared, packs, into, engine, events)
    mine = {name: found for name, found in shards.items() if name.partition("/")[0] in formats}
    samples = sum(found.samples for found in mine.values()) // len(packs)
    return Exported(
        folder,
        tuple(pack.format for pack in packs),
        samples,
        len(mine),
        sum(found.bytes for found in mine.values()),
        len(written),
    )


def _pack(recipe: Recipe, format: str, shard_bytes: int | None, shard_samples: int | None) -> PackConfig:
    """The format, in shards cut as those of the recipe's first one: the same number holds the same samples."""
    if format not in FORMATS:
        raise RecipeError(f"there is no format {format!r} (there are: {', '.join(FORMATS)})")
    packer(format)  # a package that is missing is said now
    first = recipe.pack[0]
    try:
        return PackConfig.model_validate(
            {
                "format": format,
                "shard_bytes": shard_bytes or min(first.shard_bytes, largest_shard(format)),
                "shard_samples": shard_samples or first.shard_samples,
                "columns": first.columns,
            }
        )
    except ValidationError as error:
        raise RecipeError(f"export: {error.errors()[0]['msg']}") from error


def _beside(
    run: Run, prepared: Prepared, packs: Sequence[PackConfig], engine: Engine, events: Events
) -> dict[str, Written]:
    """The formats in the run's own pack; all shards of it."""
    from sluice.run.conductor import make_model_engine

    for pack in packs:
        if any(pack.format == named.format for named in run.recipe.pack):
            raise RecipeError(f"the recipe has the format {pack.format} already: `sluice run` keeps it up to date")
    if run.layout.store:
        _refuse_in_stores(packs)
    before = of_run(run.layout)

    def brought_up_to_date(exporting: frozenset[str] = frozenset()) -> None:
        with events.stage(FINAL):
            models = partial(make_model_engine, run.file)
            final_stage(run.file, run.layout, engine, events, prepared.plan, models, exporting)

    before.adding(packs).keep()
    try:
        brought_up_to_date(frozenset(pack.format for pack in packs))
    except RunError:
        before.keep()  # and what was there is finished again, without what could not be written
        brought_up_to_date()
        raise
    refresh_report(run.file, run.layout)
    return _shards(run)


def _shards(run: Run) -> dict[str, Written]:
    """The finished shards of the run's own pack, by name."""
    names = pc.unique(read_table(run.layout.manifest, columns=["shard"]).column("shard")).to_pylist()
    found = {name: read_receipt(place_of(run.layout), name) for name in names}
    return {name: written for name, written in found.items() if written is not None}


def _elsewhere(
    run: Run, prepared: Prepared, packs: Sequence[PackConfig], into: Path | str, engine: Engine, events: Events
) -> tuple[str, dict[str, Written]]:
    """A pack of its own in the folder `into`, or behind that URL."""
    layout = run.layout
    if not stage_record(layout, FINAL):
        raise RunError(f"{layout.named}: {FINAL} is not finished; run the recipe to its end first")
    exports = of_folder(layout, _checked(into, packs))
    _refuse_others(exports)
    exports = exports.adding(packs)
    exports.keep()
    with exported(exports) as commit:
        shards = _written(run, prepared, exports, engine, events)
        commit()
    return exports.named, shards


def _checked(into: Path | str, packs: Sequence[PackConfig]) -> Path | str:
    """The place of an export; RecipeError where nothing can be written to it."""
    if not is_url(str(into)):
        return Path(into)
    _refuse_in_stores(packs)
    try:
        return checked(str(into))
    except ValueError as error:
        raise RecipeError(f"--into {masked(str(into))}: {error}") from None


def _refuse_in_stores(packs: Sequence[PackConfig]) -> None:
    for pack in packs:
        if pack.format in ON_DISKS_ALONE:
            raise RecipeError(f"{pack.format} cannot be written into a store: export it to a disk and copy that")


def _written(run: Run, prepared: Prepared, exports: Exports, engine: Engine, events: Events) -> dict[str, Written]:
    """The shards of a pack of its own, and what lists them."""
    layout, place = run.layout, exports.place
    sweep(place.folder)
    basis = PackBasis.of(run.file, layout, prepared.plan)
    kept = Kept.load(layout, run.file, basis.balancing)
    verdicts = read_table(layout.verdicts(FINAL), columns=["id", "verdict"])
    absent = verdicts.filter(pc.not_equal(verdicts.column("verdict"), "kept")).column("id").to_pylist()
    packing = basis.packing(run.file, layout, kept, exports.packs, place)
    jobs = packing.jobs(set(absent))
    packing.write(jobs, engine, events)
    shards = {one.job.name: found for one in jobs if (found := read_receipt(place, one.job.name))}
    refuse_failures(shards, frozenset(pack.format for pack in exports.packs))
    packing.finish(shards)
    return shards


def _refuse_others(exports: Exports) -> None:
    """A pack removes from the folders of its formats what is not of it: they must be ours."""
    if exports.packs or exports.store:  # a store is asked when it is taken
        return
    strange = [name for name in FORMATS if (exports.folder / name).exists()]
    if strange:
        raise RunError(
            f"{exports.folder / strange[0]} is there already and no export of this run; choose another --into"
        )
