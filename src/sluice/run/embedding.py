"""Embedding: the vectors of what 01_filtered kept, each computed once for an encoder.

A unit's vectors, of images and texts, lie in one table. Vectors that somebody has computed already come into the same
tables, so that what follows need not know. Other rules may keep other samples: then what is missing is
added, and what is there stays, though nothing asks for it now.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.engine import Engine, Task, WorkerContext
from sluice.errors import SampleFailure
from sluice.measures.base import Columns, Measure, View, rgb, rgb_covering, text
from sluice.media.limits import Limits
from sluice.models.base import Encoder, Identity, Preprocess, Vectors
from sluice.models.config import EncoderConfig, PrecomputedConfig, VectorsConfig
from sluice.models.load import load_encoder, load_precomputed
from sluice.models.precomputed import Precomputed, identify
from sluice.run.events import Events
from sluice.run.looking_up import looked_up, store_of
from sluice.run.measure_plan import LoadedPlan
from sluice.run.measuring import UnitCost, UnitPass
from sluice.run.takedown import taken_down
from sluice.run.units import run_units
from sluice.table.compute import pc
from sluice.table.ids import fingerprint
from sluice.table.layout import CHECKED, Layout
from sluice.table.read import UnitReader, read_table
from sluice.table.refs import RefReader
from sluice.table.vectors import VECTOR, cosines, read_vectors, vector_type, write_vectors

EMBED_UNIT: Final = "sluice.run.embedding:embed_unit"
_DESCRIBE: Final = "sluice.run.embedding:describe"
_OF: Final = b"sluice.of"  # what the samples were chosen by
_FINER: Final = 2  # images are decoded at so many times the model's px: it scales them down its own way
_ITEMS: Final = 2**16  # more than a sample has
KEPT_COLUMNS: Final = ("id", "verdict", "rules", "captions_left_out")


@dataclass(frozen=True)
class EncoderPlan:
    """Where the vectors come from: picklable, the same in every process."""

    config: VectorsConfig
    limits: Limits

    def of_files(self) -> str:
        """The hash of the vectors' files, where they are precomputed: a file may grow under an unchanged recipe."""
        return identify(self.config).hash if isinstance(self.config, PrecomputedConfig) else ""


@dataclass(frozen=True)
class EncoderFacts:
    """What a run needs to know of its encoder, without having it."""

    identity: Identity
    dim: int
    store: str  # the folder of its vectors: name@fingerprint


@dataclass(frozen=True)
class Chosen:
    """Whose items are embedded: the samples that `stage` kept, and those that it held for `take_up` alone."""

    stage: str
    fingerprint: str  # of what they were chosen by
    take_up: tuple[str, ...] = ()
    captions: str | None = None  # fingerprint of the generated captions that are embedded too

    @property
    def metadata(self) -> dict[bytes, bytes]:
        """What a table of these says of itself."""
        return {_OF: self.fingerprint.encode()}


@dataclass(frozen=True)
class EmbedJob:
    """A unit to embed."""

    unit: int
    chosen: Chosen


def encoder_facts(plan: EncoderPlan, engine: Engine) -> EncoderFacts:
    """Who the encoder of `plan` is. A worker loads it: this process need not hold a model."""
    (outcome,) = engine.run(_DESCRIBE, plan, [Task(0)])
    return outcome.result


def describe(plan: EncoderPlan, _: None, context: WorkerContext) -> EncoderFacts:
    """Load the encoder and say who it is. Runs in a worker."""
    config = plan.config
    who = _table(config) if isinstance(config, PrecomputedConfig) else _encoder(config)
    return EncoderFacts(who.identity, who.dim, _store_of(plan))


def embed_units(
    layout: Layout, plan: EncoderPlan, store: str, chosen: Chosen, units: int, engine: Engine, events: Events
) -> dict[str, float]:
    """Embed what is missing of the `chosen` samples; the seconds spent, over all workers."""
    path_of = partial(layout.measured, store, stage=CHECKED)
    return bring_up_to_date(EMBED_UNIT, (layout, plan), path_of, chosen, units, engine, events, "embedding")


