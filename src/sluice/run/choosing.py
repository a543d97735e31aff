"""Choosing among captions by how well they fit: speakers of 03_quality_checked beside the recipe's rules.

What a rule speaks against is out of the choice. A captioner that makes a unit's captions fit worse than they did is
held with all that it said of the unit, and what was made of that; such a sample falls back on its other captions.
Variations are no captioner's: they compete, and nothing is held for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.caption.choice import ALTERNATIVE, RAW, Choice, choose
from sluice.run.decide import HELD, KEPT, REJECTED, RowFacts, Speaker
from sluice.run.generated_rows import ORIGIN, VARIES
from sluice.run.judging import MoreSpeakers, row_facts
from sluice.run.locked import LockedFilter
from sluice.run.row_parts import EVERY_ROW, RowPart, row_parts
from sluice.table.arrays import codes, numbers, real_numbers
from sluice.table.compute import pc
from sluice.table.footer import parts
from sluice.table.layout import CHECKED

WORSE: Final = "captions_worse"
NOT_BEST: Final = "not_best"
_ITEMS: Final = 2**16  # more than a sample has
_ALL: Final = -2.0  # below every cosine


def caption_choice(alternatives: int | None) -> MoreSpeakers:
    """Who chooses among captions; `alternatives` are kept beside the best, None: all that pass."""

    def speakers(part: RowPart, facts: RowFacts, others: Sequence[Speaker]) -> list[Speaker]:
        table = _Candidates.read(part, facts)
        said: list[Speaker] = []
        if _any_generated(part):
            worse = table.choice(table.of_captioners()).worse
            worse = worse | table.made_from(worse)
            said.append(Speaker(WORSE, (worse * np.int8(HELD)).astype(np.int8), about_text=True))
        if alternatives is not None:
            fit = table.cosine.copy()
            for speaker in (*others, *said):
                if speaker.about_text:
                    fit[speaker.severity > KEPT] = np.nan
            beaten = (table.choice(fit, alternatives).role > ALTERNATIVE) & ~np.isnan(fit)
            said.append(Speaker(NOT_BEST, (beaten * np.int8(REJECTED)).astype(np.int8), about_text=True))
        return said

    return speakers


def choosing_in(stage: str, locked: LockedFilter) -> MoreSpeakers | None:
    """Who chooses among captions in a stage of a run that is asked again."""
    return caption_choice(locked.alternatives) if stage == CHECKED else None


def _any_generated(part: RowPart) -> bool:
    """Whether a captioner said anything in the whole stage: who speaks must not depend on the part."""
    known = ORIGIN in pq.read_schema(part.path).names
    return known and any(group.nulls != group.rows for group in parts(part.metadata, ORIGIN))


def batches_of(path: Path) -> list[dict[str, Any]]:
    """By captioner: samples with captions of the source and of it, mean cosine before and after, units held."""
    (every,) = row_parts(path, EVERY_ROW)
    table = _Candidates.read(every, row_facts(every))
    batches = table.choice(table.of_captioners()).batches
    varied = set(table.origin[table.varies >= 0].tolist())
    found: list[dict[str, Any]] = []
    for number, name in enumerate(table.names):
        if number in varied:
            continue
        mine = [batch for batch in batches if batch.captioner == number and batch.samples]
        samples = sum(batch.samples for batch in mine)
        means = {
            when: round(sum(getattr(batch, when) * batch.samples for batch in mine) / samples, 4) if samples else None
            for when in ("before", "after")
        }
        held = sum(batch.held for batch in mine)
        found.append({"captioner": name, "samples": samples, **means, "units_held": held})
    return found


@dataclass(frozen=True)
class _Candidates:
    """The captions of a stage as the choice takes them, a row each."""

    cosine: npt.NDArray[np.float64]  # NaN where the text is no caption, or fits nothing
    origin: npt.NDArray[np.int64]  # number of the captioner; RAW where the source said it
    unit: npt.NDArray[np.int64]
    item: npt.NDArray[np.int64]
    varies: npt.NDArray[np.int64]  # the item that it is a variation of; -1: none
    names: Sequence[str]
    facts: RowFacts

    @staticmethod
    def read(part: RowPart, facts: RowFacts) -> _Candidates:
        """From some rows; without a column of origins the source said everything."""
        generated = ORIGIN in pq.read_schema(part.path).names
        wanted = ["alignment", "unit", "text_item", *([ORIGIN, VARIES] if generated else [])]
        table = part.read(wanted, encoded=[ORIGIN] if generated else [])
        cosine = real_numbers(table.column("alignment")).astype(np.float64)
        cosine[~facts.alternative] = np.nan
        unit = numbers(table.column("unit")).astype(np.int64)
        if not generated:
            nobody = np.full(len(cosine), RAW)
            return _Candidates(cosine, nobody, unit, nobody, nobody, (), facts)
        column = table.column(ORIGIN).unify_dictionaries()
        names = column.chunk(0).dictionary.to_pylist() if column.num_chunks else []
        item, varies = (_or_none(table.column(name)) for name in ("text_item", VARIES))
        return _Candidates(cosine, codes(column), unit, item, varies, names, facts)

    def of_captioners(self) -> npt.NDArray[np.float64]:
        """The cosines without those of variations."""
        return np.where(self.varies >= 0, np.nan, self.cosine)

    def made_from(self, marked: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """The variations of the rows that are `marked`."""
        owner = self.facts.sample * _ITEMS
        found = np.isin(owner + self.varies, (owner + self.item)[marked & (self.item >= 0)])
        return found & (self.varies >= 0)

    def choice(self, cosine: npt.NDArray[np.float64], alternatives: int = 0) -> Choice:
        """What is chosen by these cosines."""
        samples = self.facts.samples
        return choose(
            self.facts.sample, cosine, self.origin, self.unit, _ALL, alternatives=alternatives, samples=samples
        )


def _or_none(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """The numbers of a column; -1 where there is none."""
    return pc.fill_null(column, -1).to_numpy().astype(np.int64)
