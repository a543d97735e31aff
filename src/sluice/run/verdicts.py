"""The verdict table: every sample's verdict with *all* reasons, each with the values it saw."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from sluice.run.corpus_steps import BOILERPLATE, CONTAMINATED, NEAR, SAME_BYTES, SAME_CAPTION, CorpusFacts, Duplicates
from sluice.run.decide import FAILED, KEPT, REJECTED, VERDICT_NAMES, Decision, Indices, RowFacts, Speaker
from sluice.run.rights_gate import OPTED_OUT
from sluice.table.compute import pc
from sluice.table.schema import REASON, VERDICTS

_EFFECTS: Final = np.array(["", "held", "rejected", "failed", "caption"])
_CAPTION_ONLY: Final = 4

Observe = Callable[[int, pa.Table], list[str]]
"""Values that speaker number i saw in the rows given, a JSON object each."""


@dataclass(frozen=True)
class Reasons:
    """Reasons as columns, sorted by sample, then in the order of the speakers."""

    sample: Indices
    rule: list[str]
    effect: list[str]
    item: list[int | None]
    values: list[str]


def verdict_table(
    rows: pa.Table,
    facts: RowFacts,
    decision: Decision,
    speakers: Sequence[Speaker],
    duplicates: Duplicates,
    corpus: CorpusFacts,
    observe: Observe,
) -> pa.Table:
    """One row a sample, in order. `rows` has the identity columns and those that rules read."""
    first = facts.first
    ids = rows.column("id").take(pa.array(first)).combine_chunks()
    severity = decision.severity.copy()
    severity[(duplicates.by_bytes | duplicates.by_hash) & (severity == KEPT)] = REJECTED
    parts = [
        *_failure_reasons(rows),
        *_spoken_reasons(rows, facts, decision, speakers, corpus, observe),
        *_duplicate_reasons(duplicates, ids),
    ]
    reasons = _sorted(parts)
    keeper = np.where(duplicates.clustered, duplicates.keeper, -1)
    member = duplicates.by_hash | duplicates.by_bytes
    return pa.table(
        {
            "id": ids,
            "unit": rows.column("unit").take(pa.array(first)),
            "verdict": pa.array(VERDICT_NAMES).take(pa.array(severity)),
            "rules": _rule_lists(reasons, len(first), severity),
            "reasons": _reason_lists(reasons, len(first)),
            "cluster": ids.take(pa.array(keeper, mask=keeper < 0)),
            "distance": pa.array(duplicates.distance.astype(np.int16), mask=~member),
            "captions_left_out": _left_out(rows, facts, decision),
        },
        schema=VERDICTS,
    )


def failure_table(rows: pa.Table) -> pa.Table:
    """Every failure of a measure: id, item, class, message."""
    ids = rows.column("id")
    found = list(_failures(rows))
    return pa.table(
        {
            "id": ids.take(pa.array([row for row, *_ in found], pa.int64())),
            "item": pa.array([item for _, item, _, _ in found], pa.int16()),
            "class": pa.array([name for _, _, name, _ in found], pa.string()),
            "message": pa.array([message for *_, message in found], pa.string()),
        }
    )


def _failures(rows: pa.Table) -> Iterator[tuple[int, int | None, str, str]]:
    """(row, item, class, message), each failure once though its item stands in several rows."""
    seen: set[tuple[str, int | None, str]] = set()
    for grain, item_column in (("image", "image_item"), ("text", "text_item"), ("sample", None)):
        errors = rows.column(f"{grain}_error")
        for row in np.flatnonzero(pc.is_valid(errors).to_numpy()).tolist():
            item = rows.column(item_column)[row].as_py() if item_column else None
            for error in errors[row].as_py().split(" | "):
                key = (rows.column("id")[row].as_py(), item, error)
                if key not in seen:
                    seen.add(key)
                    name, _, message = error.partition(": ")
                    yield row, item, name, message


@dataclass(frozen=True)
class _Part:
    """Reasons of one speaker."""

    order: int
    sample: Indices
    rule: list[str]
    effect: list[str]
    item: list[int | None]
    values: list[str]


def _failure_reasons(rows: pa.Table) -> list[_Part]:
    found = list(_failures(rows))
    if not found:
        return []
    sample = rows.column("ordinal").take(pa.array([row for row, *_ in found])).to_numpy()
    values = [_json({"class": name, "message": message}) for _, _, name, message in found]
    effects = ["failed"] * len(found)
    return [_Part(-1, sample, [name for _, _, name, _ in found], effects, [item for _, item, _, _ in found], values)]


def _spoken_reasons(
    rows: pa.Table,
    facts: RowFacts,
    decision: Decision,
    speakers: Sequence[Speaker],
    corpus: CorpusFacts,
    observe: Observe,
) -> Iterator[_Part]:
    for number, speaker in enumerate(speakers):
        at = np.flatnonzero(speaker.severity > KEPT)
        item_column = "text_item" if speaker.about_text else "image_item"
        items = rows.column(item_column).take(pa.array(at))
        at, items = _once_an_item(at, items, facts)
        if not len(at):
            continue
        alone = speaker.about_text & facts.alternative[at] & ~decision.spoke[facts.sample[at], number]
        effect = _EFFECTS[np.where(alone, _CAPTION_ONLY, speaker.severity[at])].tolist()
        values = _values(speaker.name, number, rows, at, facts, corpus, observe)
        yield _Part(number, facts.sample[at], [speaker.name] * len(at), effect, items.to_pylist(), values)


def _once_an_item(at: Indices, items: pa.ChunkedArray, facts: RowFacts) -> tuple[Indices, pa.ChunkedArray]:
    """Rows without those that repeat an image because their sample has several texts, or the other way round."""
    number = pc.fill_null(items, -1).to_numpy().astype(np.int64)
    sample = facts.sample[at]
    repeated = np.zeros(len(at), np.bool_)
    repeated[1:] = (sample[1:] == sample[:-1]) & (number[1:] == number[:-1])
    keep = ~repeated
    return at[keep], items.filter(pa.array(keep))


def _values(
    name: str, number: int, rows: pa.Table, at: Indices, facts: RowFacts, corpus: CorpusFacts, observe: Observe
) -> list[str]:
    if name == CONTAMINATED:
        found = {row["ordinal"]: row for row in reversed(corpus.contaminated.to_pylist())}
        chosen = [found[ordinal] for ordinal in facts.sample[at].tolist()]
        return [_json({key: row[key] for key in ("reference", "key", "distance")}) for row in chosen]
    if name == OPTED_OUT:
        named = {row["ordinal"]: row for row in reversed(corpus.opted_out.to_pylist())}
        chosen = [named[ordinal] for ordinal in facts.sample[at].tolist()]
        return [_json({key: row[key] for key in ("list", "entry", "value", "distance")}) for row in chosen]
    if name in (SAME_CAPTION, BOILERPLATE):
        assert corpus.captions is not None
        images = dict(zip(*(corpus.captions.column(c).to_pylist() for c in ("row", "images")), strict=True))
        texts = rows.column("text").take(pa.array(at)).to_pylist()
        return [_json({"images": images[row], "text": text}) for row, text in zip(at.tolist(), texts, strict=True)]
    return observe(number, rows.take(pa.array(at)))


def _duplicate_reasons(duplicates: Duplicates, ids: pa.Array) -> Iterator[_Part]:
    for order, (rule, rejected) in enumerate(((SAME_BYTES, duplicates.by_bytes), (NEAR, duplicates.by_hash)), 10_000):
        at = np.flatnonzero(rejected)
        keepers = ids.take(pa.array(duplicates.keeper[at])).to_pylist()
        bits = duplicates.distance[at].tolist()
        values = [_json({"keeper": keeper, "distance": d}) for keeper, d in zip(keepers, bits, strict=True)]
        yield _Part(order, at, [rule] * len(at), ["rejected"] * len(at), [None] * len(at), values)


def _sorted(parts: Sequence[_Part]) -> Reasons:
    sample = np.concatenate([part.sample for part in parts]) if parts else np.zeros(0, np.int64)
    order = np.concatenate([np.full(len(part.sample), part.order) for part in parts]) if parts else sample
    index = np.lexsort((order, sample)).tolist()

    def column(name: str) -> list[Any]:
        flat = [value for part in parts for value in getattr(part, name)]
        return [flat[i] for i in index]

    return Reasons(sample[index], column("rule"), column("effect"), column("item"), column("values"))


def _reason_lists(reasons: Reasons, samples: int) -> pa.ListArray:
    offsets = np.searchsorted(reasons.sample, np.arange(samples + 1)).astype(np.int32)
    structs = pa.StructArray.from_arrays(
        [
            pa.array(reasons.rule, pa.string()),
            pa.array(reasons.effect, pa.string()),
            pa.array(reasons.item, pa.int16()),
            pa.array(reasons.values, pa.string()),
        ],
        fields=list(REASON),
    )
    return pa.ListArray.from_arrays(pa.array(offsets), structs)


def _rule_lists(reasons: Reasons, samples: int, severity: Any) -> pa.ListArray:
    """The rules that decided each sample: all that spoke with more than a word about one caption."""
    lists: dict[int, dict[str, None]] = {}
    for sample, rule, effect in zip(reasons.sample.tolist(), reasons.rule, reasons.effect, strict=True):
        if effect != "caption" and severity[sample] > KEPT:
            lists.setdefault(sample, {})[rule] = None
    return _lists(lists, samples, pa.string())


def _left_out(rows: pa.Table, facts: RowFacts, decision: Decision) -> pa.ListArray:
    at = np.flatnonzero(decision.left_out & (decision.severity[facts.sample] < FAILED))
    items = rows.column("text_item").take(pa.array(at)).to_pylist()
    lists: dict[int, dict[int, None]] = {}
    for sample, item in zip(facts.sample[at].tolist(), items, strict=True):
        lists.setdefault(sample, {})[item] = None
    return _lists(lists, facts.samples, pa.int16())


def _lists(lists: Mapping[int, Collection[Any]], samples: int, kind: pa.DataType) -> pa.ListArray:
    """A list a sample; those that `lists` does not have are empty, and cost no more than their place."""
    sizes = np.zeros(samples + 1, np.int32)
    sizes[[sample + 1 for sample in lists]] = [len(found) for found in lists.values()]
    flat = [value for sample in sorted(lists) for value in lists[sample]]
    return pa.ListArray.from_arrays(pa.array(np.cumsum(sizes, dtype=np.int32)), pa.array(flat, kind))


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False)