def bring_up_to_date(
    function: str,
    shared: Any,
    path_of: Callable[[int], Path],
    chosen: Chosen,
    units: int,
    engine: Engine,
    events: Events,
    event: str,
    **told: str,
) -> dict[str, float]:
    """Run `function` over the units whose table is not of the `chosen` samples; `event` is told where there are any."""
    missing = [unit for unit in range(units) if made_for(path_of(unit)) != chosen.fingerprint]
    if missing:
        events.tell(event, **told, missing=len(missing))
    return run_units(engine, function, shared, [Task(unit, EmbedJob(unit, chosen)) for unit in missing], events)


def embed_unit(shared: tuple[Layout, EncoderPlan], job: EmbedJob, context: WorkerContext) -> UnitCost:
    """Bring the vectors of one unit up to date. Runs in a worker."""
    layout, plan = shared
    path = layout.measured(_store_of(plan), job.unit, CHECKED)

    def vectors_of(items: pa.Table) -> tuple[pa.Table, UnitCost]:
        if isinstance(plan.config, PrecomputedConfig):
            return _looked_up(layout, plan.config, job.unit, items)
        return measured(_loaded(plan.config, plan.limits), job.unit, items, context)

    table, cost = with_missing(layout, path, job, vectors_of, ("image", "text"))
    write_vectors(path, table)
    return cost


def with_missing(
    layout: Layout,
    path: Path,
    job: EmbedJob,
    make: Callable[[pa.Table], tuple[pa.Table, UnitCost]],
    kinds: Sequence[str],
) -> tuple[pa.Table, UnitCost]:
    """What lies at `path`, with what is missing of the job's chosen samples made. Runs in a worker."""
    known = _still_so(read_table(path, threads=False), job.chosen) if path.is_file() else None
    items = of_chosen(layout, job)
    items = items.filter(pc.is_in(items.column("kind"), pa.array(kinds, pa.string())))
    new = items if known is None else items.filter(pa.array(~np.isin(item_keys(items, items), item_keys(known, items))))
    made, cost = make(new)
    raw = read_table(layout.items(job.unit), ["id", "item"], threads=False)
    made = _with_source(made, raw, job.chosen)
    table = made if known is None else pa.concat_tables([made, known.cast(made.schema)])
    order = np.argsort(item_keys(table, raw))
    return table.take(pa.array(order)).replace_schema_metadata(job.chosen.metadata), cost


def measured(plan: LoadedPlan, unit: int, items: pa.Table, context: WorkerContext) -> tuple[pa.Table, UnitCost]:
    """What the measures of `plan` make of `items`."""
    with RefReader(plan.limits.bytes) as reader:
        work = UnitPass(_NO_SAMPLES, items, plan, reader, context)
        parts: list[pa.Table] = []
        for identity, measure in plan.identities().items():
            work.measure(measure.grain, {identity: measure})
            parts.append(work.table(identity, measure))
    cost = UnitCost(unit, _samples_in(items), work.failed_rows, work.bytes_read, work.seconds)
    return pa.concat_tables(parts), cost


def _looked_up(layout: Layout, config: PrecomputedConfig, unit: int, items: pa.Table) -> tuple[pa.Table, UnitCost]:
    """The vectors that the files of `config` hold of `items`."""
    started = time.perf_counter()
    samples, raw = (read_table(path, threads=False) for path in (layout.samples(unit), layout.items(unit)))
    made = looked_up(_table(config), config, items, samples, raw)
    lacking = len(made) - made.column("error").null_count
    return made, UnitCost(unit, _samples_in(items), lacking, 0, {"look up": time.perf_counter() - started})


def _samples_in(items: pa.Table) -> int:
    return pc.count_distinct(items.column("id")).as_py()


