"""A unit captioned: what each captioner said of each sample on its route, committed once; and how that reads as items.

Answers are cached as they come (`caption/cache.py`): a unit whose worker died asks only what was not answered yet.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.caption.base import CaptionerIdentity, CaptionOutcome, CaptionRequest
from sluice.caption.cache import AnswerCache
from sluice.caption.config import CaptionerConfig, TransformersConfig
from sluice.caption.load import load_captioner
from sluice.caption.variation_config import ConsensusConfig, VariationsConfig
from sluice.engine import Engine, Task, WorkerContext
from sluice.errors import SampleFailure
from sluice.media.decode import decode
from sluice.media.header import read_header
from sluice.media.limits import Limits
from sluice.run.agreeing import consensus_folder, with_consensus
from sluice.run.measure_plan import MeasurePlan, load_plugins
from sluice.run.measuring import UnitPass
from sluice.run.pair_rules import with_pairs_judged
from sluice.run.rules.rule import CompiledRule
from sluice.run.said import SAID, as_items, said_table, texts_said
from sluice.run.varying import Varied, Varying, of_captioners
from sluice.table.commit import write_table
from sluice.table.compute import pc
from sluice.table.layout import CAPTIONED, FILTERED, Layout
from sluice.table.read import UnitReader, read_table
from sluice.table.refs import Ref, RefReader

CAPTION_UNIT: Final = "sluice.run.captioning:caption_unit"
_DESCRIBE: Final = "sluice.run.captioning:describe"
_OF: Final = b"sluice.of"
_REF: Final = ("container", "uri", "member", "offset", "size")


@dataclass(frozen=True)
class CaptionPlan:
    """Who captions, and what is measured of the captions: picklable, the same in every process."""

    captioners: tuple[CaptionerConfig, ...]
    measures: MeasurePlan
    cache: str  # file of the answers
    scope: str  # whose budgets they are: the run's, for all that is asked in its name
    again: bool = False  # ask anew what brought an answer that was none
    consensus: ConsensusConfig | None = None
    variations: VariationsConfig | None = None
    pair_rules: tuple[CompiledRule, ...] = ()  # which pairs of questions and answers are left out


@dataclass(frozen=True)
class CaptionJob:
    """A unit to caption, and the fingerprint of what its routes and captioners follow from."""

    unit: int
    of: str


@dataclass(frozen=True)
class CaptionCost:
    """What captioning a unit took."""

    unit: int
    samples: int
    captions: int
    failures: int
    stopped: str | None  # why a captioner takes no more, and what is left


def caption_unit(shared: tuple[Layout, CaptionPlan], job: CaptionJob, context: WorkerContext) -> CaptionCost:
    """Caption the samples of a unit that are on the way to it, and vary the captions. Runs in a worker."""
    layout, plan = shared
    load_plugins(plan.measures.plugins)
    with UnitReader(layout.routes, ["id", "captioned", "goes_on", "held"]) as reader:
        routes = reader.read(job.unit)
    ids = routes.filter(routes.column("captioned")).column("id").combine_chunks()
    samples = _Samples(layout, job.unit, routes.filter(routes.column("goes_on")).column("id").combine_chunks())
    numbers = samples.next_items()
    said: dict[str, pa.Table] = {}  # by folder
    stopped: str | None = None
    with closing(_open_cache(Path(plan.cache))) as cache:
        for config in plan.captioners:
            with closing(load_captioner(config, cache, scope=plan.scope, again=plan.again)) as captioner:
                with RefReader(plan.measures.limits.bytes) as refs:
                    requests = samples.requests(ids, refs, plan.measures.limits)
                    table = _table(captioner.caption(requests), captioner.identity, numbers, samples)
                said[captioner.identity.folder] = pa.concat_tables([table, samples.unreadable(captioner.identity)])
                stopped = stopped or captioner.stopped
        if plan.consensus is not None and not stopped:
            together = pa.concat_tables(list(said.values()))
            flagged, agreed = with_consensus(together, plan.consensus, numbers)
            starts = np.cumsum([0, *map(len, said.values())]).tolist()
            parts = zip(said.items(), starts, strict=False)
            said = {folder: flagged.slice(start, len(table)) for (folder, table), start in parts}
            said[consensus_folder(plan.consensus)] = agreed
        if plan.variations is not None and not stopped:
            varying = Varying(plan.variations, cache, scope=plan.scope, again=plan.again)
            together = pa.concat_tables([SAID.empty_table(), *said.values()])
            known = samples.texts()
            for row in texts_said(together):
                known.setdefault(row["id"], []).append(row["text"])
            captions: list[Varied] = []
            if plan.variations.of != "generated":
                captions += _of_source(layout, job.unit, routes)
            if plan.variations.of != "source":
                captions += of_captioners(together)
            captions = [replace(one, fields=samples.fields(one.sample)) for one in captions]
            said[varying.folder] = varying.vary(captions, known, numbers)
            stopped = varying.stopped
    together = pa.concat_tables([SAID.empty_table(), *said.values()])
    if not stopped:  # else a later run, with more to spend, goes on with this unit
        for folder, table in said.items():
            write_table(layout.captions(folder, job.unit), table)
        items = as_items(together)
        measured = _measure(layout, plan.measures, job.unit, items, context)
        items = with_pairs_judged(items, measured, plan.pair_rules)
        write_table(layout.generated(job.unit), items.replace_schema_metadata({_OF: job.of.encode()}))
    failed = together.column("failure_class")
    made = pc.sum(pc.and_(pc.is_valid(together.column("text")), pc.is_null(failed))).as_py() or 0
    return CaptionCost(job.unit, len(ids), made, len(failed) - failed.null_count, stopped)


def captioned_for(layout: Layout, unit: int) -> str | None:
    """What the captions of a unit follow from; None where there are none yet."""
    path = layout.generated(unit)
    return (pq.read_schema(path).metadata or {}).get(_OF, b"").decode() if path.is_file() else None


def known_folders(plan: CaptionPlan) -> list[str]:
    """The folders of all that makes captions, in their order; of a model on this machine what the recipe says of it.

    Nothing is asked, no model is loaded, and nothing is left in the run. A captioner that there is not is found out.
    """
    return _folders(plan, models=False)


def caption_folders(plan: CaptionPlan, engine: Engine) -> list[str]:
    """The folders of all that makes captions. A worker loads the models that there are: this process holds none."""
    if not any(isinstance(config, TransformersConfig) for config in plan.captioners):
        return known_folders(plan)
    (outcome,) = engine.run(_DESCRIBE, plan, [Task(0)])
    return outcome.result


def describe(plan: CaptionPlan, _: None, context: WorkerContext) -> list[str]:
    """Load the captioners and say who they are. Runs in a worker."""
    return _folders(plan, models=True)


def _folders(plan: CaptionPlan, *, models: bool) -> list[str]:
    load_plugins(plan.measures.plugins)
    folders: list[str] = []
    with _no_cache() as cache:
        for config in plan.captioners:
            if isinstance(config, TransformersConfig) and not models:
                folders.append(config.model_dump_json())
                continue
            with closing(load_captioner(config, cache)) as captioner:
                folders.append(captioner.identity.folder)
        if plan.consensus is not None:
            folders.append(consensus_folder(plan.consensus))
        if plan.variations is not None:
            folders.append(Varying(plan.variations, cache).folder)
    return folders


def _open_cache(path: Path) -> AnswerCache:
    path.parent.mkdir(parents=True, exist_ok=True)
    return AnswerCache(path)


@contextmanager
def _no_cache() -> Generator[AnswerCache]:
    """A cache that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="sluice-") as nowhere, closing(AnswerCache(Path(nowhere) / "cache")) as one:
        yield one


