"""The part of `plan` that knows models: what captions and vectors of the whole will take, from those of the sample.

The sample goes through 02_captioned and 03_quality_checked as a run would send it. A service is asked only where the
user says so: what it answers is cached in the run folder, so a run pays for none of it again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import pyarrow as pa

from sluice.caption.base import Caption, CaptionFailure, CaptionOutcome, Spent
from sluice.caption.config import Limits, ServiceBase
from sluice.caption.forecast import Forecast, forecast
from sluice.caption.translate_config import TranslatorConfig
from sluice.engine import Engine
from sluice.run.caption_stage import Captions, caption_stage, stage_name
from sluice.run.captioning import caption_folders
from sluice.run.checking import Checks, check_stage
from sluice.run.embedding import Chosen, embed_units, encoder_facts
from sluice.run.events import Events
from sluice.run.rules.rule import CompiledRule
from sluice.run.stage import VERDICT_KINDS, decided_by, done, stage_record
from sluice.table.commit import write_json
from sluice.table.ids import fingerprint
from sluice.table.layout import CAPTIONED, CHECKED, FILTERED, Layout
from sluice.table.read import read_table

_PAID: Final = "http"  # the type of encoders that are services


@dataclass(frozen=True)
class ModelsPlan:
    """What the stages with models will come to, as far as the sample tells."""

    captions: Mapping[str, Forecast]  # by captioner, and by method of variations that asks a translator
    requests: Mapping[str, float]  # by the same
    unpriced: Sequence[str]  # services whose price nobody stated
    embedding: float | None  # seconds of one worker for the whole
    verdicts: Mapping[str, Mapping[str, int]]  # by stage: the sample's counts
    notes: Sequence[str]  # what is not forecast, and how it would be

    @property
    def cost(self) -> float:
        """Money, as far as prices are known."""
        return sum(one.cost.expected for one in self.captions.values() if one.cost)

    @property
    def captioning(self) -> float:
        """Seconds of captioning: one captioner after the other."""
        return sum(one.seconds.expected for one in self.captions.values())

    def __str__(self) -> str:
        lines: list[str] = []
        for name, one in self.captions.items():
            tokens = _range(one.tokens_in, "tokens in"), _range(one.tokens_out, "tokens out"), _range(one.cost, "money")
            told = [f"{one.images:,} texts", f"{self.requests[name]:,.0f} requests", *filter(None, tokens)]
            lines.append(f"{name}: {', '.join(told)}")
        for stage, counts in self.verdicts.items():
            entered = max(1, counts["in"])
            told = [f"{kind} {100 * counts[kind] / entered:.1f}%" for kind in VERDICT_KINDS]
            lines.append(f"{stage}: of {counts['in']:,} that came in, {', '.join(told)}")
        return "\n".join([*lines, *self.notes])


def plan_models(
    captions: Captions | None,
    checks: Checks | None,
    rules: Sequence[CompiledRule],
    sample: Layout,
    units: int,
    scale: float,
    engine: Engine,
    events: Events,
    *,
    workers: int,
    ask: bool,
) -> ModelsPlan:
    """Send the sample, decided by 01_filtered, through 02 and 03 and forecast; `scale` is the whole over the sample.

    `ask`: services are asked, and may charge.
    """
    notes: list[str] = []
    paid = checks is not None and checks.plan.config.type == _PAID
    if checks is not None:
        checks = replace(checks, config=checks.config.model_copy(update={"retrieval": None}))  # of the whole set
    if paid and not ask:
        notes.append("vectors: the encoder is a service and was not asked: `--ask` asks it about the sample")
    embedding = _embedded(checks, sample, units, engine, events) if checks and (ask or not paid) else None
    if captions and ask:
        caption_stage(captions, checks, rules, sample, units, engine, events)
    asked = captions is not None and done(sample, CAPTIONED, stage_name(captions, checks, sample))
    if captions and not asked:
        notes.append("captions: nobody was asked: `sluice plan RECIPE --ask` asks about the sample (services charge)")
    if checks and (ask or not paid) and (captions is None or asked):
        check_stage(checks, sample, CAPTIONED if captions else FILTERED, units, engine, events)
    outcomes = dict(_outcomes(sample, captions, units, engine)) if captions and asked else {}
    found: dict[str, Forecast] = {}
    for name, some in outcomes.items():
        limits = _limits(captions, name)
        if len(some) < 2:
            notes.append(f"{name}: {len(some)} of the sample were asked about, too few to tell: take a larger sample")
            continue
        found[name] = forecast(
            some,
            round(scale * len(some)),
            concurrency=workers * (limits.concurrency if limits else 1),
            tokens_per_minute=limits.tokens_per_minute if limits else None,
        )
    requests = {name: scale * sum(one.spent.attempts for one in outcomes[name]) for name in found}
    unpriced = [name for name, one in found.items() if one.cost is None and _limits(captions, name)]
    if paid:
        unpriced.append("the encoder")
    stages = (stage for stage in (CAPTIONED, CHECKED) if sample.stage_file(stage).is_file())
    verdicts = {stage: {kind: stage_record(sample, stage)[kind] for kind in ("in", *VERDICT_KINDS)} for stage in stages}
    return ModelsPlan(found, requests, unpriced, None if embedding is None else embedding * scale, verdicts, notes)


def _embedded(checks: Checks, sample: Layout, units: int, engine: Engine, events: Events) -> float:
    """Seconds, of one worker, that the vectors of the sample took; they are made once, and so is the note of it."""
    encoder = encoder_facts(checks.plan, engine)
    name = fingerprint("plan vectors/1", decided_by(sample, FILTERED), encoder.store)
    path = sample.state / "embedding.json"
    known: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    if known.get("of") != name:
        spent = embed_units(sample, checks.plan, encoder.store, Chosen(FILTERED, name), units, engine, events)
        known = {"of": name, "seconds": sum(spent.values())}
        write_json(path, known)
    return known["seconds"]


def _outcomes(
    sample: Layout, captions: Captions, units: int, engine: Engine
) -> Iterator[tuple[str, list[CaptionOutcome]]]:
    """What each captioner or translator made of the sample, with what it took; not those who are asked nothing."""
    folders = caption_folders(captions.plan, engine)
    tables = [read_table(sample.captions(folder, unit)) for folder in folders for unit in range(units)]
    said = pa.concat_tables(tables).to_pylist() if tables else []
    methods = ("paraphrase", "back_translation") if captions.config.variations else ()
    for name in (*(one.name for one in captions.config.captioners), *methods):
        mine = [row for row in said if row["captioner"] == name and row["attempts"]]
        if mine:
            yield name, [_outcome(row) for row in mine]


def _outcome(row: Mapping[str, Any]) -> CaptionOutcome:
    spent = Spent(row["attempts"], row["tokens_in"], row["tokens_out"], row["cost"], row["seconds"] or 0.0)
    if row["failure_class"] is not None:
        failure = CaptionFailure(row["failure_class"], row["failure_kind"], row["failure"])
        return CaptionOutcome(row["id"], failure=failure, spent=spent)
    return CaptionOutcome(row["id"], (Caption(row["text"] or "", row["kind"] or "short"),), spent=spent)


def _limits(captions: Captions | None, name: str) -> Limits | None:
    """How fast it may be asked; None for what runs here."""
    if captions is None:
        return None
    variations = captions.config.variations
    through = variations.back_translation if variations else None
    translators: dict[str, TranslatorConfig | None] = {
        "paraphrase": variations.paraphrase if variations else None,
        "back_translation": through.there if through else None,
    }
    known = {**{one.name: one for one in captions.config.captioners}, **translators}
    config = known.get(name)
    return config.limits if isinstance(config, ServiceBase) else None


def _range(amount: Any, unit: str) -> str | None:
    return amount and f"{amount.expected:,.6g} {unit} ({amount.low:,.6g} to {amount.high:,.6g})"
