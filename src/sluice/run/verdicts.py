"""The verdict table: every sample's verdict with *all* reasons, each with the values it saw."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from sluice.run.alike_step import NamedAlike
from sluice.run.corpus_steps import (
    BOILERPLATE,
    CONTAMINATED,
    NEAR,
    SAME_BYTES,
    SAME_CAPTION,
    CorpusFacts,
    Duplicates,
    in_range,
)
from sluice.run.decide import FAILED, KEPT, REJECTED, VERDICT_NAMES, Decision, Indices, RowFacts
from sluice.run.judging import JudgedPart
from sluice.run.rights_gate import OPTED_OUT
from sluice.table.arrays import codes, numbers
from sluice.table.compute import pc
from sluice.table.lists import first_of_each, gathered
from sluice.table.schema import REASON, VERDICTS

_EFFECTS: Final = np.array(["", "held", "rejected", "failed", "caption"])
_CAPTION_ONLY: Final = 4
FAILURES: Final = pa.schema(
    [("id", pa.string()), ("item", pa.int16()), ("class", pa.string()), ("message", pa.string())]
)
_WORD: Final = pa.dictionary(pa.int32(), pa.string())

Observe = Callable[[int, pa.Table], list[str]]
"""Values that speaker number i saw in the rows given, a JSON object each."""


@dataclass(frozen=True)
class Reasons:
    """Reasons as columns, sorted by sample, then in the order of the speakers."""

    sample: Indices
    rule: pa.Array  # dictionary of texts
    effect: pa.Array  # dictionary of texts
    item: pa.Array  # int16
    values: pa.Array  # text


def verdict_table(
    rows: pa.Table,
    judged: JudgedPart,
    duplicates: Duplicates,
    keepers: pa.Array,
    corpus: CorpusFacts,
    alike: NamedAlike | None,
    observe: Observe,
) -> pa.Table:
    """One row a sample of a part, in order. `rows` has the identity columns and those that rules read.

    `duplicates` are those of the part, `keepers` the ids of their keepers, by member.
    """
    facts, decision = judged.facts, judged.decision
    first = facts.first
    samples = rows.select(["id", "unit"])
    if len(first) < rows.num_rows:
        samples = samples.take(pa.array(first))
    severity = decision.severity.copy()
    severity[duplicates.lost & (severity == KEPT)] = REJECTED
    parts = [
        *_failure_reasons(rows, judged.part.first_sample),
        *_spoken_reasons(rows, judged, corpus, alike, observe),
        *_duplicate_reasons(duplicates, keepers),
    ]
    reasons = _sorted(parts)
    clustered = np.full(len(first), -1)
    clustered[duplicates.members] = np.where(duplicates.in_cluster, np.arange(len(keepers)), -1)
    return pa.table(
        {
            "id": samples.column("id").combine_chunks(),
            "unit": samples.column("unit"),
            "verdict": pa.DictionaryArray.from_arrays(pa.array(severity), pa.array(VERDICT_NAMES)).cast(pa.string()),
            "rules": _rule_lists(reasons, len(first), severity),
            "reasons": _reason_lists(reasons, len(first)),
            "cluster": keepers.take(pa.array(clustered, mask=clustered < 0)),
            "distance": pa.array(
                duplicates.spread(duplicates.bits).astype(np.int16), mask=~duplicates.spread(duplicates.loses)
            ),
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
        },
        schema=FAILURES,
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
    rule: Sequence[str]  # one for all, or one each
    effect: Sequence[str]  # likewise
    item: pa.Array  # int16
    values: list[str]


def _failure_reasons(rows: pa.Table, first: int) -> list[_Part]:
    found = list(_failures(rows))
    if not found:
        return []
    sample = rows.column("ordinal").take(pa.array([row for row, *_ in found])).to_numpy() - first
    values = [_json({"class": name, "message": message}) for _, _, name, message in found]
    items = pa.array([item for _, item, _, _ in found], pa.int16())
    return [_Part(-1, sample, [name for _, _, name, _ in found], ["failed"], items, values)]


def _spoken_reasons(
    rows: pa.Table, judged: JudgedPart, corpus: CorpusFacts, alike: NamedAlike | None, observe: Observe
) -> Iterator[_Part]:
    facts, decision = judged.facts, judged.decision
    for number, speaker in enumerate(judged.speakers):
        at = np.flatnonzero(speaker.severity > KEPT)
        item_column = "text_item" if speaker.about_text else "image_item"
        items = rows.column(item_column).take(pa.array(at))
        at, items = _once_an_item(at, items, facts)
        if not len(at):
            continue
        alone = speaker.about_text & facts.alternative[at] & ~decision.spoke[facts.sample[at], number]
        effect = _EFFECTS[np.where(alone, _CAPTION_ONLY, speaker.severity[at])].tolist()
        values = (
            [_json(value) for value in alike.values(rows, judged.part.first_row, at)]
            if alike is not None and speaker.name == alike.found.rule
            else _values(speaker.name, number, rows, at, judged, corpus, observe)
        )
        yield _Part(number, facts.sample[at], [speaker.name], effect, items.combine_chunks(), values)


def _once_an_item(at: Indices, items: pa.ChunkedArray, facts: RowFacts) -> tuple[Indices, pa.ChunkedArray]:
    """Rows without those that repeat an image because their sample has several texts, or the other way round."""
    number = pc.fill_null(items, -1).to_numpy().astype(np.int64)
    sample = facts.sample[at]
    repeated = np.zeros(len(at), np.bool_)
    repeated[1:] = (sample[1:] == sample[:-1]) & (number[1:] == number[:-1])
    keep = ~repeated
    return at[keep], items.filter(pa.array(keep))


def _values(
    name: str, number: int, rows: pa.Table, at: Indices, judged: JudgedPart, corpus: CorpusFacts, observe: Observe
) -> list[str]:
    facts, part = judged.facts, judged.part
    if name in (CONTAMINATED, OPTED_OUT):
        contaminated = name == CONTAMINATED
        table = corpus.contaminated if contaminated else corpus.opted_out
        keys = ("reference", "key", "distance") if contaminated else ("list", "entry", "value", "distance")
        here = in_range(table, "ordinal", part.first_sample, facts.samples)
        found = {row["ordinal"] - part.first_sample: row for row in reversed(here.to_pylist())}
        chosen = [found[ordinal] for ordinal in facts.sample[at].tolist()]
        return [_json({key: row[key] for key in keys}) for row in chosen]
    if name in (SAME_CAPTION, BOILERPLATE):
        assert corpus.captions is not None
        captions = in_range(corpus.captions, "row", part.first_row, part.rows)
        images = dict(zip(*(captions.column(c).to_pylist() for c in ("row", "images")), strict=True))
        texts = rows.column("text").take(pa.array(at)).to_pylist()
        places = (at + part.first_row).tolist()
        return [_json({"images": images[row], "text": text}) for row, text in zip(places, texts, strict=True)]
    return observe(number, rows.take(pa.array(at)))


def _duplicate_reasons(duplicates: Duplicates, keepers: pa.Array) -> Iterator[_Part]:
    losers = ((SAME_BYTES, duplicates.loses_by_bytes), (NEAR, duplicates.loses_by_hash))
    for order, (rule, loses) in enumerate(losers, 10_000):
        at = np.flatnonzero(loses)
        names = keepers.take(pa.array(at)).to_pylist()
        bits = duplicates.bits[at].tolist()
        values = [_json({"keeper": keeper, "distance": d}) for keeper, d in zip(names, bits, strict=True)]
        yield _Part(order, duplicates.members[at], [rule], ["rejected"], pa.nulls(len(at), pa.int16()), values)


def _sorted(parts: Sequence[_Part]) -> Reasons:
    sample = np.concatenate([np.zeros(0, np.int64), *(part.sample for part in parts)])
    order = np.concatenate([np.zeros(0, np.int64), *(np.full(len(part.sample), part.order) for part in parts)])
    index = np.lexsort((order, sample))

    def column(arrays: Iterable[pa.Array], kind: pa.DataType) -> pa.Array:
        whole = pa.chunked_array(list(arrays), kind).combine_chunks()
        return whole.take(pa.array(index))

    return Reasons(
        sample[index],
        column((_spread(part.rule, len(part.sample)) for part in parts), _WORD),
        column((_spread(part.effect, len(part.sample)) for part in parts), _WORD),
        column((part.item for part in parts), pa.int16()),
        column((pa.array(part.values, pa.string()) for part in parts), pa.string()),
    )


def _spread(words: Sequence[str], rows: int) -> pa.Array:
    """The words as a column of so many rows; a single one stands in all."""
    if len(words) == 1:
        return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array(words))
    return pa.array(words, pa.string()).dictionary_encode()


def _reason_lists(reasons: Reasons, samples: int) -> pa.ListArray:
    columns = [reasons.rule.cast(pa.string()), reasons.effect.cast(pa.string()), reasons.item, reasons.values]
    return gathered(reasons.sample, pa.StructArray.from_arrays(columns, fields=list(REASON)), samples)


def _rule_lists(reasons: Reasons, samples: int, severity: Any) -> pa.ListArray:
    """The rules that decided each sample: all that spoke with more than a word about one caption."""
    decided = pc.not_equal(reasons.effect.cast(pa.string()), "caption").to_numpy(zero_copy_only=False)
    at = np.flatnonzero(decided & (severity[reasons.sample] > KEPT))
    at = at[first_of_each(reasons.sample[at], codes(pa.chunked_array([reasons.rule]))[at])]
    return gathered(reasons.sample[at], reasons.rule.take(pa.array(at)).cast(pa.string()), samples)


def _left_out(rows: pa.Table, facts: RowFacts, decision: Decision) -> pa.ListArray:
    at = np.flatnonzero(decision.left_out & (decision.severity[facts.sample] < FAILED))
    items = rows.column("text_item").take(pa.array(at))
    first = first_of_each(facts.sample[at], numbers(items).astype(np.int64))
    return gathered(facts.sample[at[first]], items.take(pa.array(first)).combine_chunks(), facts.samples)


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False)