def _of_source(layout: Layout, unit: int, routes: pa.Table) -> list[Varied]:
    """The captions of the source that go on with their samples; one of a sample held for them is no model to follow."""
    goes_on = pc.and_not(routes.column("goes_on"), routes.column("held"))
    wanted = routes.filter(goes_on).column("id").combine_chunks()
    names = pq.read_schema(layout.rows).names
    columns = ["id", "text_item", "text", "declared_language", "alternative"]
    with (
        UnitReader(layout.rows, [*columns, *(["language"] if "language" in names else [])]) as reader,
        UnitReader(layout.verdicts(FILTERED), ["id", "captions_left_out"]) as verdicts,
    ):
        rows = reader.read(unit)
        out = {row["id"]: set(row["captions_left_out"]) for row in verdicts.read(unit).to_pylist()}
    rows = rows.filter(pc.and_(rows.column("alternative"), pc.is_in(rows.column("id"), wanted)))
    return [
        Varied(row["id"], row["text_item"], row["text"], row["declared_language"] or row.get("language"))
        for row in rows.to_pylist()
        if row["text"] and row["text_item"] not in out.get(row["id"], ())
    ]


class _Samples:
    """The samples of a unit that are to be captioned, with all that a captioner may want of them."""

    def __init__(self, layout: Layout, unit: int, ids: pa.Array) -> None:
        samples = read_table(layout.samples(unit), threads=False)
        self._samples = samples.filter(pc.is_in(samples.column("id"), ids)).to_pylist()
        items = read_table(layout.items(unit), threads=False)
        self._items: dict[str, list[dict[str, Any]]] = {}
        for item in items.filter(pc.is_in(items.column("id"), ids)).to_pylist():
            self._items.setdefault(item["id"], []).append(item)
        self._unreadable: dict[str, SampleFailure] = {}
        self._fields = {sample["id"]: _fields(sample, self._items.get(sample["id"], [])) for sample in self._samples}

    def next_items(self) -> Counter[str]:
        """By sample, the number of its next item."""
        return Counter({key: 1 + max(item["item"] for item in items) for key, items in self._items.items()})

    def language(self, sample: str) -> str | None:
        """The language that the sample's first text is declared to be in."""
        texts = (item for item in self._items.get(sample, ()) if item["kind"] == "text")
        return next((item["language"] for item in texts if item["language"]), None)

    def texts(self) -> dict[str, list[str]]:
        """By sample, its texts."""
        return {
            sample: [item["text"] for item in items if item["kind"] == "text" and item["text"]]
            for sample, items in self._items.items()
        }

    def fields(self, sample: str) -> Mapping[str, object]:
        """What templates and prompts may name of a sample."""
        return self._fields[sample]

    def requests(self, ids: pa.Array, refs: RefReader, limits: Limits) -> Iterator[CaptionRequest]:
        """A request a sample of `ids`, its bytes read as it is asked for.

        What cannot be read is `unreadable` thereafter.
        """
        self._unreadable.clear()
        wanted = set(ids.to_pylist())
        for sample in self._samples:
            if sample["id"] not in wanted:
                continue
            image = next((item for item in self._items.get(sample["id"], []) if item["kind"] == "image"), None)
            data: bytes | None = None
            if image is not None:
                try:
                    data = refs.read(Ref(*(image[name] for name in _REF)))
                except SampleFailure as failure:
                    self._unreadable[sample["id"]] = failure
                    continue  # nobody is asked for it
            yield CaptionRequest(
                sample["id"],
                data,
                None if data is None else (lambda bytes_=data: _pixels(bytes_, limits)),
                self._fields[sample["id"]],
                self.language(sample["id"]),
            )

    def unreadable(self, identity: CaptionerIdentity) -> pa.Table:
        """The samples whose image could not be read for the requests last made, as failures."""
        rows = [
            {"id": sample, "captioner": identity.name, "kind": identity.kind, "attempts": 0}
            | {"failure_class": failure.failure_class, "failure_kind": "decode", "failure": failure.message}
            for sample, failure in self._unreadable.items()
        ]
        return said_table(rows)


