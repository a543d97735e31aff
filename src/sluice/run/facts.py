"""What the dataset card says, counted from the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from sluice.pack.card import CARD_FILE, dataset_card
from sluice.pack.card_facts import (
    CardFacts,
    DuplicateFacts,
    FormatFacts,
    LengthFacts,
    MeasureFacts,
    RuleFacts,
    SourceFacts,
    StageFacts,
)
from sluice.run import corpus_steps
from sluice.run.alike_step import NEAR_TEXT, SEMANTIC
from sluice.run.judging import filter_rules
from sluice.run.measure_plan import MeasurePlan
from sluice.run.packed_counts import PackedCounts
from sluice.run.recipe import RecipeFile
from sluice.run.stage import stage_record
from sluice.run.takedown import taken_down
from sluice.table.commit import write_bytes
from sluice.table.layout import CHECKED, FILTERED, FINAL, RAW, Layout


def write_card(file: RecipeFile, layout: Layout, plan: MeasurePlan, final: Mapping[str, Any]) -> None:
    """Write DATASET_CARD.md; `final` is what the last stage's record will say."""
    write_bytes(layout.final / CARD_FILE, dataset_card(_facts(file, layout, plan, final)).encode())


def _facts(file: RecipeFile, layout: Layout, plan: MeasurePlan, final: Mapping[str, Any]) -> CardFacts:
    recipe = file.recipe
    raw, filtered = stage_record(layout, RAW), stage_record(layout, FILTERED)
    packed = PackedCounts.of(layout)
    lengths = None
    if packed.lengths:
        lengths = LengthFacts(packed.captions, *map(float, packed.quantiles(0.05, 0.5, 0.95)))
    types = _source_types(file)
    rules = filtered["rules"]
    return CardFacts(
        name=recipe.name,
        version=version("sluice"),
        recipe=filtered["fingerprint"],
        seed=recipe.seed,
        splits=final["splits"],
        formats=tuple(
            FormatFacts(format, shards, final["bytes"][format]) for format, shards in final["shards"].items()
        ),
        images=packed.images,
        most_images=packed.most_images,
        roles=dict(sorted(packed.roles.items())),
        stages=tuple(_stage(name, record) for name, record in ((RAW, raw), (FILTERED, filtered), (FINAL, final))),
        sources=tuple(
            SourceFacts(name, types.get(name, "unknown"), count, packed.sources[name])
            for name, count in raw["sources"].items()
        ),
        licences=_by_count(packed.licences),
        languages=_by_count(packed.languages),
        lengths=lengths,
        rules=tuple(
            RuleFacts(
                rule.name,
                "hold" if rule.effect == "held" else "reject",
                rule.when,
                rule.null,
                rules[rule.name]["samples"],
            )
            for rule in filter_rules(recipe.filter)
        ),
        measures=tuple(
            MeasureFacts(measure.name, measure.version, identity.partition("@")[2], measure.model)
            for identity, measure in plan.load().identities().items()
        ),
        duplicates=_duplicates(file, layout, filtered),
        failures={
            name: raw["failures"].get(name, 0) + filtered["failures"].get(name, 0)
            for name in sorted({*raw["failures"], *filtered["failures"]})
        },
        taken_down=len(taken_down(layout)),
        balance=final.get("balance"),
        redacted=final.get("redacted"),
    )


def _by_count(counts: Mapping[str | None, int]) -> dict[str | None, int]:
    """The most frequent first, then by name, what has none last."""
    return dict(sorted(counts.items(), key=lambda one: (-one[1], one[0] is None, one[0] or "")))


def _source_types(file: RecipeFile) -> dict[str, str]:
    from sluice.sources.open import open_source

    return {open_source(config, file.base).name: config.type for config in file.recipe.sources}


def _stage(name: str, record: Mapping[str, Any]) -> StageFacts:
    reasons = {rule: said["samples"] for rule, said in record.get("rules", {}).items() if said["samples"]}
    counts = (record[verdict] for verdict in ("in", "kept", "rejected", "held", "failed"))
    return StageFacts(name, *counts, reasons=reasons)


def _duplicates(file: RecipeFile, layout: Layout, filtered: Mapping[str, Any]) -> DuplicateFacts:
    config, rules = file.recipe.filter.duplicates, filtered["rules"]
    near, quality = config.near, file.recipe.quality
    semantic = quality is not None and quality.duplicates is not None
    return DuplicateFacts(
        bytes=rules[corpus_steps.SAME_BYTES]["samples"] if config.bytes else None,
        near=rules[corpus_steps.NEAR]["samples"] if near else None,
        hash=near.hash if near else None,
        distance=near.distance if near else None,
        clusters=filtered["clusters"]["count"],
        largest=filtered["clusters"]["largest"],
        diameter=filtered["clusters"]["diameter"],
        texts=rules[NEAR_TEXT]["samples"] if config.text else None,
        semantic=stage_record(layout, CHECKED)["rules"][SEMANTIC]["samples"] if semantic else None,
        captions_left_out=filtered["captions_left_out"],
        references=filtered["references"],
    )
