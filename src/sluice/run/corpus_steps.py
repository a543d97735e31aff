"""The corpus steps of 01_filtered: what must see all samples at once, over ids and small columns only.

Each is first a *measurement* over all samples, stored under `corpus/` and independent of the rules; deciding then
restricts it to the samples that the rules left. So a changed threshold joins no hashes again.

Duplicates are sought among pairs: samples of one image whose texts are captions. Two conversations about the same
image are two samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.corpus.clusters import diameters
from sluice.corpus.duplicates import (
    Cluster,
    NearIndex,
    load_near_index,
    measured_near_index,
    near_clusters,
    near_index,
    repeated_captions,
    same_bytes,
    save_near_index,
)
from sluice.corpus.hamming import matches_against
from sluice.corpus.native_join import Progress
from sluice.run.alike_step import AlikeFacts, load_facts
from sluice.run.decide import KEPT, REJECTED, Decision, Flags, Indices, RowFacts, Speaker
from sluice.run.rights_gate import OPTED_OUT
from sluice.run.rules.order import Order
from sluice.run.rules.row_columns import take
from sluice.run.rules.sandbox import sandbox
from sluice.run.text_step import measure_texts
from sluice.table.arrays import numbers
from sluice.table.commit import write_table
from sluice.table.compute import pc
from sluice.table.ids import fingerprint
from sluice.table.layout import FILTERED, Layout
from sluice.table.read import read_table

if TYPE_CHECKING:
    from sluice.run.recipe import DuplicatesConfig, NearConfig

NEAR: Final = "near_duplicate"
SAME_BYTES: Final = "duplicate_bytes"
SAME_CAPTION: Final = "duplicate_caption"
BOILERPLATE: Final = "boilerplate_caption"
CONTAMINATED: Final = "contaminated"
_FINGERPRINT: Final = b"sluice.fingerprint"


class NearAsked(Protocol):
    """Of `NearConfig`, what deciding needs."""

    @property
    def cluster(self) -> Cluster: ...


class DuplicatesAsked(Protocol):
    """Of `DuplicatesConfig`, what deciding needs: to ask a run again takes no recipe that was checked anew."""

    @property
    def bytes(self) -> bool: ...
    @property
    def captions(self) -> bool: ...
    @property
    def boilerplate(self) -> int | None: ...
    @property
    def near(self) -> NearAsked | None: ...
    @property
    def against(self) -> Sequence[object]: ...
    @property
    def alike(self) -> NearAsked | None: ...


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


@dataclass(frozen=True)
class CorpusFacts:
    """What the corpus steps measured, as loaded from `corpus/`."""

    near: NearIndex | None
    near_members: pa.Table | None  # ordinal, hash, rank: only those with an equal or near hash
    bytes_members: pa.Table | None  # ordinal, sha256, rank: only those with an equal
    captions: pa.Table | None  # row, images (on how many the caption stands), repeat: only those with either
    contaminated: pa.Table  # ordinal, reference, key, distance
    opted_out: pa.Table  # ordinal, list, entry, value, distance
    alike: AlikeFacts | None = None


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
            _write(layout.corpus("same_bytes"), _members(layout, _first_rows(layout, "sha256"), order), name)
    if "text_hash" in columns and (config.captions or config.boilerplate):
        name = fingerprint("captions/1", rows_name)
        if not _has(layout.corpus("captions"), name):
            _write(layout.corpus("captions"), _repeated_captions(layout), name)
    if references:
        digests = [fingerprint(ref.name, str(ref.distance), ref.hashes.tobytes().hex()) for ref in references]
        name = fingerprint("against/1", rows_name, *digests)
        if not _has(layout.corpus("contaminated"), name):
            hash_column = near.hash if near else "phash"
            _write(layout.corpus("contaminated"), _contaminated(layout, references, hash_column), name)
    if config.text is not None:
        measure_texts(layout, config.text, orders.text, rows_name)
    return load_corpus(layout, config)


def load_corpus(layout: Layout, config: DuplicatesAsked, stage: str = FILTERED) -> CorpusFacts:
    """What `measure_corpus` stored, as far as `config` asks for it; of a later stage, what is alike alone."""
    alike = load_facts(layout, stage, asked=config.alike is not None)
    if stage != FILTERED:
        return replace(NO_CORPUS, alike=alike)

    def read(name: str, wanted: bool, *encoded: str) -> pa.Table | None:
        path = layout.corpus(name)
        return read_table(path, encoded=encoded) if wanted and path.is_file() else None

    near = config.near is not None and layout.corpus("near_members").is_file()
    contaminated = read("contaminated", bool(config.against))
    opted_out = read("opted_out", True)  # there only while the recipe names lists
    return CorpusFacts(
        load_near_index(layout.corpus("near_pairs")) if near else None,
        read("near_members", near),
        read("same_bytes", config.bytes, "value"),
        read("captions", config.captions or config.boilerplate is not None),
        contaminated if contaminated is not None else pa.Table.from_batches([], _CONTAMINATED),
        opted_out if opted_out is not None else pa.Table.from_batches([], OPTED_OUT_SCHEMA),
        alike,
    )


def caption_speakers(facts: CorpusFacts, config: DuplicatesAsked, rows: int) -> list[Speaker]:
    """What the corpus says of captions: repeated within their sample, or standing on too many images."""
    if facts.captions is None:
        return []
    row = numbers(facts.captions.column("row"))
    speakers: list[Speaker] = []
    if config.captions:
        repeat = numbers(facts.captions.column("repeat"))
        speakers.append(_caption_speaker(SAME_CAPTION, row[repeat], rows))
    if config.boilerplate is not None:
        images = numbers(facts.captions.column("images"))
        speakers.append(_caption_speaker(BOILERPLATE, row[images > config.boilerplate], rows))
    return speakers


def contamination_speaker(facts: CorpusFacts, row_facts: RowFacts) -> Speaker | None:
    """What the reference sets say: samples that match one of their images."""
    if not facts.contaminated.num_rows:
        return None
    severity = np.zeros(len(row_facts.sample), np.int8)
    hit = np.isin(row_facts.sample, numbers(facts.contaminated.column("ordinal")))
    severity[hit] = REJECTED
    return Speaker(CONTAMINATED, severity, about_text=False)


def opt_out_speaker(facts: CorpusFacts, row_facts: RowFacts) -> Speaker | None:
    """What opt-out lists say: samples that one of them names."""
    if not facts.opted_out.num_rows:
        return None
    severity = np.zeros(len(row_facts.sample), np.int8)
    severity[np.isin(row_facts.sample, numbers(facts.opted_out.column("ordinal")))] = REJECTED
    return Speaker(OPTED_OUT, severity, about_text=False)


@dataclass(frozen=True)
class Duplicates:
    """Which survivors the corpus steps reject, and in whose favour.

    Held for the few that have an equal or a near one, `members`; the properties say the same of every sample.
    """

    samples: int
    members: Indices  # ordinals, ascending; what follows is by member
    chosen: Indices  # place, among the members, of the one kept in its stead; its own where it is kept or has none
    bits: Indices
    loses_by_bytes: Flags
    loses_by_hash: Flags
    in_cluster: Flags

    @cached_property
    def keeper(self) -> Indices:
        """By sample: ordinal of the keeper of its cluster; itself where it has none."""
        keeper = np.arange(self.samples)
        keeper[self.members] = self.members[self.chosen]
        return keeper

    @cached_property
    def distance(self) -> Indices:
        """By sample: bits to the keeper; 0 where it is itself or equal in bytes."""
        return self._spread(self.bits)

    @cached_property
    def by_bytes(self) -> Flags:
        """By sample: rejected for bytes that a kept one has."""
        return self._spread(self.loses_by_bytes)

    @cached_property
    def by_hash(self) -> Flags:
        """By sample: rejected for a hash near to a kept one's."""
        return self._spread(self.loses_by_hash)

    @cached_property
    def clustered(self) -> Flags:
        """By sample: in a cluster of more than one, keepers included."""
        return self._spread(self.in_cluster)

    def _spread(self, by_member: Any) -> Any:
        everywhere = np.zeros(self.samples, by_member.dtype)
        everywhere[self.members] = by_member
        return everywhere


