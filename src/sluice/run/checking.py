"""03_quality_checked: how well text fits image, measured by an encoder, then decided by rules."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from sluice.engine import Engine
from sluice.models.config import EncoderConfig
from sluice.run.corpus_steps import NO_CORPUS
from sluice.run.embedding import EncoderFacts, EncoderPlan, embed_units, encoder_facts
from sluice.run.events import Events
from sluice.run.filtering import compile_rules
from sluice.run.judging import judge
from sluice.run.locked import NO_DUPLICATES
from sluice.run.quality_rows import ALIGNMENT, write_quality_rows
from sluice.run.recipe import QualityConfig, RecipeFile
from sluice.run.recording import record
from sluice.run.rules.rule import CompiledRule
from sluice.run.stage import done, finish, reopen, stage_record, stage_seconds
from sluice.table.arrays import real_numbers
from sluice.table.compute import pc
from sluice.table.ids import fingerprint
from sluice.table.layout import CHECKED, FILTERED, Layout
from sluice.table.read import read_table

_TENTHS: Final = np.linspace(0, 1, 11)


@dataclass(frozen=True)
class Checks:
    """The `quality` of a recipe, after every check that needs no data."""

    config: QualityConfig
    plan: EncoderPlan
    rules: Sequence[CompiledRule]


def prepare_checks(file: RecipeFile, schema: pa.Schema) -> Checks | None:
    """Check the recipe's `quality` against the columns; None where it has none."""
    config = file.recipe.quality
    if config is None:
        return None
    plan = EncoderPlan(_absolute(config.encoder, file.base), file.recipe.limits.limits())
    rules = compile_rules(file, "quality", config, pa.schema([*schema, *ALIGNMENT]))
    return Checks(config, plan, rules)


def check_stage(checks: Checks, layout: Layout, units: int, engine: Engine, events: Events) -> bool:
    """Bring vectors, rows and verdicts up to date with what 01_filtered kept; whether there was anything to do.

    The workers of `engine` load the encoder.
    """
    started = time.perf_counter()
    filtered = stage_record(layout, FILTERED)
    name = fingerprint("quality/1", filtered["fingerprint"], checks.config.model_dump_json())
    if done(layout, CHECKED, name):
        return False
    reopen(layout, CHECKED)
    encoder = encoder_facts(checks.plan, engine)
    events.tell("encoder", **_of_encoder(encoder))
    embedded = fingerprint(filtered["fingerprint"], encoder.store)
    spent = embed_units(layout, checks.plan, encoder.store, embedded, units, engine, events)
    write_quality_rows(layout, encoder, units, fingerprint("quality rows/1", embedded))
    judgement = judge(layout, checks.rules, NO_DUPLICATES, NO_CORPUS, CHECKED)
    recorded = record(layout, CHECKED, checks.rules, judgement, filtered["kept"], _left_out(layout))
    before = {what: took for what, took in stage_seconds(layout, CHECKED).items() if what != "decide"}
    seconds = {**Counter(before) + Counter(spent), "decide": time.perf_counter() - started}
    facts = {"encoder": _of_encoder(encoder), "alignment": _deciles(layout.rows_of(CHECKED))}
    finish(layout, CHECKED, name, {**recorded.facts, **facts}, seconds)
    return True


def _absolute(config: EncoderConfig, base: Path) -> EncoderConfig:
    """The encoder with its path relative to the recipe made absolute: workers have a folder of their own."""
    path: str | None = getattr(config, "path", None)
    return config if path is None else config.model_copy(update={"path": str((base / path).absolute())})


def _of_encoder(encoder: EncoderFacts) -> dict[str, Any]:
    identity = encoder.identity
    return {
        "name": identity.name,
        "revision": identity.revision,
        "hash": identity.hash,
        "dim": encoder.dim,
        "languages": identity.languages,
        "world": identity.world,
        "store": encoder.store,
    }


def _left_out(layout: Layout) -> pa.ChunkedArray:
    """By sample that entered, the captions that 01_filtered left out."""
    table = read_table(layout.verdicts(FILTERED), ["verdict", "captions_left_out"])
    return table.filter(pc.equal(table.column("verdict"), "kept")).column("captions_left_out")


def _deciles(rows: Path) -> list[float]:
    """The tenths of the alignment over all rows that have one, least first: a drift from run to run shows here."""
    values = real_numbers(read_table(rows, ["alignment"]).column("alignment"))
    values = values[~np.isnan(values)]
    return [round(float(value), 4) for value in np.quantile(values, _TENTHS)] if len(values) else []
