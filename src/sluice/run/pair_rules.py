"""Which question-answer pairs of captioners stay: rules over what was measured of their texts.

A pair is no caption: how well it fits the image is not scored, and rules of `quality` do not read it. It is left out
alone, with its sample kept, where a rule speaks of its question or of its answer.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from sluice.errors import RecipeError
from sluice.measures.base import Measure
from sluice.run.recipe import RecipeFile
from sluice.run.rules.rule import CompiledRule, Rule, compile_rule, evaluate
from sluice.table.arrays import three_valued
from sluice.table.compute import pc
from sluice.table.layout import Layout
from sluice.table.read import read_table

_KNOWN = (pa.field("role", pa.string()), pa.field("text", pa.string()), pa.field("declared_language", pa.string()))


def compile_pair_rules(file: RecipeFile, measures: Mapping[str, Measure]) -> tuple[CompiledRule, ...]:
    """The rules under `captions: pairs:`, checked against what the recipe's measures write of texts."""
    captions = file.recipe.captions
    if captions is None or not captions.pairs:
        return ()
    if not any(one.kind == "qa" for one in captions.captioners):
        raise RecipeError(f"{file.where('captions', 'pairs')}: no captioner makes pairs; one with `kind: qa` does")
    written = [
        pa.field(name, kind)
        for measure in measures.values()
        if measure.grain == "text"
        for name, kind in measure.writes.items()
    ]
    schema = pa.schema([*_KNOWN, *written])
    return tuple(
        compile_rule(Rule(name, rule.when, "rejected", rule.null), schema, file.where("captions", "pairs", name))
        for name, rule in captions.pairs.items()
    )


def with_pairs_judged(items: pa.Table, measured: Sequence[pa.Table], rules: Sequence[CompiledRule]) -> pa.Table:
    """The generated `items` with the names of the rules that leave a pair out in the `meta` of both of its items.

    `measured` are tables of measures, a row an item. Question and answer of a pair follow each other.
    """
    at = np.flatnonzero(pc.not_equal(items.column("role"), "caption").to_numpy())
    if not rules or not len(at):
        return items
    columns = {
        "role": items.column("role"),
        "text": items.column("text"),
        "declared_language": items.column("language"),
    }
    for table in measured:
        columns |= {name: table.column(name) for name in table.column_names if name not in ("id", "item", "error")}
    results = evaluate(rules, pa.table(columns).take(pa.array(at)))
    spoke: list[list[str]] = [[] for _ in at[::2]]
    for rule, column in zip(rules, results.columns, strict=True):
        said = three_valued(column)
        against = (said > 0) | ((said < 0) & (rule.rule.null != "pass"))
        for pair in np.flatnonzero(against[::2] | against[1::2]).tolist():
            spoke[pair].append(rule.rule.name)
    meta: list[str | None] = items.column("meta").to_pylist()
    for place, row in enumerate(at.tolist()):
        if spoke[place // 2]:
            told = {**json.loads(meta[row] or "{}"), "left_out": spoke[place // 2]}
            meta[row] = json.dumps(told, ensure_ascii=False)
    return items.set_column(items.schema.get_field_index("meta"), "meta", pa.array(meta, pa.string()))


def counted_pairs(layout: Layout, units: int) -> dict[str, object]:
    """How many pairs there are, and by rule how many it leaves out; nothing where there are none."""
    pairs = 0
    rules: Counter[str] = Counter()
    for unit in range(units):
        items = read_table(layout.generated(unit), ["role", "meta"])
        questions = items.filter(pc.equal(items.column("role"), "question")).column("meta").to_pylist()
        pairs += len(questions)
        rules.update(name for meta in questions for name in json.loads(meta or "{}").get("left_out", ()))
    return {"pairs": pairs, "pairs_left_out": dict(sorted(rules.items()))} if pairs else {}
