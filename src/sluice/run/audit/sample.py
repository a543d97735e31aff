"""Who is audited: a seeded sample of each stratum, a function of the packed ids, the seed and the size."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from sluice.corpus.drawing import draw_keys
from sluice.corpus.strata import Stratum, allot, gathered
from sluice.run.packed import PackedTables

COLUMNS: Final = ("split", "source", "language")
LEAST: Final = 2  # samples of a stratum: one that errs is then not the whole of it


@dataclass(frozen=True)
class Drawn:
    """The sample: the strata with their sizes, and who was drawn of which, in the order in which they are judged."""

    columns: tuple[str, ...]
    sizes: dict[Stratum, int]
    rows: tuple[tuple[str, Stratum], ...]  # id and stratum


def strata_of(tables: PackedTables) -> tuple[tuple[str, ...], list[tuple[str, Stratum]]]:
    """The columns that the strata are made of, and every packed id with its stratum. A language is the first text's."""
    if "language" not in tables.columns:
        found = tables.duck.execute("SELECT id, split, source FROM packed ORDER BY id").fetchall()
        return COLUMNS[:2], [(id, (split, source)) for id, split, source in found]
    found = tables.duck.execute(
        """
        SELECT id, split, source, coalesce(spoken, 'und') FROM packed LEFT JOIN (
            SELECT id, arg_min(coalesce(language, declared_language), text_item) AS spoken FROM rows GROUP BY id)
        USING (id) ORDER BY id
        """
    ).fetchall()
    return COLUMNS, [(id, tuple(stratum)) for id, *stratum in found]


def draw(columns: Sequence[str], packed: Iterable[tuple[str, Stratum]], seed: int, size: int) -> Drawn:
    """Draw about `size` in proportion to the strata, at least `LEAST` of each; the order of `packed` has no say.

    >>> packed = [(f"{number:03}", ("train" if number % 10 else "val",)) for number in range(100)]
    >>> drawn = draw(["split"], packed, seed=0, size=10)
    >>> drawn == draw(["split"], reversed(packed), seed=0, size=10)
    True
    >>> sorted(stratum for _, (stratum,) in drawn.rows).count("val")
    2
    """
    known = dict(packed)
    counts = Counter(known.values())
    counted_as = gathered(counts, max(1, size // LEAST))
    members: defaultdict[Stratum, list[str]] = defaultdict(list)
    for id in sorted(known):
        members[counted_as[known[id]]].append(id)
    sizes = {stratum: len(members[stratum]) for stratum in sorted(members)}
    chosen: list[tuple[int, str, Stratum]] = []
    for stratum, number in allot(sizes, size, LEAST).items():
        keys = draw_keys("audit", seed, members[stratum])
        first = np.argsort(keys, kind="stable")[:number].tolist()
        chosen += [(int(keys[place]), members[stratum][place], stratum) for place in first]
    # Mixed: who judges a stratum at a time judges by what came before.
    return Drawn(tuple(columns), sizes, tuple((id, stratum) for _, id, stratum in sorted(chosen)))
