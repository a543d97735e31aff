"""Balancing, step by step: which samples are drawn, how often and with which weight. Pure: columns and seed in."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.corpus.caps import capped
from sluice.corpus.concepts import Concepts, draw
from sluice.corpus.diversity import facility_location, facility_stochastic
from sluice.corpus.draws import keys
from sluice.corpus.farthest import farthest_first
from sluice.corpus.kmeans import kmeans, nearest_centre
from sluice.corpus.mixture import importance, quotas, shares_of, taken, tempered
from sluice.errors import RunError
from sluice.run.balance_columns import NONE, Grouped, SampleColumns
from sluice.run.balance_config import (
    BalanceConfig,
    ClustersConfig,
    ConceptsConfig,
    DiversityConfig,
    MixtureConfig,
    TiersConfig,
)
from sluice.run.balance_tally import Kind, tally
from sluice.run.recipe import RecipeFile
from sluice.run.rules.order import compile_order

OVER_CAP: Final = "over_cap"
OVER_CONCEPT_CAP: Final = "over_concept_cap"
NO_CONCEPT: Final = "no_concept"
MIXTURE: Final = "mixture"
TIERS: Final = "tiers"
DIVERSITY: Final = "diversity"
_ALWAYS: Final = ("source", "language")  # told before and after, whatever was balanced
_CHOICES: Final = {
    "farthest": farthest_first,
    "facility": facility_location,
    "stochastic": facility_stochastic,
}
_NAMED: Final = 20  # values in a message

Mask = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Balanced:
    """What was drawn of the samples that passed: a row each, in their order."""

    table: pa.Table  # id, rule and values (null: drawn), weight, repeats (1 where it is not drawn)
    facts: dict[str, Any]

    @property
    def drawn(self) -> Mask:
        """Which samples were drawn."""
        return self.table.column("rule").is_null().to_numpy()

    @property
    def reasons(self) -> dict[str, tuple[str, str]]:
        """Rule and values by id of what was not drawn."""
        some = self.table.filter(self.table.column("rule").is_valid())
        columns = (some.column(name).to_pylist() for name in ("rule", "values"))
        return dict(zip(some.column("id").to_pylist(), zip(*columns, strict=True), strict=True))


class Draw:
    """The steps, each among what those before it have left."""

    def __init__(self, file: RecipeFile, columns: SampleColumns, entries: list[str]) -> None:
        self._file = file
        self._columns = columns
        self._entries = entries
        self._schema = pq.read_schema(columns.rows)
        self._seed = file.recipe.seed
        self._key = keys(columns.ids.to_pylist(), self._seed)
        self._times = np.ones(len(columns.ids), np.int64)  # how often an epoch takes each; 0: not drawn
        self._why: dict[int, tuple[str, dict[str, Any]]] = {}
        self._weight = np.ones(len(columns.ids), np.float32)
        self._steps: list[dict[str, Any]] = []
        self._kinds: dict[str, Kind] = {}

    def all(self, config: BalanceConfig) -> Balanced:
        """Take every step that `config` names."""
        self._tell_always(config)
        if config.concepts:
            self._concepts(config.concepts)
        if config.clusters:
            self._clusters(config.clusters)
        for cap in config.caps:
            self._cap(self._columns.groups(cap.column), cap.cap, cap.column)
        if config.tiers:
            self._tiers(config.tiers)
        if config.diversity:
            self._diversity(config.diversity)
        if config.mixture:
            self._mixture(config.mixture)
        why = [self._why.get(row) for row in range(len(self._times))]
        table = pa.table(
            {
                "id": self._columns.ids,
                "rule": pa.array([one and one[0] for one in why], pa.string()),
                "values": pa.array([one and json.dumps(one[1], ensure_ascii=False) for one in why], pa.string()),
                "weight": pa.array(self._weight),
                "repeats": pa.array(np.maximum(self._times, 1), pa.int32()),
            }
        )
        facts = {
            "in": len(self._times),
            "drawn": int(self._alive.sum()),
            "epoch": int(self._times.sum()),  # samples, repeats counted
            "steps": self._steps,
            "kinds": tally(self._kinds.values(), self._times, self._weight),
        }
        return Balanced(table, facts)

    @property
    def _alive(self) -> Mask:
        return self._times > 0

    def _tell_always(self, config: BalanceConfig) -> None:
        """Tell of the columns that the steps name, and of those that everyone asks for."""
        named = [cap.column for cap in config.caps] + ([config.mixture.column] if config.mixture else [])
        for column in dict.fromkeys([*named, *(name for name in _ALWAYS if name in self._schema.names)]):
            self._tell(column, self._columns.groups(column))

    def _tell(self, name: str, groups: Grouped) -> None:
        self._kinds.setdefault(name, Kind(name, np.arange(len(groups.of)), groups.of, groups.names))

    def _leave(self, times: Counts, step: Mapping[str, Any], why: Callable[[int], tuple[str, dict[str, Any]]]) -> None:
        """Go on with what is taken `times`; `why` says of a row that is taken no more why not."""
        before, self._times = self._times, times
        for row in np.flatnonzero((before > 0) & (times == 0)).tolist():
            self._why[row] = why(row)
        counts = {"in": int((before > 0).sum()), "drawn": int(self._alive.sum())}
        repeated = {"epoch": int(times.sum())} if times.max(initial=0) > 1 else {}
        self._steps.append({**step, **counts, **repeated})

    def _stay(self, stays: Mask, step: Mapping[str, Any], why: Callable[[int], tuple[str, dict[str, Any]]]) -> None:
        self._leave(self._times * stays, step, why)

    def _concepts(self, config: ConceptsConfig) -> None:
        concepts = Concepts(self._entries)
        names = concepts.entries
        matches = concepts.match(self._columns.texts())
        found = draw(matches, keys(names, self._seed), self._key, config.cap)
        stays = found.drawn | (found.rarest < 0 if config.unmatched == "keep" else False)

        def why(row: int) -> tuple[str, dict[str, Any]]:
            entry = int(found.rarest[row])
            if entry < 0:
                return NO_CONCEPT, {"entries": len(names)}
            return OVER_CONCEPT_CAP, {"group": names[entry], "count": int(found.counts[entry]), "cap": config.cap}

        step = {"step": "concepts", "cap": config.cap, "entries": len(names)}
        matched = {"entries_matched": int((found.counts > 0).sum()), "over_cap": int((found.counts > config.cap).sum())}
        self._kinds["concepts"] = Kind("concepts", matches.row, matches.entry, names)
        self._stay(stays, {**step, **matched}, why)

    def _clusters(self, config: ClustersConfig) -> None:
        vectors, rows = self._vectors(config.of)
        of = np.full(len(self._times), -1, np.int64)
        centres = kmeans(vectors, config.k)
        of[rows] = nearest_centre(vectors, centres)
        groups = Grouped(of, tuple(f"cluster {number}" for number in range(len(centres))))
        self._tell("clusters", groups)
        self._cap(groups, config.cap, "clusters")

    def _cap(self, groups: Grouped, cap: int, column: str) -> None:
        of = groups.of.copy()
        if NONE in groups.names:
            of[of == groups.names.index(NONE)] = -1
        alive = self._alive
        stays = np.ones(len(of), np.bool_)
        stays[alive] = capped(of[alive], self._key[alive], cap)
        counts = groups.counts(alive & (groups.of >= 0))

        def why(row: int) -> tuple[str, dict[str, Any]]:
            group = int(of[row])
            return OVER_CAP, {"of": column, "group": groups.names[group], "count": int(counts[group]), "cap": cap}

        self._stay(stays, {"step": "cap", "of": column, "cap": cap}, why)

    def _tiers(self, config: TiersConfig) -> None:
        order = compile_order(config.order, self._schema, self._file.where("balance", "tiers", "order"))
        place = self._columns.ranks(order)
        alive = np.flatnonzero(self._alive)
        first = alive[np.argsort(place[alive])]
        quota, best = _tier_quota(config, len(alive))
        # Of the best those come first that are; of the others, chance decides.
        luck = np.concatenate([np.arange(best, dtype=np.uint64), self._key[first[best:]]])
        tier = (np.arange(len(first)) >= best).astype(np.int64)
        times = np.zeros_like(self._times)
        times[first] = taken(tier, luck, np.ones_like(first), quota)
        tiers = np.full(len(times), -1, np.int64)
        tiers[first] = tier
        self._tell("tiers", Grouped(tiers, ("best", "broad")))
        of = {**({} if config.size is None else {"size": config.size}), "best": int(quota[0]), "broad": int(quota[1])}
        self._leave(
            times,
            {"step": TIERS, "order": config.order, **of},
            lambda row: (TIERS, {**of, "place": int(place[row]) + 1, "count": len(alive)}),
        )

    def _diversity(self, config: DiversityConfig) -> None:
        vectors, rows = self._vectors(config.of)
        choose = _CHOICES[config.method]
        stays = np.zeros(len(self._times), np.bool_)
        stays[rows[choose(vectors, config.size)]] = True
        said = {"method": config.method, "count": int(self._alive.sum()), "size": config.size}
        self._stay(stays, {"step": DIVERSITY, **said, "vectors": len(rows)}, lambda _: (DIVERSITY, said))

    def _mixture(self, config: MixtureConfig) -> None:
        groups = self._columns.groups(config.column)
        counts = np.bincount(groups.of, self._times, minlength=len(groups.names)).astype(np.int64)
        shares = self._shares(config, groups, counts)
        if config.by == "draw":
            quota = quotas(counts, shares, config.size, config.repeats)
        else:
            quota = np.where(shares > 0, counts, 0)
        times = taken(groups.of, self._key, self._times, quota)

        def why(row: int) -> tuple[str, dict[str, Any]]:
            group = int(groups.of[row])
            target = {"cap": int(quota[group]), "share": round(float(shares[group]), 6)}
            return MIXTURE, {"of": config.column, "group": groups.names[group], "count": int(counts[group]), **target}

        self._leave(times, {"step": MIXTURE, "of": config.column, "by": config.by}, why)
        self._steps[-1]["shares"] = {
            name: round(float(share), 6) for name, share in zip(groups.names, shares, strict=True)
        }
        if config.by == "weight":
            weights = importance(quota, shares)
            self._weight = np.where(self._alive, weights[groups.of], 1).astype(np.float32)
            named = zip(groups.names, weights, strict=True)
            self._steps[-1]["weights"] = {name: round(float(weight), 6) for name, weight in named}

    def _shares(self, config: MixtureConfig, groups: Grouped, counts: Counts) -> npt.NDArray[np.float64]:
        if config.weights is None:
            assert config.temperature is not None
            return tempered(counts, config.temperature)
        there = {name for name, count in zip(groups.names, counts, strict=True) if count}
        for name, weight in config.weights.items():
            if weight and name not in there:
                where = self._file.where("balance", "mixture", "weights")
                known = ", ".join(sorted(there)[:_NAMED])
                raise RunError(f"{where}: no sample is left whose {config.column} is {name!r} (there are: {known})")
        return shares_of([config.weights.get(name, 0.0) for name in groups.names])

    def _vectors(self, of: Any) -> tuple[npt.NDArray[np.float16], Counts]:
        """The vectors of the samples that are left and have one, and their rows, by ascending key.

        That order depends on ids alone, and so does all that is made of it.
        """
        vectors = self._columns.vectors(of)
        rows = np.flatnonzero(self._alive & ~np.isnan(vectors[:, 0]))
        rows = rows[np.argsort(self._key[rows], kind="stable")]
        return vectors[rows], rows


def _tier_quota(config: TiersConfig, count: int) -> tuple[Counts, int]:
    """How many to take of the best and of the broad tier, and how many of the `count` samples are the best."""
    if config.top is None:
        assert config.size is not None
        size = min(config.size, count)
        best = round(size * config.best)
        return np.array([best, size - best]), best
    best = min(max(round(count * config.top), 1), count)
    counts = np.array([best, count - best])
    asked = np.array([config.best, 1 - config.best]) * (counts > 0)  # where one tier is empty, the other is all
    shares = shares_of(asked.tolist()) if asked.any() else asked
    return quotas(counts, shares, config.size, config.repeats), best
