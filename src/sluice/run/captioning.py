"""A unit captioned: what each captioner said of each sample on its route, committed once; and how that reads as items.

Answers are cached as they come (`caption/cache.py`): a unit whose worker died asks only what was not answered yet.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from sluice.caption.base import CaptionerIdentity, CaptionOutcome, CaptionRequest
from sluice.caption.cache import AnswerCache
from sluice.caption.config import CaptionerConfig
from sluice.caption.load import load_captioner
from sluice.engine.base import WorkerContext
from sluice.errors import SampleFailure
from sluice.media.decode import decode
from sluice.media.header import read_header
from sluice.media.limits import Limits
from sluice.run.measure_plan import MeasurePlan, load_plugins
from sluice.run.measuring import UnitPass
from sluice.table.commit import write_table
from sluice.table.compute import pc
from sluice.table.layout import CAPTIONED, Layout
from sluice.table.read import UnitReader, read_table
from sluice.table.refs import Ref, RefReader
from sluice.table.schema import ITEMS

CAPTION_UNIT: Final = "sluice.run.captioning:caption_unit"
SAID: Final = pa.schema(
    [
        ("id", pa.string()),
        ("item", pa.int16()),  # the number that the caption has in its sample; null for a failure
        ("captioner", pa.string()),
        ("kind", pa.string()),  # short | dense | ocr | grounded | qa
        ("text", pa.string()),
        ("data", pa.string()),  # JSON: boxes or pairs
        ("language", pa.string()),  # that was asked for
        ("model", pa.string()),
        ("revision", pa.string()),
        ("prompt", pa.string()),
        ("prompt_version", pa.string()),
        ("temperature", pa.float32()),
        ("seed", pa.int64()),
        ("tokens_in", pa.int64()),
        ("tokens_out", pa.int64()),
        ("cost", pa.float64()),
        ("seconds", pa.float64()),  # of the exchange that gave it
        ("attempts", pa.int16()),
        ("failure_class", pa.string()),
        ("failure_kind", pa.string()),
        ("failure", pa.string()),
    ]
)
_OF: Final = b"sluice.of"
_REF: Final = ("container", "uri", "member", "offset", "size")


@dataclass(frozen=True)
class CaptionPlan:
    """Who captions, and what is measured of the captions: picklable, the same in every process."""

    captioners: tuple[CaptionerConfig, ...]
    measures: MeasurePlan
    cache: str  # file of the answers
    again: bool = False  # ask anew what brought an answer that was none


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
    """Caption the samples of a unit that are on the way to it. Runs in a worker."""
    layout, plan = shared
    load_plugins(plan.measures.plugins)
    with UnitReader(layout.routes, ["id", "captioned"]) as reader:
        routes = reader.read(job.unit)
    ids = routes.filter(routes.column("captioned")).column("id").combine_chunks()
    samples = _Samples(layout, job.unit, ids)
    numbers = samples.next_items()
    said: list[pa.Table] = []
    path = Path(plan.cache)
    path.parent.mkdir(parents=True, exist_ok=True)
    cache = AnswerCache(path)
    stopped: str | None = None
    try:
        for config in plan.captioners:
            captioner = load_captioner(config, cache, scope=str(layout.root.absolute()), again=plan.again)
            try:
                with RefReader(plan.measures.limits.bytes) as refs:
                    requests = samples.requests(refs, plan.measures.limits)
                    table = _table(captioner.caption(requests), captioner.identity, numbers, samples)
                    table = pa.concat_tables([table, samples.unreadable(captioner.identity)])
                stopped = stopped or captioner.stopped
            finally:
                captioner.close()
            if not stopped:  # else a later run, with more to spend, goes on with this unit
                write_table(layout.captions(captioner.identity.folder, job.unit), table)
            said.append(table)
    finally:
        cache.close()
    together = pa.concat_tables([SAID.empty_table(), *said])
    if not stopped:
        items = _items(together)
        _measure(layout, plan.measures, job.unit, items, context)
        write_table(layout.generated(job.unit), items.replace_schema_metadata({_OF: job.of.encode()}))
    failed = together.column("failure_class")
    return CaptionCost(job.unit, len(ids), failed.null_count, len(failed) - failed.null_count, stopped)


def captioned_for(layout: Layout, unit: int) -> str | None:
    """What the captions of a unit follow from; None where there are none yet."""
    path = layout.generated(unit)
    return (pq.read_schema(path).metadata or {}).get(_OF, b"").decode() if path.is_file() else None


def captioner_folders(plan: CaptionPlan) -> list[str]:
    """The folders of the captioners, in the order of the recipe. Nothing is asked, and nothing is left in the run."""
    load_plugins(plan.measures.plugins)
    folders: list[str] = []
    with (
        tempfile.TemporaryDirectory(prefix="sluice-") as nowhere,
        closing(AnswerCache(Path(nowhere) / "cache")) as cache,
    ):
        for config in plan.captioners:
            with closing(load_captioner(config, cache)) as captioner:
                folders.append(captioner.identity.folder)
    return folders


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

    def next_items(self) -> Counter[str]:
        """By sample, the number of its next item."""
        return Counter({key: 1 + max(item["item"] for item in items) for key, items in self._items.items()})

    def language(self, sample: str) -> str | None:
        """The language that the sample's first text is declared to be in."""
        texts = (item for item in self._items.get(sample, ()) if item["kind"] == "text")
        return next((item["language"] for item in texts if item["language"]), None)

    def requests(self, refs: RefReader, limits: Limits) -> Iterator[CaptionRequest]:
        """A request a sample, its bytes read as it is asked for; what cannot be read is `unreadable` thereafter."""
        self._unreadable.clear()
        for sample in self._samples:
            items = self._items.get(sample["id"], [])
            image = next((item for item in items if item["kind"] == "image"), None)
            texts = [item["text"] for item in items if item["kind"] == "text" and item["text"]]
            fields = {
                **(json.loads(sample["meta"]) if sample["meta"] else {}),
                **{name: sample[name] for name in ("key", "source", "author", "licence", "source_url", "dataset")},
                "caption": texts[0] if texts else None,
            }
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
                {name: value for name, value in fields.items() if value is not None},
                self.language(sample["id"]),
            )

    def unreadable(self, identity: CaptionerIdentity) -> pa.Table:
        """The samples whose image could not be read for the requests last made, as failures."""
        rows = [
            {"id": sample, "captioner": identity.name, "kind": identity.kind, "attempts": 0}
            | {"failure_class": failure.failure_class, "failure_kind": "decode", "failure": failure.message}
            for sample, failure in self._unreadable.items()
        ]
        return pa.Table.from_pylist(rows, SAID)


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
        spent = outcome.spent
        took = {
            "tokens_in": spent.tokens_in,
            "tokens_out": spent.tokens_out,
            "cost": spent.cost,
            "seconds": spent.seconds,
            "attempts": spent.attempts,
        }
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
    return pa.Table.from_pylist(rows, SAID)


