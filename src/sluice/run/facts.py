"""What the dataset card says, counted from the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

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
from sluice.run.recipe import RecipeFile
from sluice.run.stage import stage_record
from sluice.run.takedown import taken_down
from sluice.table.commit import write_bytes
from sluice.table.duck import connect
from sluice.table.layout import CHECKED, FILTERED, FINAL, RAW, Layout

if TYPE_CHECKING:
    import duckdb


def write_card(file: RecipeFile, layout: Layout, plan: MeasurePlan, final: Mapping[str, Any]) -> None:
    """Write DATASET_CARD.md; `final` is what the last stage's record will say."""
    write_bytes(layout.final / CARD_FILE, dataset_card(_facts(file, layout, plan, final)).encode())


def _facts(file: RecipeFile, layout: Layout, plan: MeasurePlan, final: Mapping[str, Any]) -> CardFacts:
    recipe = file.recipe
    raw, filtered = stage_record(layout, RAW), stage_record(layout, FILTERED)
    columns = set(pq.read_schema(layout.rows).names)
    with connect() as duck:
        _register(duck, layout)
        roles = dict(duck.sql("SELECT role, count(*) FROM items WHERE kind = 'text' GROUP BY 1 ORDER BY 1").fetchall())
        images, most = duck.sql(
            "SELECT coalesce(sum(n), 0)::BIGINT, coalesce(max(n), 0)::BIGINT "
            "FROM (SELECT count(*) AS n FROM items WHERE kind = 'image' GROUP BY id)"
        ).fetchall()[0]
        sources = dict(duck.sql("SELECT source, count(*) FROM firsts GROUP BY 1").fetchall())
        licences = _counted(duck, "firsts", "spdx", columns)
        languages = _counted(duck, "texts", "language", columns)
        lengths = _lengths(duck) if "characters" in columns else None
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
        images=images,
        most_images=most,
        roles=roles,
        stages=tuple(_stage(name, record) for name, record in ((RAW, raw), (FILTERED, filtered), (FINAL, final))),
        sources=tuple(
            SourceFacts(name, types.get(name, "unknown"), count, sources.get(name, 0))
            for name, count in raw["sources"].items()
        ),
        licences=licences,
        languages=languages,
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


def _register(duck: duckdb.DuckDBPyConnection, layout: Layout) -> None:
    """Views of what is packed: `firsts` (a row a sample), `texts` (a row a text not left out), `items`."""
    rows, verdicts = str(layout.rows), str(layout.verdicts(FINAL))
    left_out = str(layout.verdicts(FILTERED))
    items = str(layout.root / RAW / "items" / "unit-*.parquet")
    duck.execute(
        f"""
        CREATE VIEW packed AS SELECT id FROM read_parquet('{_quote(verdicts)}') WHERE verdict = 'kept';
        CREATE VIEW skipped AS SELECT id, unnest(captions_left_out) AS item
            FROM read_parquet('{_quote(left_out)}') WHERE len(captions_left_out) > 0;
        CREATE VIEW firsts AS SELECT * FROM read_parquet('{_quote(rows)}') SEMI JOIN packed USING (id)
            QUALIFY row_number() OVER (PARTITION BY ordinal) = 1;
        CREATE VIEW texts AS SELECT r.* FROM read_parquet('{_quote(rows)}') r SEMI JOIN packed USING (id)
            ANTI JOIN skipped s ON r.id = s.id AND r.text_item = s.item
            WHERE text_item IS NOT NULL QUALIFY row_number() OVER (PARTITION BY ordinal, text_item) = 1;
        CREATE VIEW items AS SELECT i.* FROM read_parquet('{_quote(items)}') i SEMI JOIN packed USING (id)
            ANTI JOIN skipped s ON i.id = s.id AND i.item = s.item;
        """
    )


def _quote(path: str) -> str:
    return path.replace("'", "''")


def _counted(duck: duckdb.DuckDBPyConnection, table: str, column: str, columns: set[str]) -> dict[str | None, int]:
    if column not in columns:
        return {}
    counts = f"SELECT {column}, count(*) AS n FROM {table} GROUP BY 1 ORDER BY n DESC, 1"
    return dict(duck.sql(counts).fetchall())


def _lengths(duck: duckdb.DuckDBPyConnection) -> LengthFacts | None:
    (found,) = duck.sql(
        "SELECT count(*), quantile_disc(characters, [0.05, 0.5, 0.95]) FROM texts WHERE alternative"
    ).fetchall()
    return LengthFacts(found[0], *map(float, found[1])) if found[0] else None


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
