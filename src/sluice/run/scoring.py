"""Scoring: the values of a recipe's scores, each computed once for a unit, as other measures are.

A head is computed anew where a unit's vectors were: that takes no time. A classifier is asked for what is missing only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import pyarrow as pa

from sluice.engine import Engine, WorkerContext
from sluice.measures.views import failed
from sluice.media.limits import Limits
from sluice.run.embedding import (
    Chosen,
    EmbedJob,
    EncoderFacts,
    ItemIndex,
    bring_up_to_date,
    item_keys,
    measured,
    of_chosen,
    with_missing,
)
from sluice.run.events import Events
from sluice.run.measuring import UnitCost
from sluice.run.score_config import HttpScoreConfig
from sluice.run.scores import Score
from sluice.table.commit import write_table
from sluice.table.compute import pc
from sluice.table.layout import CHECKED, Layout
from sluice.table.read import read_table
from sluice.table.vectors import read_vectors

SCORE_UNIT: Final = "sluice.run.scoring:score_unit"


@dataclass(frozen=True)
class Scoring:
    """What scores whose items: picklable, the same in every process."""

    score: Score
    encoder: EncoderFacts
    limits: Limits

    @property
    def store(self) -> str:
        """The folder of the values."""
        return self.score.store(self.encoder.store, self.limits)


def score_units(
    layout: Layout, scorings: Sequence[Scoring], chosen: Chosen, units: int, engine: Engine, events: Events
) -> dict[str, float]:
    """Score what is missing of the `chosen` samples, whose vectors are there; the seconds spent, over all workers."""
    seconds: Counter[str] = Counter()
    for scoring in scorings:
        if not isinstance(scoring.score.config, HttpScoreConfig):
            scoring.score.head(scoring.encoder.identity)  # one of another encoder is said now
    for scoring in scorings:
        path_of, shared = partial(layout.measured, scoring.store, stage=CHECKED), (layout, scoring)
        told = {"score": scoring.score.name}
        seconds.update(bring_up_to_date(SCORE_UNIT, shared, path_of, chosen, units, engine, events, "scoring", **told))
    return dict(seconds)


def score_unit(shared: tuple[Layout, Scoring], job: EmbedJob, context: WorkerContext) -> UnitCost:
    """Bring the values of one score for one unit up to date. Runs in a worker."""
    layout, scoring = shared
    path = layout.measured(scoring.store, job.unit, CHECKED)
    if isinstance(scoring.score.config, HttpScoreConfig):
        asking = scoring.score.asking(scoring.limits)
        table, cost = with_missing(
            layout, path, job, lambda items: measured(asking, job.unit, items, context), (scoring.score.of,)
        )
    else:
        table, cost = _by_head(layout, scoring, job)
    write_table(path, table)
    return cost


def with_scores(rows: pa.Table, layout: Layout, scorings: Sequence[Scoring], unit: int) -> pa.Table:
    """The rows of a unit with a column for each number of the scores; a failure stands beside those of measures."""
    for scoring in scorings:
        known = read_table(layout.measured(scoring.store, unit, CHECKED), threads=False)
        of = scoring.score.of
        if not len(known):
            for name, kind in scoring.score.columns.items():
                rows = rows.append_column(name, pa.nulls(len(rows), kind))
            continue
        row, absent = ItemIndex(known).rows(rows.column("id"), rows.column(f"{of}_item"))
        place = pa.array(row, mask=absent)
        for name in scoring.score.columns:
            rows = rows.append_column(name, known.column(name).take(place))
        rows = _with_errors(rows, f"{of}_error", known.column("error").take(place))
    return rows


def _by_head(layout: Layout, scoring: Scoring, job: EmbedJob) -> tuple[pa.Table, UnitCost]:
    keys, vectors = read_vectors(layout.measured(scoring.encoder.store, job.unit, CHECKED))
    items = of_chosen(layout, job)
    items = items.filter(pc.equal(items.column("kind"), scoring.score.of))
    mine = np.isin(item_keys(keys, keys), item_keys(items, keys))
    keys, vectors = keys.filter(pa.array(mine)), vectors[mine]
    scores = scoring.score.head(scoring.encoder.identity).score(vectors)
    unscored = ~np.isfinite(scores)
    no_vector = np.isnan(vectors).any(axis=1)
    failure = failed("model", f"the head {scoring.score.name} gave no number")
    errors = [failure if gave_none else None for gave_none in (unscored & ~no_vector).tolist()]
    columns: dict[str, Any] = {
        "id": keys.column("id"),
        "item": keys.column("item"),
        "error": pa.array(errors, pa.string()),
        scoring.score.name: pa.array(scores, mask=unscored),
    }
    table = pa.table(columns).replace_schema_metadata(job.chosen.metadata)
    samples: int = pc.count_distinct(keys.column("id")).as_py()
    return table, UnitCost(job.unit, samples, len(errors) - errors.count(None), 0, {})


def _with_errors(rows: pa.Table, name: str, errors: pa.ChunkedArray) -> pa.Table:
    """The rows with `errors` after those that stand in the column `name`."""
    if errors.null_count == len(errors):
        return rows
    pairs = zip(rows.column(name).to_pylist(), errors.to_pylist(), strict=True)
    both = [" | ".join(error for error in pair if error) or None for pair in pairs]
    return rows.set_column(rows.schema.get_field_index(name), name, pa.array(both, pa.string()))
