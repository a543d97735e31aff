"""Near-duplicate texts, measured: which captions, and documents of one text, share most of their n-grams."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from sluice.corpus.alike import load_alike, save_alike, saved_as
from sluice.corpus.minhash import bands_for, near_texts
from sluice.corpus.ngrams import Grams, distinct, folded
from sluice.run.alike_step import compared, forget_members, members_are, pairs_path, write_members
from sluice.run.rules.order import Order
from sluice.table.ids import fingerprint
from sluice.table.layout import FILTERED, Layout
from sluice.table.read import read_table

if TYPE_CHECKING:
    from sluice.run.alike_config import TextDuplicatesConfig

_COLUMNS: Final = ("ordinal", "images", "texts", "captions", "alternative", "text")


def measure_texts(layout: Layout, config: TextDuplicatesConfig, order: Order, rows_name: str) -> None:
    """Bring the pairs of 01_filtered up to date with its rows."""
    bands = bands_for(config.jaccard, config.permutations, config.bands)
    settings = (config.unit, str(config.n), repr(config.jaccard), str(bands.bands), str(bands.rows))
    of_pairs = fingerprint("texts/1", rows_name, *settings)
    name = fingerprint("text members/1", of_pairs, order.sql)
    if members_are(layout, FILTERED, name):
        return
    forget_members(layout, FILTERED)
    rows = read_table(layout.rows, _COLUMNS)
    row = np.flatnonzero(compared(rows, "text"))
    texts, node = distinct(folded(rows.column("text").cast(pa.large_string()).combine_chunks().take(row)))
    del rows
    path = pairs_path(layout, FILTERED)
    if not saved_as(path, of_pairs):
        save_alike(near_texts(texts, Grams(config.unit, config.n), config.jaccard, bands), path, of_pairs)
    empty = np.diff(texts.offsets) == 0
    write_members(
        layout, FILTERED, load_alike(path), np.where(empty[node], -1, node), row, order, name, about_text=True
    )
