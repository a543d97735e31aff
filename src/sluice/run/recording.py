"""Writing a judgement down: the verdicts of a stage, its failures, and what its `stage.json` says of them."""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.run.judging import Judgement, yields
from sluice.run.rules.row_columns import as_json
from sluice.run.rules.rule import CompiledRule, observed
from sluice.run.stage import law_of_counts
from sluice.run.verdicts import failure_table, verdict_table
from sluice.table.arrays import numbers
from sluice.table.commit import write_table
from sluice.table.compute import pc
from sluice.table.layout import Layout
from sluice.table.lists import first_of_each, flat, gathered
from sluice.table.read import read_table

_SEEN: Final = ("alignment", "caption_origin")
_NEEDED: Final = ("id", "ordinal", "unit", "image_item", "text_item", "image_error", "text_error", "sample_error")


@dataclass(frozen=True)
class Recorded:
    """What was written, and the part of `stage.json` that every deciding stage has."""

    verdicts: pa.Table
    facts: dict[str, Any]


def record(
    layout: Layout,
    stage: str,
    rules: Sequence[CompiledRule],
    judgement: Judgement,
    entered: int,
    left_out_before: pa.ChunkedArray | None = None,
    failed: Mapping[str, tuple[str, str]] | None = None,
) -> Recorded:
    """Write the verdicts and failures of a stage that `entered` samples entered; the law of counts is checked.

    `left_out_before`: by sample, the list of captions that are left out already; they stay out. `failed`: samples by
    id that fail for another reason than a measure, with class and message.
    """
    path = layout.rows_of(stage)
    # Texts are long, and quoted by what repeats alone.
    of_texts = judgement.alike is not None and judgement.alike.speaker.about_text
    texts = ("text",) if judgement.corpus.captions is not None or of_texts else ()
    wanted = {column for rule in rules for column in rule.columns} | {*_NEEDED, *_SEEN, *texts}
    rows = read_table(path, columns=[name for name in pq.read_schema(path).names if name in wanted])
    verdicts = verdict_table(
        rows,
        judgement.facts,
        judgement.decision,
        judgement.speakers,
        judgement.duplicates,
        judgement.corpus,
        judgement.alike,
        lambda number, seen: _observed(rules, number, seen),
    )
    if failed:
        verdicts = _with_failed(verdicts, failed)
    if left_out_before is not None:
        verdicts = _with_left_out(verdicts, left_out_before)
    write_table(layout.verdicts(stage), verdicts)
    failures = failure_table(rows)
    write_table(layout.failures(stage), failures)
    facts = {
        "content": _content(verdicts),
        **law_of_counts(verdicts, entered, stage),
        "rules": yields(judgement),
        "failures": dict(sorted(Counter(failures.column("class").to_pylist()).items())),
        "captions_left_out": int(judgement.decision.left_out.sum()),
    }
    return Recorded(verdicts, facts)


def _content(verdicts: pa.Table) -> str:
    """A fingerprint of what goes on from here: who is kept, with which captions."""
    kept = verdicts.select(["id", "verdict", "captions_left_out"]).combine_chunks().replace_schema_metadata(None)
    digest = hashlib.sha256()
    with pa.ipc.new_stream(pa.PythonFile(_Hashed(digest)), kept.schema) as writer:
        writer.write_table(kept)
    return digest.hexdigest()[:16]


class _Hashed(io.RawIOBase):
    """A file that only hashes what is written to it: of a million samples that would be 60 MB more in memory."""

    def __init__(self, digest: Any) -> None:
        self._digest = digest

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._digest.update(data)
        return len(data)


def _observed(rules: Sequence[CompiledRule], number: int, seen: pa.Table) -> list[str]:
    """What a speaker saw: a rule its columns, one beside the rules how well the captions fit."""
    if number < len(rules):
        return observed(rules[number], seen)
    return as_json(seen, [name for name in _SEEN if name in seen.column_names])


def _with_failed(verdicts: pa.Table, failed: Mapping[str, tuple[str, str]]) -> pa.Table:
    """The verdicts with those of `failed` changed: what it was before is no longer so."""
    named = pc.is_in(verdicts.column("id"), pa.array(list(failed), pa.string()))
    at = np.flatnonzero(pc.and_(named, pc.equal(verdicts.column("verdict"), "kept")).to_numpy())
    rows = verdicts.take(pa.array(at)).to_pylist()
    for row in rows:
        name, message = failed[row["id"]]
        values = json.dumps({"class": name, "message": message}, ensure_ascii=False)
        reason = {"rule": name, "effect": "failed", "item": None, "values": values}
        row.update(verdict="failed", rules=[name], reasons=[*row["reasons"], reason], captions_left_out=[])
    place = np.arange(verdicts.num_rows)
    place[at] = verdicts.num_rows + np.arange(len(at))
    return pa.concat_tables([verdicts, pa.Table.from_pylist(rows, verdicts.schema)]).take(pa.array(place))


def _with_left_out(verdicts: pa.Table, before: pa.ChunkedArray) -> pa.Table:
    """The verdicts with the captions of an earlier stage among those that are left out, least first."""
    name = "captions_left_out"
    found = [flat(column) for column in (verdicts.column(name), before)]
    owner = np.concatenate([rows for rows, _ in found])
    item = np.concatenate([numbers(pa.chunked_array([items])).astype(np.int64) for _, items in found])
    order = np.lexsort((item, owner))
    order = order[first_of_each(owner[order], item[order])]
    field = verdicts.schema.field(name)
    both = gathered(owner[order], pa.array(item[order].astype(np.int16)), verdicts.num_rows)
    return verdicts.set_column(verdicts.schema.get_field_index(name), field, both)
