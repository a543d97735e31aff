"""03_quality_checked: how well text fits image, measured by an encoder, then decided by rules."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from sluice.engine import Engine
from sluice.errors import RecipeError
from sluice.measures.base import Measure
from sluice.models.config import PrecomputedConfig, VectorsConfig
from sluice.run.alike_step import write_clusters
from sluice.run.calibrating import calibrate_run, threshold_warnings
from sluice.run.choosing import batches_of, caption_choice
from sluice.run.corpus_steps import load_corpus
from sluice.run.embedding import Chosen, EncoderFacts, EncoderPlan, embed_units, encoder_facts
from sluice.run.events import Events
from sluice.run.filtering import compile_rules
from sluice.run.generated_rows import GENERATED
from sluice.run.judging import Judging
from sluice.run.locked import NO_DUPLICATES, LockedNear
from sluice.run.quality_config import QualityConfig
from sluice.run.quality_rows import ALIGNMENT, RowsOf, write_quality_rows
from sluice.run.recipe import RecipeFile
from sluice.run.recording import record
from sluice.run.retrieving import check_retrieval
from sluice.run.rules.order import Order, compile_order
from sluice.run.rules.rule import CompiledRule
from sluice.run.scores import Score, check_names, load_scores, score_fields
from sluice.run.scoring import Scoring, score_units
from sluice.run.semantic_step import measure_semantic
from sluice.run.stage import decided_by, done, finish, reopen, stage_record, stage_seconds
from sluice.table.arrays import real_numbers
from sluice.table.compute import pc
from sluice.table.ids import fingerprint
from sluice.table.layout import CAPTIONED, CHECKED, Layout
from sluice.table.read import read_table

_TENTHS: Final = np.linspace(0, 1, 11)


@dataclass(frozen=True)
class Checks:
    """The `quality` of a recipe, after every check that needs no data."""

    config: QualityConfig
    plan: EncoderPlan
    rules: Sequence[CompiledRule]
    of_texts: Mapping[str, Measure]  # measures of texts, by identity
    seed: int
    scores: tuple[Score, ...] = ()
    order: Order | None = None  # which of semantic duplicates is kept; None: they are not looked for


def prepare_checks(file: RecipeFile, schema: pa.Schema, measures: Mapping[str, Measure]) -> Checks | None:
    """Check the recipe's `quality` against the columns; None where it has none. `measures`: those of the recipe."""
    config = file.recipe.quality
    if config is None:
        return None
    plan = EncoderPlan(_absolute(config.encoder, file.base), file.recipe.limits.limits())
    columns = [*schema, *ALIGNMENT, *(GENERATED if file.recipe.captions else [])]
    scores = load_scores(file)
    check_names(file, scores, pa.schema(columns))
    columns += score_fields(scores)
    of_texts = {identity: measure for identity, measure in measures.items() if measure.grain == "text"}
    rules = compile_rules(file, "quality", config, pa.schema(columns))
    _check_vectors(file, config, rules)
    order = None
    if config.duplicates is not None:
        _check_vectors_of(file, config)
        where = file.where("quality", "duplicates", "keep")
        stored = pa.schema(columns)
        order = compile_order(config.duplicates.keep_among(stored.names), stored, where)
    return Checks(config, plan, rules, of_texts, file.recipe.seed, scores, order)


