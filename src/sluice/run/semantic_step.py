"""Semantic duplicates, measured: the pairs of samples whose stored vectors have at least a cosine.

The vectors that are compared are laid one after the other in a file of the run, which goes when they are compared: what
is held at a time is a unit, then two blocks of a partition.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from sluice.corpus.alike import load_alike, save_alike, saved_as
from sluice.corpus.semantic import similar_pairs
from sluice.corpus.unit_vectors import equal_vectors
from sluice.corpus.vector_file import VectorFile
from sluice.run.alike_step import compared, forget_members, members_are, pairs_path, write_members
from sluice.run.decide import Indices
from sluice.run.embedding import UnitVectors
from sluice.run.rules.order import Order
from sluice.table.commit import PARTIAL, explain
from sluice.table.ids import fingerprint
from sluice.table.layout import CHECKED, Layout
from sluice.table.read import UnitReader

if TYPE_CHECKING:
    from sluice.run.alike_config import SemanticDuplicatesConfig

_COLUMNS: Final = ("id", "ordinal", "image_item", "text_item", "images", "texts", "captions", "alternative")


def measure_semantic(
    layout: Layout, config: SemanticDuplicatesConfig, order: Order, store: str, units: int, rows_name: str
) -> None:
    """Bring the pairs of 03_quality_checked up to date; `rows_name` is what its rows and vectors are made from."""
    settings = (config.of, repr(config.cosine), str(config.partitions), str(config.probes))
    of_pairs = fingerprint("semantic/1", rows_name, store, *settings)
    name = fingerprint("semantic members/1", of_pairs, order.sql)
    if members_are(layout, CHECKED, name):
        return
    forget_members(layout, CHECKED)
    path = pairs_path(layout, CHECKED)
    with _laid_out(layout, config.of, store, units) as (row, vectors):
        node = equal_vectors(vectors)
        if not saved_as(path, of_pairs):
            distinct = np.flatnonzero(node == np.arange(len(node)))
            found = similar_pairs(vectors, distinct, config.cosine, config.partitions, config.probes)
            save_alike(found, path, of_pairs)
    about_text = config.of == "text"
    write_members(layout, CHECKED, load_alike(path), node, row, order, name, about_text=about_text)


@contextmanager
def _laid_out(layout: Layout, of: str, store: str, units: int) -> Generator[tuple[Indices, VectorFile]]:
    """The rows that are compared, and their vectors in the same order."""
    path = layout.state / f"vectors{PARTIAL}"
    row: list[Indices] = [np.zeros(0, np.int64)]
    start, dim = 0, 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file, UnitReader(layout.rows_of(CHECKED), _COLUMNS) as reader:
            for unit in range(units):
                rows = reader.read(unit)
                chosen = np.flatnonzero(compared(rows, of)) if len(rows) else np.zeros(0, np.int64)
                if len(chosen):
                    ids, items = (rows.column(name).take(pa.array(chosen)) for name in ("id", f"{of}_item"))
                    vectors = UnitVectors(layout, store, unit).of(ids, items)
                    dim = vectors.shape[1]
                    file.write(np.ascontiguousarray(vectors).data)
                row.append(chosen + start)
                start += len(rows)
        every = np.concatenate(row)
        vectors = VectorFile(path, len(every), dim)
        try:
            yield every, vectors
        finally:
            vectors.close()
    except OSError as error:
        raise explain(error, path) from error
    finally:
        path.unlink(missing_ok=True)
