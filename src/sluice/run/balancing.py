"""04_final, before the shards are cut: which of the samples that passed every rule are drawn, and with which weight.

What was drawn is written down. A takedown erases texts and vectors: a second draw would be another one, and would
change shards that the sample taken down never was in.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.corpus.caps import capped, ranks
from sluice.corpus.concepts import Concepts, draw
from sluice.corpus.diversity import facility_location, facility_stochastic
from sluice.corpus.draws import keys
from sluice.corpus.farthest import farthest_first
from sluice.corpus.kmeans import kmeans, nearest_centre
from sluice.corpus.mixture import importance, quotas, shares_of, tempered
from sluice.errors import RecipeError, RunError
from sluice.run.balance_columns import NONE, Grouped, SampleColumns
from sluice.run.balance_config import (
    BalanceConfig,
    ClustersConfig,
    ConceptsConfig,
    DiversityConfig,
    MixtureConfig,
    TiersConfig,
)
from sluice.run.recipe import RecipeFile
from sluice.run.rules.order import compile_order
from sluice.table.commit import write_table
from sluice.table.ids import fingerprint
from sluice.table.layout import Layout
from sluice.table.read import read_table

OVER_CAP: Final = "over_cap"
OVER_CONCEPT_CAP: Final = "over_concept_cap"
NO_CONCEPT: Final = "no_concept"
MIXTURE: Final = "mixture"
TIERS: Final = "tiers"
DIVERSITY: Final = "diversity"
_FACTS: Final = b"sluice.balance"
_CHOICES: Final = {
    "farthest": farthest_first,
    "facility": facility_location,
    "stochastic": facility_stochastic,
}
_SHOWN: Final = 20  # groups of a step in stage.json: the largest

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Balanced:
    """What was drawn of the samples that passed: a row each, in their order."""

    table: pa.Table  # id, rule and values (null: drawn), weight
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


def check_balance(file: RecipeFile, schema: pa.Schema) -> None:
    """RecipeError where `balance` asks for what the run will not have; `schema` is of the rows of the last rules."""
    config = file.recipe.balance
    if config is None:
        return
    for name in ("clusters", "diversity"):
        if getattr(config, name) is not None and file.recipe.quality is None:
            raise RecipeError(
                f"{file.where('balance', name)}: needs vectors; give the recipe `quality` with an encoder"
            )
    asked: list[tuple[tuple[str | int, ...], str]] = [
        (("balance", "caps", place, "column"), cap.column) for place, cap in enumerate(config.caps)
    ]
    if config.mixture:
        asked.append((("balance", "mixture", "column"), config.mixture.column))
    for where, column in asked:
        if column not in schema.names or pa.types.is_nested(schema.field(column).type):
            raise RecipeError(f"{file.where(*where)}: there is no column {column!r} of single values to group by")
    if config.tiers:
        compile_order(config.tiers.order, schema, file.where("balance", "tiers", "order"))
    _entries(file)


def balance_name(file: RecipeFile, decided: str) -> str | None:
    """The fingerprint of what is drawn; None where the recipe has no `balance`."""
    config = file.recipe.balance
    if config is None:
        return None
    entries = sha256("\n".join(_entries(file)).encode()).hexdigest()
    return fingerprint("balance/1", decided, config.model_dump_json(), entries, str(file.recipe.seed))


def balance(file: RecipeFile, layout: Layout, ids: pa.Array, name: str) -> Balanced:
    """Draw among the samples `ids`, or read what was drawn under this `name`."""
    path = layout.state / "balance.parquet"
    if path.is_file():
        said = json.loads((pq.read_schema(path).metadata or {}).get(_FACTS, b"{}"))
        if said.get("name") == name:
            return Balanced(read_table(path).replace_schema_metadata(None), said["facts"])
    config = file.recipe.balance
    assert config is not None
    balanced = _Draw(file, layout, ids).all(config)
    said = json.dumps({"name": name, "facts": balanced.facts}).encode()
    write_table(path, balanced.table.replace_schema_metadata({_FACTS: said}))
    return balanced


def _entries(file: RecipeFile) -> list[str]:
    """The lines of the file of concepts."""
    concepts = file.recipe.balance.concepts if file.recipe.balance else None
    if concepts is None:
        return []
    path, where = file.base / concepts.entries, file.where("balance", "concepts", "entries")
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{where}: {path} cannot be read as UTF-8 text: {error}") from error
    if not any(lines):
        raise RecipeError(f"{where}: {path} holds no entry; write a word or phrase a line")
    return [line for line in lines if line]


class _Draw:
    """The steps, each among what those before it have left."""

    def __init__(self, file: RecipeFile, layout: Layout, ids: pa.Array) -> None:
        self._file = file
        self._columns = SampleColumns(layout, ids)
        self._schema = pq.read_schema(layout.rows_of(layout.deciding))
        self._ids = ids
        self._seed = file.recipe.seed
        self._key = keys(ids.to_pylist(), self._seed)
        self._alive = np.ones(len(ids), np.bool_)
        self._why: dict[int, tuple[str, dict[str, Any]]] = {}
        self._weight = np.ones(len(ids), np.float32)
        self._steps: list[dict[str, Any]] = []

    def all(self, config: BalanceConfig) -> Balanced:
        """Take every step that `config` names."""
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
        why = [self._why.get(row) for row in range(len(self._ids))]
        table = pa.table(
            {
                "id": self._ids,
                "rule": pa.array([one and one[0] for one in why], pa.string()),
                "values": pa.array([one and json.dumps(one[1], ensure_ascii=False) for one in why], pa.string()),
                "weight": pa.array(self._weight),
            }
        )
        facts = {"in": len(self._ids), "drawn": int(self._alive.sum()), "steps": self._steps}
        return Balanced(table, facts)

    def _leave(self, stays: Mask, step: Mapping[str, Any], why: Callable[[int], tuple[str, dict[str, Any]]]) -> None:
        """Go on with those that stay; `why` says of a row why it does not."""
        before = self._alive
        self._alive = before & stays
        for row in np.flatnonzero(before & ~stays).tolist():
            self._why[row] = why(row)
        self._steps.append({**step, "in": int(before.sum()), "drawn": int(self._alive.sum())})

    def _groups_after(self, groups: Grouped, before: npt.NDArray[np.int64]) -> None:
        """Add the counts of the largest groups, before and after, to the last step."""
        after = groups.counts(self._alive & (groups.of >= 0))
        largest = np.lexsort((np.arange(len(before)), -before))[:_SHOWN].tolist()
        self._steps[-1]["groups"] = {groups.names[place]: [int(before[place]), int(after[place])] for place in largest}

    def _concepts(self, config: ConceptsConfig) -> None:
        concepts = Concepts(_entries(self._file))
        names = concepts.entries
        found = draw(concepts.match(self._columns.texts()), keys(names, self._seed), self._key, config.cap)
        stays = found.drawn | (found.rarest < 0 if config.unmatched == "keep" else False)

        def why(row: int) -> tuple[str, dict[str, Any]]:
            entry = int(found.rarest[row])
            if entry < 0:
                return NO_CONCEPT, {"entries": len(names)}
            return OVER_CONCEPT_CAP, {"group": names[entry], "count": int(found.counts[entry]), "cap": config.cap}

        step = {"step": "concepts", "cap": config.cap, "entries": len(names)}
        matched = {"entries_matched": int((found.counts > 0).sum()), "over_cap": int((found.counts > config.cap).sum())}
        self._leave(stays, {**step, **matched}, why)

    def _clusters(self, config: ClustersConfig) -> None:
        vectors, rows = self._vectors(config.of)
        of = np.full(len(self._ids), -1, np.int64)
        centres = kmeans(vectors, config.k)
        of[rows] = nearest_centre(vectors, centres)
        self._cap(Grouped(of, tuple(f"cluster {number}" for number in range(len(centres)))), config.cap, "clusters")

    def _cap(self, groups: Grouped, cap: int, column: str) -> None:
        of = groups.of.copy()
        if NONE in groups.names:
            of[of == groups.names.index(NONE)] = -1
        stays = np.ones(len(of), np.bool_)
        stays[self._alive] = capped(of[self._alive], self._key[self._alive], cap)
        counts = groups.counts(self._alive & (groups.of >= 0))

        def why(row: int) -> tuple[str, dict[str, Any]]:
            group = int(of[row])
            return OVER_CAP, {"of": column, "group": groups.names[group], "count": int(counts[group]), "cap": cap}

        self._leave(stays, {"step": "cap", "of": column, "cap": cap}, why)
        self._groups_after(groups, counts)

    def _tiers(self, config: TiersConfig) -> None:
        order = compile_order(config.order, self._schema, self._file.where("balance", "tiers", "order"))
        place = self._columns.ranks(order)
        alive = np.flatnonzero(self._alive)
        best = alive[np.argsort(place[alive])][: round(min(config.size, len(alive)) * config.best)]
        rest = np.setdiff1d(alive, best)
        broad = rest[np.argsort(self._key[rest], kind="stable")][: max(config.size - len(best), 0)]
        stays = np.zeros(len(self._ids), np.bool_)
        stays[best] = stays[broad] = True
        of = {"size": config.size, "best": len(best), "broad": len(broad)}
        self._leave(
            stays,
            {"step": TIERS, "order": config.order, **of},
            lambda row: (TIERS, {**of, "place": int(place[row]) + 1, "count": len(alive)}),
        )

    def _diversity(self, config: DiversityConfig) -> None:
        vectors, rows = self._vectors(config.of)
        choose = _CHOICES[config.method]
        stays = np.zeros(len(self._ids), np.bool_)
        stays[rows[choose(vectors, config.size)]] = True
        said = {"method": config.method, "count": int(self._alive.sum()), "size": config.size}
        self._leave(stays, {"step": DIVERSITY, **said, "vectors": len(rows)}, lambda _: (DIVERSITY, said))

    def _mixture(self, config: MixtureConfig) -> None:
        groups = self._columns.groups(config.column)
        counts = groups.counts(self._alive)
        shares = self._shares(config, groups, counts)
        quota = quotas(counts, shares, config.size) if config.by == "draw" else np.where(shares > 0, counts, 0)
        stays = np.zeros(len(self._ids), np.bool_)
        alive = np.flatnonzero(self._alive)
        stays[alive] = ranks(groups.of[alive], self._key[alive]) < quota[groups.of[alive]]

        def why(row: int) -> tuple[str, dict[str, Any]]:
            group = int(groups.of[row])
            target = {"cap": int(quota[group]), "share": round(float(shares[group]), 6)}
            return MIXTURE, {"of": config.column, "group": groups.names[group], "count": int(counts[group]), **target}

        self._leave(stays, {"step": MIXTURE, "of": config.column, "by": config.by}, why)
        self._groups_after(groups, counts)
        self._steps[-1]["shares"] = {
            name: round(float(share), 6) for name, share in zip(groups.names, shares, strict=True)
        }
        if config.by == "weight":
            weights = importance(quota, shares)
            self._weight = np.where(self._alive, weights[groups.of], 1).astype(np.float32)
            named = zip(groups.names, weights, strict=True)
            self._steps[-1]["weights"] = {name: round(float(weight), 6) for name, weight in named}

    def _shares(self, config: MixtureConfig, groups: Grouped, counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        if config.weights is None:
            assert config.temperature is not None
            return tempered(counts, config.temperature)
        there = {name for name, count in zip(groups.names, counts, strict=True) if count}
        for name, weight in config.weights.items():
            if weight and name not in there:
                where = self._file.where("balance", "mixture", "weights")
                known = ", ".join(sorted(there)[:_SHOWN])
                raise RunError(f"{where}: no sample is left whose {config.column} is {name!r} (there are: {known})")
        return shares_of([config.weights.get(name, 0.0) for name in groups.names])

    def _vectors(self, of: Any) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.int64]]:
        """The vectors of the samples that are left and have one, and their rows, by ascending key.

        That order depends on ids alone, and so does all that is made of it.
        """
        vectors = self._columns.vectors(of)
        rows = np.flatnonzero(self._alive & ~np.isnan(vectors[:, 0]))
        rows = rows[np.argsort(self._key[rows], kind="stable")]
        return vectors[rows], rows