def check_stage(checks: Checks, layout: Layout, before: str, units: int, engine: Engine, events: Events) -> bool:
    """Bring vectors, rows and verdicts up to date with what the stage `before` kept; whether there was anything to do.

    The workers of `engine` load the encoder.
    """
    started = time.perf_counter()
    decided = decided_by(layout, before)
    held = [held] if (held := checks.plan.of_files()) else []
    held += [score.identity.hash for score in checks.scores]
    name = fingerprint("quality/2", decided, checks.config.model_dump_json(), str(checks.seed), *held)
    if done(layout, CHECKED, name):
        return False
    reopen(layout, CHECKED)
    encoder = encoder_facts(checks.plan, engine)
    events.tell("encoder", **_of_encoder(encoder))
    embedded = fingerprint(decided, encoder.store)
    chosen = Chosen(before, embedded, captions=decided if before == CAPTIONED else None)
    spent = embed_units(layout, checks.plan, encoder.store, chosen, units, engine, events)
    scorings = [Scoring(score, encoder, checks.plan.limits) for score in checks.scores]
    spent: Mapping[str, float] = Counter(spent) + Counter(score_units(layout, scorings, chosen, units, engine, events))
    calibration = calibrate_run(layout, encoder, units, checks.seed)
    for warning in threshold_warnings(checks.rules, calibration):
        events.tell("threshold_warning", **warning)
    rows = RowsOf(CHECKED, before, generated=checks.of_texts if before == CAPTIONED else None)
    of = fingerprint("quality rows/3", embedded, str(checks.seed), *(scoring.store for scoring in scorings))
    write_quality_rows(layout, rows, (encoder, calibration), units, of, scorings)
    choosing = caption_choice(checks.config.alternatives)
    asked = NO_DUPLICATES
    semantic = checks.config.duplicates
    if semantic is not None and checks.order is not None:
        events.tell("comparing_vectors")
        since = time.perf_counter()
        measure_semantic(layout, semantic, checks.order, encoder.store, units, of)
        spent = {**spent, "compare vectors": time.perf_counter() - since}
        asked = replace(NO_DUPLICATES, semantic=LockedNear(semantic.cluster))
    judging = Judging(layout, checks.rules, asked, load_corpus(layout, asked, CHECKED), CHECKED, choosing)
    recorded = record(judging, stage_record(layout, before)["kept"], _left_out(layout, before))
    if checks.config.retrieval is not None:
        check_retrieval(layout, encoder, units, checks.config.retrieval, checks.seed)
    else:
        layout.checks.unlink(missing_ok=True)
    earlier = {what: took for what, took in stage_seconds(layout, CHECKED).items() if what != "decide"}
    seconds = {**Counter(earlier) + Counter(spent), "decide": time.perf_counter() - started}
    facts = {
        **({"scores": {scoring.score.name: _of_score(scoring) for scoring in scorings}} if scorings else {}),
        "encoder": _of_encoder(encoder),
        **write_clusters(layout, CHECKED, recorded.alike),
        "alignment": _deciles(layout.rows_of(CHECKED)),
        **({"captioners": batches_of(layout.rows_of(CHECKED))} if before == CAPTIONED else {}),
    }
    finish(layout, CHECKED, name, {**recorded.facts, **facts}, seconds)
    return True


def _check_vectors(file: RecipeFile, config: QualityConfig, rules: Sequence[CompiledRule]) -> None:
    """RecipeError where the recipe asks how texts fit images of vectors that are of one of the two only."""
    encoder = config.encoder
    if not isinstance(encoder, PrecomputedConfig) or (encoder.image and encoder.text):
        return
    asking = [f"the rule {rule.rule.name!r}" for rule in rules if {*rule.columns} & {"alignment", "false_accept"}]
    asking += ["`retrieval`"] if config.retrieval else []
    if asking:
        given, lacking = ("images", "text") if encoder.image else ("texts", "image")
        raise RecipeError(
            f"{file.where('quality', 'encoder')}: the vectors are of {given} only, and {asking[0]} asks how text fits "
            f"image: say {lacking}: too, or leave {asking[0]} out"
        )


def _check_vectors_of(file: RecipeFile, config: QualityConfig) -> None:
    """RecipeError where the vectors are not of what is to be compared."""
    encoder, asked = config.encoder, config.duplicates
    if asked and isinstance(encoder, PrecomputedConfig) and getattr(encoder, asked.of) is None:
        where = file.where("quality", "duplicates", "of")
        raise RecipeError(f"{where}: the encoder's files hold no vectors of {asked.of}s: say `{asked.of}:` there, too")


def _absolute(config: VectorsConfig, base: Path) -> VectorsConfig:
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


def _of_score(scoring: Scoring) -> dict[str, Any]:
    identity = scoring.score.identity
    return {
        "name": identity.name,
        "revision": identity.revision,
        "hash": identity.hash,
        "columns": list(scoring.score.columns),
        "store": scoring.store,
    }


def _left_out(layout: Layout, before: str) -> pa.ChunkedArray:
    """By sample that entered, the captions that the stage before left out."""
    table = read_table(layout.verdicts(before), ["verdict", "captions_left_out"], encoded=["verdict"])
    return table.column("captions_left_out").filter(pc.equal(table.column("verdict"), "kept"))


def _deciles(rows: Path) -> list[float]:
    """The tenths of the alignment over all rows that have one, least first: a drift from run to run shows here."""
    values = real_numbers(read_table(rows, ["alignment"]).column("alignment"))
    values = values[~np.isnan(values)]
    return [round(float(value), 4) for value in np.quantile(values, _TENTHS)] if len(values) else []