def find_duplicates(facts: CorpusFacts, config: DuplicatesAsked, decision: Decision) -> Duplicates:
    """Clusters among the samples that `decision` keeps: equal bytes first, then near hashes."""
    same = facts.bytes_members if facts.bytes_members is not None and facts.bytes_members.num_rows else None
    near = facts.near_members if facts.near_members is not None and facts.near_members.num_rows else None
    ordinals = [_numbers(table)[0] for table in (same, near) if table is not None]
    members = _either(ordinals, len(decision.severity))
    chosen = np.arange(len(members))
    bits = np.zeros(len(members), np.int64)
    by_bytes, by_hash, clustered = (np.zeros(len(members), np.bool_) for _ in range(3))
    alive = decision.severity[members] == KEPT
    if same is not None:
        ordinal, rank = _numbers(same)
        place = np.searchsorted(members, ordinal)
        _record(place, same_bytes(same.column("value"), alive[place], rank), chosen, by_bytes, clustered)
        alive &= ~by_bytes
    if near is not None and facts.near is not None and config.near:
        ordinal, rank = _numbers(near)
        place = np.searchsorted(members, ordinal)
        hashes = numbers(near.column("value"))
        kept, apart = near_clusters(facts.near, hashes, alive[place], rank, config.near.cluster)
        _record(place, kept, chosen, by_hash, clustered)
        bits[place] = apart
    bits = np.where(by_bytes, bits[chosen], bits)  # equal bytes of a near-duplicate ...
    chosen = chosen[chosen]  # ... belong to the near-duplicate's keeper, as far away as it is
    return Duplicates(len(decision.severity), members, chosen, bits, by_bytes, by_hash, clustered)