def _items(said: pa.Table) -> pa.Table:
    """What was said as items of their samples: captions, and the questions and answers of pairs."""
    rows: list[Mapping[str, Any]] = []
    for row in said.to_pylist():
        if row["failure_class"] is not None or not row["text"]:
            continue
        origin = {name: row[name] for name in ("captioner", "model", "revision", "prompt_version")}
        data = json.loads(row["data"]) if row["data"] else {}
        texts = [("caption", row["text"])]
        if row["kind"] == "qa":
            texts = [(role, pair[role]) for pair in data.pop("pairs", ()) for role in ("question", "answer")]
        for place, (role, text) in enumerate(texts):
            meta = json.dumps({**origin, **data}, ensure_ascii=False)
            made = {"id": row["id"], "item": row["item"] + place, "kind": "text", "role": role, "text": text}
            rows.append({**made, "language": row["language"], "meta": meta})
    return pa.Table.from_pylist(rows, ITEMS)


def _measure(layout: Layout, plan: MeasurePlan, unit: int, items: pa.Table, context: WorkerContext) -> None:
    """Measure the captions as texts of the source are: the same measures, the same columns."""
    loaded = plan.load()
    wanted = {key: measure for key, measure in loaded.identities().items() if measure.grain == "text"}
    with RefReader(plan.limits.bytes) as refs:
        part = UnitPass(read_table(layout.samples(unit), threads=False).slice(0, 0), items, loaded, refs, context)
        part.measure("text", wanted)
        for identity, measure in wanted.items():
            write_table(layout.measured(identity, unit, CAPTIONED), part.table(identity, measure))
