"""Looking up: vectors that somebody has computed already, for the items of a unit. No model runs, no image is read.

A file of vectors has a key a row, and a run a name for each sample: what of a sample is the key there, `by` says. Where
a sample has several images, or several texts, the key of each is followed by `#` and its place in the sample. An
item without a vector is a failure; a generated caption has none by its nature, and is no failure.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from sluice.measures.views import failed
from sluice.models.config import PrecomputedConfig
from sluice.models.precomputed import Precomputed
from sluice.run.measuring import file_name
from sluice.table.compute import pc
from sluice.table.ids import fingerprint
from sluice.table.refs import Ref
from sluice.table.vectors import VECTOR, vector_type

_VERSION: Final = "1"  # of how an item gets its key
_SAMPLE_FIELDS: Final = {"id": "id", "key": "key", "url": "source_url"}
_IN_META: Final = "meta."


def store_of(table: Precomputed, config: PrecomputedConfig) -> str:
    """The folder of the vectors of a run that looks them up: its name follows from what the files hold."""
    return f"embedding@{fingerprint('precomputed', _VERSION, table.identity.hash, config.by)}"


def looked_up(
    table: Precomputed, config: PrecomputedConfig, wanted: pa.Table, samples: pa.Table, raw: pa.Table
) -> pa.Table:
    """The vectors of the items `wanted`, a row each: `id`, `item`, `error`, `vector`.

    `samples` and `raw` are those of the whole unit, as the source gave them.
    """
    keys = _keys(config.by, samples, raw)
    looks = {"image": (config.image, table.image_vectors), "text": (config.text, table.text_vectors)}
    parts = [_part(wanted.schema, table.dim, [], [], [])]
    for kind, (place, look) in looks.items():
        if place is None:
            continue
        of_kind = wanted.filter(pc.equal(wanted.column("kind"), kind))
        rows = [(row["id"], row["item"]) for row in of_kind.select(["id", "item"]).to_pylist()]
        rows = [row for row in rows if row in keys]  # a generated caption is not
        named = [keys[row] for row in rows]
        found = look([key or "" for key in named])
        missing = set(found.missing)
        errors = [_error(key, missing, config) for key in named]
        vectors = [None if error else vector for error, vector in zip(errors, found.vectors.astype("f2"), strict=True)]
        parts.append(_part(wanted.schema, table.dim, rows, errors, vectors))
    return pa.concat_tables(parts)


def _part(
    schema: pa.Schema, dim: int, rows: Sequence[tuple[str, int]], errors: Sequence[str | None], vectors: Sequence[Any]
) -> pa.Table:
    columns = {
        "id": pa.array([sample for sample, _ in rows], schema.field("id").type),
        "item": pa.array([item for _, item in rows], schema.field("item").type),
        "error": pa.array(errors, pa.string()),
        VECTOR: pa.array(vectors, vector_type(dim)),
    }
    return pa.table(columns)


def _keys(by: str, samples: pa.Table, raw: pa.Table) -> dict[tuple[str, int], str | None]:
    """The key of each item of the unit; None where its sample has none."""
    items = raw.to_pylist()
    counts = Counter((item["id"], item["kind"]) for item in items)
    names = _file_names(items) if by == "file" else _sample_names(by, samples)
    keys: dict[tuple[str, int], str | None] = {}
    for item in items:
        place = item["id"], item["item"]
        alone = counts[item["id"], item["kind"]] == 1
        if by == "file" and item["kind"] == "image":
            keys[place] = _file_name(item)
        else:
            name = names.get(item["id"])
            keys[place] = name if alone or name is None else f"{name}#{item['item']}"
    return keys


def _sample_names(by: str, samples: pa.Table) -> dict[str, str | None]:
    ids: list[str] = samples.column("id").to_pylist()
    if by in _SAMPLE_FIELDS:
        return dict(zip(ids, samples.column(_SAMPLE_FIELDS[by]).to_pylist(), strict=True))
    field = by.removeprefix(_IN_META)
    metas = samples.column("meta").to_pylist()
    values = [json.loads(meta).get(field) if meta else None for meta in metas]
    return {sample: None if value is None else str(value) for sample, value in zip(ids, values, strict=True)}


def _file_names(items: list[dict[str, Any]]) -> dict[str, str | None]:
    """By sample, the name of the file of its first image."""
    names: dict[str, str | None] = {}
    for item in items:
        if item["kind"] == "image":
            names.setdefault(item["id"], _file_name(item))
    return names


def _file_name(item: Mapping[str, Any]) -> str | None:
    ref = Ref(item["container"], item["uri"], item["member"])
    return file_name(ref, item["meta"]).rpartition("/")[2] or None


def _error(key: str | None, missing: set[str], config: PrecomputedConfig) -> str | None:
    if key is None:
        return failed("model", f"its sample has no {config.by}, by which the vectors of {config.name} are looked up")
    return failed("model", f"the vectors of {config.name} have none under {key!r}") if key in missing else None