class UnitVectors:
    """The vectors of a unit's items."""

    def __init__(self, layout: Layout, store: str, unit: int) -> None:
        self._table, self._vectors = read_vectors(layout.measured(store, unit, CHECKED))
        self._index = ItemIndex(self._table)

    def of(self, ids: pa.ChunkedArray, items: pa.ChunkedArray) -> npt.NDArray[np.float16]:
        """The vector of each item, NaN where there is none."""
        if not len(self._table):
            return np.full((len(ids), self._vectors.shape[1]), np.nan, np.float16)
        row, absent = self._index.rows(ids, items)
        vectors = self._vectors[row]
        vectors[absent] = np.nan
        return vectors

    def fit(
        self, ids: pa.ChunkedArray, images: pa.ChunkedArray, texts: pa.ChunkedArray
    ) -> tuple[npt.NDArray[np.float32], pa.ChunkedArray, pa.ChunkedArray]:
        """The cosine of each image with its text, NaN where one has no vector; and why not, where that was a failure.

        The failures of images come before those of texts.
        """
        if not len(self._table):
            return np.full(len(ids), np.nan, np.float32), _no_texts(len(ids)), _no_texts(len(ids))
        (image, no_image), (text, no_text) = self._index.rows(ids, images), self._index.rows(ids, texts)
        cosine = cosines(self._vectors, self._vectors, image, text)
        cosine[no_image | no_text] = np.nan
        return cosine, self._errors(image, no_image), self._errors(text, no_text)

    def _errors(self, row: npt.NDArray[np.int64], absent: npt.NDArray[np.bool_]) -> pa.ChunkedArray:
        errors = self._table.column("error")
        if errors.null_count == len(errors):
            return _no_texts(len(row))
        return errors.take(pa.array(row, mask=absent))


def _no_texts(rows: int) -> pa.ChunkedArray:
    return pa.chunked_array([pa.nulls(rows, pa.string())])


class ItemIndex:
    """Which row of `known` is about an item; `known` has a row at least when it is asked."""

    def __init__(self, known: pa.Table) -> None:
        self._known = known
        self._keys = item_keys(known, known)
        self._order = np.argsort(self._keys, kind="stable")  # most lie in order already

    def rows(self, ids: pa.ChunkedArray, items: pa.ChunkedArray) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """The row about each item, and whether there is none."""
        wanted = item_keys(pa.table({"id": ids, "item": items}), self._known)
        place = np.minimum(np.searchsorted(self._keys, wanted, sorter=self._order), len(self._keys) - 1)
        row = self._order[place]
        return row, (self._keys[row] != wanted) | (wanted < 0)


def kept_of(verdicts: UnitReader, unit: int, take_up: tuple[str, ...] = ()) -> pa.Table:
    """The verdicts (`KEPT_COLUMNS`) on those samples of a unit that were kept, or held for `take_up` alone."""
    return entering(verdicts.read(unit), take_up)


def entering(verdicts: pa.Table, take_up: tuple[str, ...] = ()) -> pa.Table:
    """Those of the verdicts (`KEPT_COLUMNS`) that let a sample go on."""
    enters = pc.equal(verdicts.column("verdict"), "kept").to_numpy().copy()
    if take_up:
        held = np.flatnonzero(pc.equal(verdicts.column("verdict"), "held").to_numpy())
        rules = verdicts.column("rules").take(pa.array(held)).to_pylist()
        enters[held] = [set(spoke) <= set(take_up) for spoke in rules]
    return verdicts.filter(pa.array(enters))


def left_out_keys(kept: pa.Table, items: pa.Table) -> npt.NDArray[np.int64]:
    """The keys (`item_keys`) of the captions that are left out of the samples `kept`."""
    out = kept.column("captions_left_out").combine_chunks()
    if not len(out.flatten()):
        return np.zeros(0, np.int64)
    owner = kept.column("id").combine_chunks().take(out.value_parent_indices())
    return item_keys(pa.table({"id": owner, "item": out.flatten()}), items)


def of_chosen(layout: Layout, job: EmbedJob) -> pa.Table:
    """The items of the unit's chosen samples, without the captions that are left out; generated captions last."""
    items = read_table(layout.items(job.unit), threads=False)
    if job.chosen.captions is not None:
        generated = read_table(layout.generated(job.unit), threads=False)
        items = pa.concat_tables([items, generated.filter(pc.equal(generated.column("role"), "caption"))])
    with UnitReader(layout.verdicts(job.chosen.stage), KEPT_COLUMNS) as reader:
        kept = kept_of(reader, job.unit, job.chosen.take_up)
    gone = pa.array(sorted(taken_down(layout)), pa.string())  # its content is not looked at, nor sent anywhere
    kept = kept.filter(pc.invert(pc.is_in(kept.column("id"), gone)))
    items = items.filter(pc.is_in(items.column("id"), kept.column("id").combine_chunks()))
    return items.filter(pa.array(~np.isin(item_keys(items, items), left_out_keys(kept, items))))


