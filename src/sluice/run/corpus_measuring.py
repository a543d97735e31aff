"""Measuring for the corpus steps of 01_filtered: the tables under `corpus/`, each named by what it was made from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.corpus.duplicates import measured_near_index, near_index, save_near_index
from sluice.corpus.hamming import matches_against
from sluice.corpus.native_join import Progress
from sluice.run.corpus_steps import CONTAMINATED_SCHEMA, CorpusFacts, load_corpus
from sluice.run.corpus_values import captions_of_several, first_rows, first_values, rows_of_repeated
from sluice.run.rules.order import Order
from sluice.run.rules.row_columns import take
from sluice.run.rules.sandbox import sandbox
from sluice.run.text_step import measure_texts
from sluice.table.arrays import distinct_numbers
from sluice.table.commit import write_table
from sluice.table.compute import pc
from sluice.table.ids import fingerprint
from sluice.table.layout import Layout

if TYPE_CHECKING:
    from sluice.run.filter_config import DuplicatesConfig, NearConfig

_FINGERPRINT: Final = b"sluice.fingerprint"


@dataclass(frozen=True)
class Orders:
    """Which member of a cluster is kept."""

    near: Order  # of images
    text: Order


@dataclass(frozen=True)
class Reference:
    """The hashes of a reference set, with what to call each."""

    name: str
    hashes: Any  # NDArray[uint64]
    keys: list[str]
    distance: int


def measure_corpus(
    layout: Layout,
    config: DuplicatesConfig,
    orders: Orders,
    references: list[Reference],
    rows_name: str,
    progress: Progress | None = None,
) -> CorpusFacts:
    """Bring the tables under `corpus/` up to date with rows.parquet; each is made again only if its inputs changed.

    `progress` is told the share of the comparing of all images that is done.
    """
    columns = set(pq.read_schema(layout.rows).names)
    near, order = config.near, orders.near
    if near is not None:
        name = fingerprint("near/1", rows_name, near.hash, str(near.distance), order.sql)
        if not _has(layout.corpus("near_members"), name):
            _measure_near(layout, near, order, name, fingerprint("pairs/1", rows_name, near.hash), progress)
    if config.bytes and "sha256" in columns:
        name = fingerprint("bytes/1", rows_name, order.sql)
        if not _has(layout.corpus("same_bytes"), name):
            _write(layout.corpus("same_bytes"), _members(layout, rows_of_repeated(layout.rows, "sha256"), order), name)
    if "text_hash" in columns and (config.captions or config.boilerplate):
        name = fingerprint("captions/1", rows_name)
        if not _has(layout.corpus("captions"), name):
            _write(layout.corpus("captions"), captions_of_several(layout.rows), name)
    if references:
        digests = [fingerprint(ref.name, str(ref.distance), ref.hashes) for ref in references]
        name = fingerprint("against/1", rows_name, *digests)
        if not _has(layout.corpus("contaminated"), name):
            hash_column = near.hash if near else "phash"
            _write(layout.corpus("contaminated"), _contaminated(layout, references, hash_column), name)
    if config.text is not None:
        measure_texts(layout, config.text, orders.text, rows_name)
    return load_corpus(layout, config)


def _measure_near(
    layout: Layout, config: NearConfig, order: Order, name: str, hashes: str, progress: Progress | None
) -> None:
    layout.corpus("near_members").unlink(missing_ok=True)  # it names what the pairs were made from: goes first
    pairs = layout.corpus("near_pairs")
    index = measured_near_index(pairs, hashes, config.distance)
    if index is None:
        values = first_values(layout.rows, config.hash)
        index = near_index(values, config.distance, folder=layout.state, progress=progress)
    save_near_index(index, pairs, hashes)
    near = distinct_numbers(np.concatenate([index.unique[index.pairs.a], index.unique[index.pairs.b]]))
    _write(
        layout.corpus("near_members"),
        _members(layout, rows_of_repeated(layout.rows, config.hash, near), order, near),
        name,
    )


def _members(layout: Layout, first: pa.Table, order: Order, also: Any = None) -> pa.Table:
    """ordinal, value, rank of the samples whose value another shares, or whose value is among `also`; by ordinal.

    `rank` is their order of preference by the recipe's `keep`; ties fall to the earlier sample.
    """
    value = first.column("value").combine_chunks()
    counts = pc.value_counts(value)
    shared = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
    belongs = pc.is_in(value, shared)
    if also is not None:
        belongs = pc.or_(belongs, pc.is_in(value, pa.array(also)))
    members = first.filter(belongs)
    ordinal = members.column("ordinal").to_numpy()
    with sandbox() as duck:  # `order` is the recipe's own SQL
        rows = take(layout.rows, list({*order.columns, "ordinal"}), members.column("row").to_numpy())
        duck.register("members", rows)
        best_first = duck.sql(f"SELECT ordinal FROM members ORDER BY {order.sql}, ordinal").to_arrow_table()
    rank = np.empty(len(ordinal), np.int64)
    rank[np.searchsorted(ordinal, best_first.column("ordinal").to_numpy())] = np.arange(1, len(ordinal) + 1)
    return members.drop_columns(["row"]).append_column("rank", pa.array(rank))


def _contaminated(layout: Layout, references: list[Reference], column: str) -> pa.Table:
    table = first_rows(layout.rows, column)
    hashes, ordinal = table.column("value").to_numpy(), table.column("ordinal").to_numpy()
    found: list[pa.Table] = []
    for reference in references:
        index, match, bits = matches_against(hashes, reference.hashes, reference.distance)
        keys = pa.array(reference.keys, pa.string()).take(pa.array(match))
        names = pa.array([reference.name] * len(index), pa.string())
        found.append(pa.table([pa.array(ordinal[index]), names, keys, pa.array(bits)], schema=CONTAMINATED_SCHEMA))
    return pa.concat_tables(found).sort_by([("ordinal", "ascending"), ("reference", "ascending")])


def _has(path: Path, name: str) -> bool:
    return path.is_file() and (pq.read_schema(path).metadata or {}).get(_FINGERPRINT) == name.encode()


def _write(path: Path, table: pa.Table, name: str) -> None:
    write_table(path, table.replace_schema_metadata({_FINGERPRINT: name.encode()}))
