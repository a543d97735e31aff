"""Writing a judgement down: the verdicts of a stage, its failures, and what its `stage.json` says of them."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.run.alike_step import AlikeFound, NamedAlike
from sluice.run.corpus_steps import Duplicates
from sluice.run.judging import Judging, told
from sluice.run.row_parts import ids_of_samples
from sluice.run.rules.row_columns import as_json
from sluice.run.rules.rule import CompiledRule, observed
from sluice.run.stage import LawOfCounts
from sluice.run.verdicts import FAILURES, failure_table, verdict_table
from sluice.table.arrays import numbers
from sluice.table.commit import PieceWriter, piece_writer, write_pieces
from sluice.table.compute import pc
from sluice.table.layout import FILTERED
from sluice.table.lists import first_of_each, flat, gathered
from sluice.table.memory import give_back
from sluice.table.schema import VERDICTS

_SEEN: Final = ("alignment", "caption_origin")
_NEEDED: Final = ("id", "ordinal", "unit", "image_item", "text_item", "image_error", "text_error", "sample_error")


@dataclass(frozen=True)
class Recorded:
    """What was decided of all samples at once, and the part of `stage.json` that every deciding stage has."""

    duplicates: Duplicates
    keepers: pa.Array  # ids, by member of `duplicates`
    alike: AlikeFound | None
    facts: dict[str, Any]


def record(
    judging: Judging,
    entered: int,
    left_out_before: pa.ChunkedArray | None = None,
    failed: Mapping[str, tuple[str, str]] | None = None,
) -> Recorded:
    """Write the verdicts and failures of a stage that `entered` samples entered; the law of counts is checked.

    `left_out_before`: by sample, the list of captions that are left out already; they stay out. `failed`: samples by
    id that fail for another reason than a measure, with class and message.

    Every part is judged twice, first for who is kept, of which duplicates are found, then to be written: what a part
    was decided from takes more room than deciding it takes time.
    """
    layout, stage = judging.layout, judging.stage
    known = told(judging)
    judging, tally, duplicates = known.judging, known.tally, known.duplicates
    alike = NamedAlike.of(judging.alike, judging.rows) if judging.alike is not None else None
    ordinals, place = np.unique(duplicates.keepers, return_inverse=True)
    keepers = ids_of_samples(judging.rows, ordinals).take(pa.array(place))
    classes: Counter[str] = Counter()
    content, law = _Content(), LawOfCounts()

    def pieces(failures: PieceWriter) -> Iterator[pa.Table]:
        for judged in judging.parts():
            rows = judged.part.read(_wanted(judging))
            first, samples = judged.part.first_sample, judged.facts.samples
            start, end = np.searchsorted(duplicates.members, [first, first + samples])
            own = duplicates.within(first, samples)
            named = keepers.slice(start, end - start)
            observe = partial(_observed, judging.rules)
            verdicts = verdict_table(rows, judged, own, named, judging.corpus, alike, observe)
            if failed:
                verdicts = _with_failed(verdicts, failed)
            if left_out_before is not None:
                verdicts = _with_left_out(verdicts, left_out_before.slice(first, samples))
            found = failure_table(rows)
            classes.update(found.column("class").to_pylist())
            failures.write(found)
            content.add(verdicts)
            yield verdicts
            del rows, verdicts, found
            give_back()  # else what each part took is kept beside what the next one takes

    with piece_writer(layout.failures(stage), FAILURES) as failures:
        write_pieces(layout.verdicts(stage), VERDICTS, law.counting(pieces(failures)))
    facts = {
        "content": content.name(),
        **law.checked(layout.verdicts(stage), entered, stage),
        "rules": tally.yields(duplicates if stage == FILTERED else None),
        "failures": dict(sorted(classes.items())),
        "captions_left_out": tally.left_out,
    }
    return Recorded(duplicates, keepers, judging.alike, facts)


def _wanted(judging: Judging) -> list[str]:
    """The columns that verdicts are written from."""
    of_texts = judging.alike is not None and judging.alike.about_text
    texts = ("text",) if judging.corpus.captions is not None or of_texts else ()  # long, and quoted by what repeats
    wanted = {column for rule in judging.rules for column in rule.columns} | {*_NEEDED, *_SEEN, *texts}
    return [name for name in pq.read_schema(judging.rows).names if name in wanted]


class _Content:
    """A fingerprint of what goes on from here: who is kept, with which captions. However the table was cut."""

    def __init__(self) -> None:
        self._digests = [hashlib.sha256() for _ in range(4)]

    def add(self, verdicts: pa.Table) -> None:
        """Take in some rows."""
        left_out = verdicts.column("captions_left_out").combine_chunks()
        counts = pc.fill_null(pc.list_value_length(left_out), 0)
        columns = (verdicts.column("id"), verdicts.column("verdict"), counts, left_out.flatten())
        for digest, column in zip(self._digests, columns, strict=True):
            digest.update(_bytes_of(column))

    def name(self) -> str:
        """The fingerprint."""
        return hashlib.sha256(b"".join(digest.digest() for digest in self._digests)).hexdigest()[:16]


def _bytes_of(column: pa.Array | pa.ChunkedArray) -> bytes:
    if pa.types.is_string(column.type):
        return "".join(f"{text}\n" for text in column.to_pylist()).encode()
    return numbers(column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])).tobytes()


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