def item_keys(table: pa.Table, among: pa.Table) -> npt.NDArray[np.int64]:
    """A number for each row's (id, item), equal where both are, in the order of the ids in `among`; -1: neither."""
    owner = pc.index_in(table.column("id"), among.column("id").combine_chunks())
    known = pc.and_(pc.is_valid(owner), pc.is_valid(table.column("item")))
    place = pc.fill_null(owner, 0).to_numpy().astype(np.int64) * _ITEMS
    item = pc.fill_null(table.column("item"), 0).to_numpy().astype(np.int64)
    return np.where(known.to_numpy(), place + item, -1)


def _with_source(table: pa.Table, raw: pa.Table, chosen: Chosen) -> pa.Table:
    """The table with `captions`: of generated captions, the fingerprint of what they are; of raw items, null."""
    generated = ~np.isin(item_keys(table, raw), item_keys(raw, raw))
    return table.append_column("captions", pa.array(np.where(generated, chosen.captions or "", ""), mask=~generated))


def _still_so(known: pa.Table, chosen: Chosen) -> pa.Table:
    """Without the vectors of generated captions that are no longer what they were: their numbers name others now."""
    same = pc.equal(known.column("captions"), chosen.captions or "")
    return known.filter(pc.fill_null(same, True))


def made_for(path: Path) -> str | None:
    """Whose samples a unit's vectors, scores or boxes are of; None where there are none."""
    return (pq.read_schema(path).metadata or {}).get(_OF, b"").decode() if path.is_file() else None


def _store_of(plan: EncoderPlan) -> str:
    """The folder of the vectors: its name follows from what makes them."""
    if isinstance(plan.config, PrecomputedConfig):
        return store_of(_table(plan.config), plan.config)
    return f"embedding@{fingerprint(*_loaded(plan.config, plan.limits).identities())}"


_ENCODERS: Final[dict[str, Encoder]] = {}  # by its config: a worker embeds many units
_TABLES: Final[dict[str, Precomputed]] = {}  # by its config and what its files hold


def _encoder(config: EncoderConfig) -> Encoder:
    said = config.model_dump_json()
    if said not in _ENCODERS:
        _ENCODERS[said] = load_encoder(config)
    return _ENCODERS[said]


def _table(config: PrecomputedConfig) -> Precomputed:
    said = f"{config.model_dump_json()} {identify(config).hash}"
    if said not in _TABLES:
        _TABLES[said] = load_precomputed(config)
    return _TABLES[said]


def _loaded(config: EncoderConfig, limits: Limits) -> LoadedPlan:
    """The encoder's two measures, ready."""
    return LoadedPlan(_measures(_encoder(config)), limits, config.batch)


def _measures(encoder: Encoder) -> tuple[Measure, Measure]:
    """The encoder as two measures: of images and of texts."""
    writes = {VECTOR: vector_type(encoder.dim)}

    def images(batch: Any) -> Columns:
        return {VECTOR: _whole(encoder.encode_images(batch.rgb))}

    def texts(batch: Any) -> Columns:
        return {VECTOR: _whole(encoder.encode_texts(batch.text))}

    model = encoder.identity.hash
    return (
        Measure("embedding.image", 1, (_view(encoder.preprocess),), writes, images, model=model),
        Measure("embedding.text", 1, (text(),), writes, texts, model=model),
    )


def _view(preprocess: Preprocess) -> View:
    """The smallest image from which the model's own scaling gives what it would give from the whole one, or nearly."""
    if preprocess.fit == "pad":
        return rgb(_FINER * max(preprocess.width, preprocess.height), exact=False)
    return rgb_covering(_FINER * (preprocess.resize or max(preprocess.width, preprocess.height)))


def _whole(vectors: Vectors) -> npt.NDArray[np.float16]:
    """The vectors as they are stored; a batch with one that has no direction fails, and its rows come one by one."""
    if np.isnan(vectors).any():
        raise SampleFailure("model", "the model gave no vector for it, or one without a direction")
    return vectors.astype(np.float16)


_NO_SAMPLES: Final = pa.table({"id": pa.array([], pa.string())})