def cluster_table(facts: CorpusFacts, duplicates: Duplicates, ids: pa.Array) -> pa.Table:
    """One row a cluster: its keeper's id, its members, and how far apart its two most different ones are.

    `exact` is false where a cluster is so large that `diameter` is only a bound.
    """
    members, keepers = np.flatnonzero(duplicates.clustered), np.unique(duplicates.keeper[duplicates.clustered])
    size = np.bincount(np.searchsorted(keepers, duplicates.keeper[members]), minlength=len(keepers))
    diameter, exact = np.zeros(len(keepers), np.uint8), np.ones(len(keepers), np.bool_)
    if facts.near_members is not None and facts.near_members.num_rows:
        ordinal, hashes = (facts.near_members.column(name).to_numpy() for name in ("ordinal", "value"))
        inside = np.isin(ordinal, members)  # equal bytes have equal hashes: all members of a cluster are here
        ordinal, hashes = ordinal[inside], hashes[inside]
        found = diameters(hashes, np.searchsorted(ordinal, duplicates.keeper[ordinal]))
        place = np.searchsorted(keepers, ordinal[found.keeper])
        diameter[place], exact[place] = found.diameter, found.exact
    return pa.table(
        {"cluster": ids.take(pa.array(keepers)), "size": pa.array(size), "diameter": diameter, "exact": exact}
    )


def _either(ordinals: Sequence[Indices], samples: int) -> Indices:
    """The ordinals that are in one of the lists, ascending."""
    named = np.zeros(samples, np.bool_)
    for ordinal in ordinals:
        named[ordinal] = True
    return np.flatnonzero(named)


def _record(place: Indices, kept: Indices, chosen: Indices, rejected: Flags, clustered: Flags) -> None:
    loses = kept != np.arange(len(kept))
    chosen[place[loses]] = place[kept[loses]]
    rejected[place[loses]] = True
    clustered[place[loses]] = True
    clustered[place[kept[loses]]] = True


def _numbers(members: pa.Table) -> tuple[Indices, Indices]:
    return numbers(members.column("ordinal")), numbers(members.column("rank"))