def _fields(sample: Mapping[str, Any], items: Sequence[Mapping[str, Any]]) -> dict[str, object]:
    texts = [item["text"] for item in items if item["kind"] == "text" and item["text"]]
    fields = {
        **(json.loads(sample["meta"]) if sample["meta"] else {}),
        **{name: sample[name] for name in ("key", "source", "author", "licence", "source_url", "dataset")},
        "caption": texts[0] if texts else None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _pixels(data: bytes, limits: Limits) -> Any:
    return decode(data, read_header(data, limits), None, "rgb", limits)


def _table(
    outcomes: Iterator[CaptionOutcome], identity: CaptionerIdentity, numbers: Counter[str], samples: _Samples
) -> pa.Table:
    """What a captioner said, a row a caption or failure; `numbers` counts on."""
    who = {
        "captioner": identity.name,
        "model": identity.model,
        "revision": identity.revision,
        "prompt": identity.prompt,
        "prompt_version": identity.prompt_version,
        "temperature": identity.temperature,
        "seed": identity.seed,
    }
    rows: list[dict[str, Any]] = []
    for outcome in outcomes:
        took = vars(outcome.spent)
        for place, caption in enumerate(outcome.captions):
            rows.append(
                {
                    "id": outcome.id,
                    "item": numbers[outcome.id],
                    "kind": caption.kind,
                    "text": caption.text,
                    "data": caption.data,
                    "language": caption.language or samples.language(outcome.id),
                    **who,
                    **(took if not place else {}),  # an exchange may bring several: it is counted once
                }
            )
            numbers[outcome.id] += max(1, 2 * len(caption.pairs))
        if outcome.failure is not None:
            failure = outcome.failure
            told = {"failure_class": failure.failure_class, "failure_kind": failure.kind, "failure": failure.message}
            rows.append({"id": outcome.id, "kind": identity.kind, **who, **took, **told})
    return said_table(rows)


def _measure(layout: Layout, plan: MeasurePlan, unit: int, items: pa.Table, context: WorkerContext) -> list[pa.Table]:
    """Measure what was said as texts of the source are: the same measures, the same columns. Gives the tables."""
    loaded = plan.load()
    wanted = {key: measure for key, measure in loaded.identities().items() if measure.grain == "text"}
    with RefReader(plan.limits.bytes) as refs:
        part = UnitPass(read_table(layout.samples(unit), threads=False).slice(0, 0), items, loaded, refs, context)
        part.measure("text", wanted)
        tables = {identity: part.table(identity, measure) for identity, measure in wanted.items()}
    for identity, table in tables.items():
        write_table(layout.measured(identity, unit, CAPTIONED), table)
    return list(tables.values())
