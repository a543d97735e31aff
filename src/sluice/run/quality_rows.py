"""The rows of 03_quality_checked: those of the samples that 01_filtered kept, with how well text fits image.

`alignment` is the raw cosine of the row's image and text. Where there is none, `unaligned` says why; a rule on
`alignment` then holds the sample, unless it says what NULL means. `false_accept` says what that cosine is worth.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.caption.in_order import in_order
from sluice.corpus.calibration import Calibration
from sluice.measures.base import Measure
from sluice.run.embedding import KEPT_COLUMNS, EncoderFacts, UnitVectors, item_keys, kept_of, left_out_keys
from sluice.run.generated_rows import GENERATED, with_generated
from sluice.run.scores import grains as score_grains
from sluice.run.scores import score_fields
from sluice.run.scoring import Scoring, with_scores
from sluice.table.arrays import real_numbers
from sluice.table.commit import ROW_GROUP, commit, table_writer
from sluice.table.compute import pc
from sluice.table.layout import Layout
from sluice.table.read import UnitReader

ALIGNMENT: Final = pa.schema(
    [
        ("alignment", pa.float32()),  # cosine of image and text
        ("false_accept", pa.float32()),  # share of mismatched pairs of its language with at least this alignment
        ("unaligned", pa.string()),  # why there is none
    ]
)
_ALIGNING: Final = 2  # threads; reading vectors and multiplying them lets others run
_GRAINS: Final = b"sluice.grains"
_FINGERPRINT: Final = b"sluice.fingerprint"


@dataclass(frozen=True)
class RowsOf:
    """Which rows a stage has: of the samples that the stage `before` kept, or held for `take_up` alone."""

    stage: str
    before: str
    take_up: tuple[str, ...] = ()
    generated: Mapping[str, Measure] | None = None  # measures of texts, where generated captions come in too


def write_quality_rows(
    layout: Layout,
    of: RowsOf,
    judge: tuple[EncoderFacts, Calibration] | None,
    units: int,
    name: str,
    scorings: Sequence[Scoring] = (),
) -> None:
    """Bring the rows of a stage up to date; `name` is the fingerprint of what they are made from."""
    path = layout.rows_of(of.stage)
    if path.is_file() and (pq.read_schema(path).metadata or {}).get(_FINGERPRINT) == name.encode():
        return
    stored = pq.read_schema(layout.rows)
    added = [*([] if of.generated is None else GENERATED), *(ALIGNMENT if judge else [])]
    grains = {**json.loads((stored.metadata or {})[_GRAINS]), **dict.fromkeys([field.name for field in added], "text")}
    scores = tuple(scoring.score for scoring in scorings)
    grains |= score_grains(scores)
    schema = pa.schema([*stored, *added, *score_fields(scores)]).with_metadata(
        {_FINGERPRINT: name.encode(), _GRAINS: json.dumps(grains).encode()}
    )
    with (
        UnitReader(layout.rows, stored.names) as rows,
        UnitReader(layout.verdicts(of.before), KEPT_COLUMNS) as verdicts,
        commit(path) as partial,
        table_writer(partial, schema) as writer,
    ):
        entered = 0

        def enter(unit: int) -> tuple[int, pa.Table]:
            nonlocal entered
            kept = kept_of(verdicts, unit, of.take_up)
            all_rows = numbered(rows.read(unit), kept, entered)
            table = without_left_out(all_rows, kept)
            entered += kept.num_rows
            return unit, table if of.generated is None else with_generated(table, all_rows, layout, unit, of.generated)

        def fit(entering: tuple[int, pa.Table]) -> pa.Table:
            unit, table = entering
            if judge and len(table):
                encoder, calibration = judge
                table = _aligned(table, UnitVectors(layout, encoder.store, unit), encoder.identity.languages)
                table = with_scores(_judged(table, calibration), layout, scorings, unit)
            return table

        # While one group of rows is written, the next are read: by one thread, for the readers go from unit to unit.
        tables = in_order(in_order(range(units), enter, 1), fit, _ALIGNING)
        held = [pa.Table.from_batches([], schema)]
        for table in tables:
            if len(table):
                held.append(table.select(schema.names).cast(schema))
            if sum(map(len, held)) >= ROW_GROUP:
                writer.write_table(pa.concat_tables(held), row_group_size=2**30)
                held = []
        if any(map(len, held)) or not entered:
            writer.write_table(pa.concat_tables(held), row_group_size=2**30)


def numbered(rows: pa.Table, kept: pa.Table, entered: int) -> pa.Table:
    """The rows of the samples `kept`, numbered from `entered`."""
    ordinal = pc.index_in(rows.column("id"), kept.column("id").combine_chunks()).cast(pa.int64())
    rows = rows.set_column(rows.schema.get_field_index("ordinal"), "ordinal", pc.add(ordinal, entered))
    return rows.filter(pc.is_valid(ordinal)) if ordinal.null_count else rows


def without_left_out(rows: pa.Table, kept: pa.Table) -> pa.Table:
    """The rows without captions that are left out.

    Of a sample of several images they stay: their images stand in the same rows.
    """
    out = left_out_keys(kept, rows)
    if not len(out):
        return rows
    texts = pa.table({"id": rows.column("id"), "item": rows.column("text_item")})
    gone = np.isin(item_keys(texts, rows), out) & pc.equal(rows.column("images"), 1).to_numpy()
    return rows.filter(pa.array(~gone))


def _aligned(rows: pa.Table, vectors: UnitVectors, languages: Sequence[str] | None) -> pa.Table:
    """The rows with their alignment."""
    images, texts = rows.column("image_item"), rows.column("text_item")
    cosine, image_errors, text_errors = vectors.fit(rows.column("id"), images, texts)
    why: dict[int, str] = {}
    both = pc.and_(images.is_valid(), texts.is_valid()).to_numpy()
    for row in np.flatnonzero(np.isnan(cosine)).tolist():
        lacking = "nobody has computed a vector of it" if both[row] else "it has no image or no text"
        why[row] = image_errors[row].as_py() or text_errors[row].as_py() or lacking
    if languages is not None:
        for row, language in unknown_to(rows, languages):
            cosine[row] = np.nan
            why[row] = f"the encoder does not know the language {language!r}"
    rows = _with_errors(rows, "image_error", image_errors)
    rows = _with_errors(rows, "text_error", text_errors)
    rows = rows.append_column("alignment", pa.array(cosine, mask=np.isnan(cosine)))
    unaligned = pa.array(map(why.get, range(len(rows))), pa.string()) if why else pa.nulls(len(rows), pa.string())
    return rows.append_column("unaligned", unaligned)


def _judged(rows: pa.Table, calibration: Calibration) -> pa.Table:
    """The rows with what their alignment is worth."""
    share = calibration.false_accept(real_numbers(rows.column("alignment")), text_language(rows))
    return rows.append_column("false_accept", pa.array(share, mask=np.isnan(share)))


def text_language(rows: pa.Table) -> pa.ChunkedArray:
    """The language of each row's text: as its source declares it, else as measured, else null."""
    declared = rows.column("declared_language")
    return pc.coalesce(declared, rows.column("language")) if "language" in rows.column_names else declared


def unknown_to(rows: pa.Table, languages: Sequence[str]) -> list[tuple[int, str]]:
    """The rows whose text is in a language that the encoder does not state to know."""
    known = {language.partition("-")[0].lower() for language in languages}
    spoken = text_language(rows)
    foreign = [tag for tag in pc.unique(spoken).to_pylist() if tag and tag.partition("-")[0].lower() not in known]
    if not foreign:
        return []
    at = np.flatnonzero(pc.is_in(spoken, pa.array(foreign)).to_numpy())
    return list(zip(at.tolist(), spoken.take(pa.array(at)).to_pylist(), strict=True))


def _with_errors(rows: pa.Table, name: str, errors: pa.ChunkedArray) -> pa.Table:
    """The rows with failures of embedding in the column `name`: who entered the stage had none."""
    return rows.set_column(rows.schema.get_field_index(name), name, errors)