def _caption_speaker(name: str, rows: Any, total: int) -> Speaker:
    severity = np.zeros(total, np.int8)
    severity[rows] = REJECTED
    return Speaker(name, severity, about_text=True)


_CONTAMINATED: Final = pa.schema(
    [("ordinal", pa.int64()), ("reference", pa.string()), ("key", pa.string()), ("distance", pa.uint8())]
)


OPTED_OUT_SCHEMA: Final = pa.schema(
    [
        ("ordinal", pa.int64()),
        ("list", pa.string()),
        ("entry", pa.string()),
        ("value", pa.string()),
        ("distance", pa.uint8()),
    ]
)
NO_CORPUS: Final = CorpusFacts(
    None, None, None, None, pa.Table.from_batches([], _CONTAMINATED), pa.Table.from_batches([], OPTED_OUT_SCHEMA)
)
"""What is known where no corpus step is asked for."""


def _measure_near(
    layout: Layout, config: NearConfig, order: Order, name: str, hashes: str, progress: Progress | None
) -> None:
    layout.corpus("near_members").unlink(missing_ok=True)  # it names what the pairs were made from: goes first
    first = _first_rows(layout, config.hash)
    pairs = layout.corpus("near_pairs")
    index = measured_near_index(pairs, hashes, config.distance)
    if index is None:
        values = first.column("value").to_numpy()
        index = near_index(values, config.distance, folder=layout.state, progress=progress)
    save_near_index(index, pairs, hashes)
    near = np.unique(np.concatenate([index.unique[index.pairs.a], index.unique[index.pairs.b]]))
    _write(layout.corpus("near_members"), _members(layout, first, order, near), name)


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


def _first_rows(layout: Layout, column: str) -> pa.Table:
    """ordinal, row, value: the first row of each sample that is a pair and has a value in `column`; by ordinal."""
    table = read_table(layout.rows, ["ordinal", "images", "texts", "captions", column])
    first = np.diff(table.column("ordinal").to_numpy(), prepend=-1) != 0
    pair = pc.and_(pc.equal(table.column("images"), 1), pc.equal(table.column("texts"), table.column("captions")))
    chosen = pc.and_(pc.and_(pa.array(first), pair), pc.is_valid(table.column(column)))
    row = pa.array(np.arange(table.num_rows))
    return pa.table({"ordinal": table.column("ordinal"), "row": row, "value": table.column(column)}).filter(chosen)


def _repeated_captions(layout: Layout) -> pa.Table:
    """row, images, repeat of the captions that stand on several images, or again on the same one."""
    table = read_table(layout.rows, ["ordinal", "text_hash", "alternative"])
    hashes = pc.if_else(table.column("alternative"), table.column("text_hash"), pa.scalar(None, pa.string()))
    images, repeat = repeated_captions(hashes, table.column("ordinal").to_numpy())
    row = np.flatnonzero((images > 1) | repeat)
    return pa.table({"row": row, "images": images[row], "repeat": repeat[row]})


def _contaminated(layout: Layout, references: list[Reference], column: str) -> pa.Table:
    table = _first_rows(layout, column)
    hashes, ordinal = table.column("value").to_numpy(), table.column("ordinal").to_numpy()
    found: list[pa.Table] = []
    for reference in references:
        index, match, bits = matches_against(hashes, reference.hashes, reference.distance)
        keys = pa.array(reference.keys, pa.string()).take(pa.array(match))
        names = pa.array([reference.name] * len(index), pa.string())
        found.append(pa.table([pa.array(ordinal[index]), names, keys, pa.array(bits)], schema=_CONTAMINATED))
    return pa.concat_tables(found).sort_by([("ordinal", "ascending"), ("reference", "ascending")])


def _has(path: Path, name: str) -> bool:
    return path.is_file() and (pq.read_schema(path).metadata or {}).get(_FINGERPRINT) == name.encode()


def _write(path: Path, table: pa.Table, name: str) -> None:
    write_table(path, table.replace_schema_metadata({_FINGERPRINT: name.encode()}))
