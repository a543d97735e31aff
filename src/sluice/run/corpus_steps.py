"""The corpus steps of 01_filtered: what must see all samples at once, over ids and small columns only.

Each is first a *measurement* over all samples, stored under `corpus/` and independent of the rules
(`corpus_measuring`); deciding then restricts it to the samples that the rules left. So a changed threshold joins no
hashes again.

Duplicates are sought among pairs: samples of one image whose texts are captions. Two conversations about the same
image are two samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, Protocol

import numpy as np
import pyarrow as pa

from sluice.corpus.clusters import diameters
from sluice.corpus.duplicates import (
    Cluster,
    NearIndex,
    load_near_index,
    near_clusters,
    same_bytes,
)
from sluice.run.alike_step import AlikeFacts, load_facts
from sluice.run.decide import REJECTED, Flags, Indices, RowFacts, Speaker
from sluice.run.rights_gate import OPTED_OUT
from sluice.table.arrays import distinct_numbers, numbers, span
from sluice.table.layout import FILTERED, Layout
from sluice.table.read import read_table

NEAR: Final = "near_duplicate"
SAME_BYTES: Final = "duplicate_bytes"
SAME_CAPTION: Final = "duplicate_caption"
BOILERPLATE: Final = "boilerplate_caption"
CONTAMINATED: Final = "contaminated"


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
class CorpusFacts:
    """What the corpus steps measured, as loaded from `corpus/`."""

    near: NearIndex | None
    near_members: pa.Table | None  # ordinal, hash, rank: only those with an equal or near hash
    bytes_members: pa.Table | None  # ordinal, sha256, rank: only those with an equal
    captions: pa.Table | None  # row, images (on how many the caption stands), repeat: only those with either
    contaminated: pa.Table  # ordinal, reference, key, distance
    opted_out: pa.Table  # ordinal, list, entry, value, distance
    alike: AlikeFacts | None = None


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
        contaminated if contaminated is not None else pa.Table.from_batches([], CONTAMINATED_SCHEMA),
        opted_out if opted_out is not None else pa.Table.from_batches([], OPTED_OUT_SCHEMA),
        alike,
    )


def caption_speakers(facts: CorpusFacts, config: DuplicatesAsked, first: int, rows: int) -> list[Speaker]:
    """What the corpus says of the captions of some rows: repeated within their sample, or on too many images."""
    if facts.captions is None:
        return []
    captions = in_range(facts.captions, "row", first, rows)
    row = numbers(captions.column("row")) - first
    speakers: list[Speaker] = []
    if config.captions:
        repeat = numbers(captions.column("repeat"))
        speakers.append(_caption_speaker(SAME_CAPTION, row[repeat], rows))
    if config.boilerplate is not None:
        images = numbers(captions.column("images"))
        speakers.append(_caption_speaker(BOILERPLATE, row[images > config.boilerplate], rows))
    return speakers


def in_range(table: pa.Table, column: str, first: int, count: int) -> pa.Table:
    """The rows of a table in which `column`, which ascends, is one of `count` numbers from `first` on."""
    here = span(numbers(table.column(column)), first, count)
    return table.slice(here.start, here.stop - here.start)


def contamination_speaker(facts: CorpusFacts, row_facts: RowFacts, first: int) -> Speaker | None:
    """What the reference sets say: samples that match one of their images; `first` is the ordinal of the first."""
    if not facts.contaminated.num_rows:
        return None
    severity = np.zeros(len(row_facts.sample), np.int8)
    hit = np.isin(row_facts.sample + first, numbers(facts.contaminated.column("ordinal")))
    severity[hit] = REJECTED
    return Speaker(CONTAMINATED, severity, about_text=False)


def opt_out_speaker(facts: CorpusFacts, row_facts: RowFacts, first: int) -> Speaker | None:
    """What opt-out lists say: samples that one of them names; `first` is the ordinal of the first."""
    if not facts.opted_out.num_rows:
        return None
    severity = np.zeros(len(row_facts.sample), np.int8)
    severity[np.isin(row_facts.sample + first, numbers(facts.opted_out.column("ordinal")))] = REJECTED
    return Speaker(OPTED_OUT, severity, about_text=False)


@dataclass(frozen=True)
class Duplicates:
    """Which survivors the corpus steps reject, and in whose favour.

    Held for the few that have an equal or a near one, `members`.
    """

    samples: int
    members: Indices  # ordinals, ascending; what follows is by member
    chosen: Indices  # place, among the members, of the one kept in its stead; its own where it is kept or has none
    bits: Indices
    loses_by_bytes: Flags
    loses_by_hash: Flags
    in_cluster: Flags

    @property
    def keepers(self) -> Indices:
        """By member: ordinal of the keeper of its cluster; its own where it has none."""
        return self.members[self.chosen]

    @property
    def loses(self) -> Flags:
        """By member: rejected in favour of another."""
        return self.loses_by_bytes | self.loses_by_hash

    @cached_property
    def lost(self) -> Flags:
        """By sample: rejected in favour of another."""
        everywhere = np.zeros(self.samples, np.bool_)
        everywhere[self.members] = self.loses
        return everywhere

    def within(self, first: int, samples: int) -> Duplicates:
        """The same of some samples, counted from the first of them; their keepers may be others, so `chosen` stays."""
        part = span(self.members, first, samples)
        return Duplicates(
            samples,
            self.members[part] - first,
            self.chosen[part],
            self.bits[part],
            self.loses_by_bytes[part],
            self.loses_by_hash[part],
            self.in_cluster[part],
        )

    def spread(self, by_member: Any) -> Any:
        """By sample what is so by member; zero for all others."""
        everywhere = np.zeros(self.samples, by_member.dtype)
        everywhere[self.members] = by_member
        return everywhere


def duplicate_members(facts: CorpusFacts) -> Indices:
    """The ordinals of the samples that have an equal or a near one, ascending: it matters who of these is kept."""
    tables = (facts.bytes_members, facts.near_members)
    ordinals = [numbers(table.column("ordinal")) for table in tables if table is not None]
    return distinct_numbers(np.concatenate([np.zeros(0, np.int64), *ordinals]))


def find_duplicates(
    facts: CorpusFacts, config: DuplicatesAsked, members: Indices, alive: Flags, samples: int
) -> Duplicates:
    """Clusters among the `duplicate_members` that the rules leave `alive`: equal bytes first, then near hashes."""
    same = facts.bytes_members if facts.bytes_members is not None and facts.bytes_members.num_rows else None
    near = facts.near_members if facts.near_members is not None and facts.near_members.num_rows else None
    chosen = np.arange(len(members))
    bits = np.zeros(len(members), np.int64)
    by_bytes, by_hash, clustered = (np.zeros(len(members), np.bool_) for _ in range(3))
    alive = alive.copy()
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
    return Duplicates(samples, members, chosen, bits, by_bytes, by_hash, clustered)


def cluster_table(facts: CorpusFacts, duplicates: Duplicates, names: pa.Array) -> pa.Table:
    """One row a cluster: its keeper's id, its members, and how far apart its two most different ones are.

    `names`: by member, the id of its keeper. `exact` is false where a cluster is so large that `diameter` is a bound.
    """
    members, keeper = duplicates.members[duplicates.in_cluster], duplicates.keepers[duplicates.in_cluster]
    keepers, first = np.unique(keeper, return_index=True)
    size = np.bincount(np.searchsorted(keepers, keeper), minlength=len(keepers))
    diameter, exact = np.zeros(len(keepers), np.uint8), np.ones(len(keepers), np.bool_)
    if facts.near_members is not None and facts.near_members.num_rows:
        ordinal, hashes = (facts.near_members.column(name).to_numpy() for name in ("ordinal", "value"))
        inside = np.isin(ordinal, members)  # equal bytes have equal hashes: all members of a cluster are here
        ordinal, hashes = ordinal[inside], hashes[inside]
        found = diameters(hashes, np.searchsorted(ordinal, keeper[np.searchsorted(members, ordinal)]))
        place = np.searchsorted(keepers, ordinal[found.keeper])
        diameter[place], exact[place] = found.diameter, found.exact
    ids = names.filter(pa.array(duplicates.in_cluster)).take(pa.array(first))
    return pa.table({"cluster": ids, "size": pa.array(size), "diameter": diameter, "exact": exact})


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


CONTAMINATED_SCHEMA: Final = pa.schema(
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
    None, None, None, None, pa.Table.from_batches([], CONTAMINATED_SCHEMA), pa.Table.from_batches([], OPTED_OUT_SCHEMA)
)
"""What is known where no corpus step is asked for."""
