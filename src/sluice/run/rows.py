"""The wide table that rules read: one row per sample and place, all measured columns beside each other.

A sample with one image and three captions has three rows, its image repeated; a conversation about three
images has as many rows as the longer of its two lists. Derived from units and measurements, never the other
way round.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.table.commit import ROW_GROUP, commit, table_writer
from sluice.table.compute import pc
from sluice.table.ids import fingerprint
from sluice.table.layout import Layout
from sluice.table.read import read_table

if TYPE_CHECKING:
    from sluice.measures.base import Grain, Measure

Indices: TypeAlias = npt.NDArray[np.int64]

IDENTITY: Final = pa.schema(
    [
        ("id", pa.string()),
        ("ordinal", pa.int64()),  # place of the sample among those that entered the stage
        ("unit", pa.int32()),
        ("image_item", pa.int16()),
        ("text_item", pa.int16()),
        ("alternative", pa.bool_()),  # the text is a caption: one good one is enough
        ("key", pa.string()),
        ("source", pa.string()),
        ("licence", pa.string()),
        ("author", pa.string()),
        ("source_url", pa.string()),
        ("dataset", pa.string()),
        ("images", pa.int16()),
        ("captions", pa.int16()),
        ("texts", pa.int16()),
        ("text", pa.string()),
        ("declared_language", pa.string()),
        ("image_error", pa.string()),  # every failure of a measure on the image, text or sample
        ("text_error", pa.string()),
        ("sample_error", pa.string()),
    ]
)
_FINGERPRINT: Final = b"sluice.fingerprint"
_GRAINS: Final = b"sluice.grains"
_SAMPLE_FIELDS: Final = ("key", "source", "licence", "author", "source_url", "dataset")


def rows_schema(measures: Iterable[Measure]) -> pa.Schema:
    """The columns that rules may read: identity, then what the measures write."""
    measured = [pa.field(name, kind) for measure in measures for name, kind in measure.writes.items()]
    return pa.schema([*IDENTITY, *measured])


def _grains(measures: Iterable[Measure]) -> dict[str, Grain]:
    """Of what each column of the rows speaks: an image, a text or the whole sample."""
    images = {"image_item", "image_error"}
    texts = {"text", "text_item", "declared_language", "text_error"}
    kinds: dict[str, Grain] = {}
    for name in IDENTITY.names:
        kinds[name] = "image" if name in images else "text" if name in texts else "sample"
    for measure in measures:
        kinds.update(dict.fromkeys(measure.writes, measure.grain))
    return kinds


def write_rows(layout: Layout, measures: Mapping[str, Measure], units: int, raw: str) -> str:
    """Bring rows.parquet up to date with the measurements; return the fingerprint of what it holds."""
    name = fingerprint("rows/1", raw, *measures)
    if rows_fingerprint(layout) == name:
        return name
    kinds = json.dumps(_grains(measures.values())).encode()
    schema = rows_schema(measures.values()).with_metadata({_FINGERPRINT: name.encode(), _GRAINS: kinds})
    with commit(layout.rows) as partial, table_writer(partial, schema) as writer:
        held: list[pa.Table] = []
        ordinal = 0
        for unit in range(units):
            table, samples = unit_rows(layout, measures, unit, ordinal)
            ordinal += samples
            held.append(table)
            if sum(part.num_rows for part in held) >= ROW_GROUP or unit == units - 1:
                writer.write_table(pa.concat_tables(held).cast(schema), row_group_size=2**30)
                held = []
    return name


def rows_fingerprint(layout: Layout) -> str | None:
    """What rows.parquet was made from; None where there is none."""
    if not layout.rows.is_file():
        return None
    metadata = pq.read_schema(layout.rows).metadata or {}
    return metadata.get(_FINGERPRINT, b"").decode() or None


def stored_grains(path: Path) -> dict[str, Grain]:
    """Of what each column of a rows.parquet speaks; no measure needs to be loaded to know."""
    return json.loads((pq.read_schema(path).metadata or {})[_GRAINS])


def unit_rows(layout: Layout, measures: Mapping[str, Measure], unit: int, ordinal: int) -> tuple[pa.Table, int]:
    """The rows of a unit and the number of its samples that entered; `ordinal` is that of its first sample."""
    samples = read_table(layout.samples(unit))
    entered = samples.filter(pc.is_null(samples.column("failure_class")))
    entered_at = np.flatnonzero(pc.is_null(samples.column("failure_class")).to_numpy())
    items = read_table(layout.items(unit), columns=["id", "item", "kind", "role", "text", "language"])
    owner = pc.index_in(items.column("id"), entered.column("id")).to_numpy().astype(np.int64)
    kinds, roles = items.column("kind"), items.column("role")
    is_image = pc.equal(kinds, "image").to_numpy()
    captions = np.bincount(owner[pc.equal(roles, "caption").to_numpy()], minlength=entered.num_rows)
    place = _Places.of(owner[is_image], owner[~is_image], entered.num_rows)
    images, texts = items.filter(pa.array(is_image)), items.filter(pa.array(~is_image))
    columns: dict[str, Any] = {
        "id": entered.column("id").take(place.sample),
        "ordinal": pa.array(place.sample + ordinal),
        "unit": pa.array(np.full(len(place.sample), unit, np.int32)),
        "image_item": _take(images.column("item"), place.image),
        "text_item": _take(texts.column("item"), place.text),
        "alternative": pc.fill_null(pc.equal(_take(texts.column("role"), place.text), "caption"), False),
        **{name: entered.column(name).take(place.sample) for name in _SAMPLE_FIELDS},
        "images": pa.array(place.images[place.sample].astype(np.int16)),
        "captions": pa.array(captions[place.sample].astype(np.int16)),
        "texts": pa.array(place.texts[place.sample].astype(np.int16)),
        "text": _take(texts.column("text"), place.text),
        "declared_language": _take(texts.column("language"), place.text),
    }
    at: dict[Grain, Indices] = {"image": place.image, "text": place.text, "sample": entered_at[place.sample]}
    errors: dict[Grain, list[pa.Array]] = {"image": [], "text": [], "sample": []}
    for identity, measure in measures.items():
        table = read_table(layout.measured(identity, unit))
        errors[measure.grain].append(_take(table.column("error"), at[measure.grain]))
        columns |= {name: _take(table.column(name), at[measure.grain]) for name in measure.writes}
    for grain, found in errors.items():
        columns[f"{grain}_error"] = _joined(found, len(place.sample))
    names = rows_schema(measures.values()).names
    return pa.table({name: columns[name] for name in names}), entered.num_rows


class _Places:
    """For each row: its sample, its image and its text (-1: none), as indices into their tables."""

    def __init__(self, sample: Indices, image: Indices, text: Indices, images: Indices, texts: Indices) -> None:
        self.sample, self.image, self.text = sample, image, text
        self.images, self.texts = images, texts  # counts, by sample

    @staticmethod
    def of(image_owner: Indices, text_owner: Indices, samples: int) -> _Places:
        """Pair the j-th text of each sample with its j-th image; the shorter list's last entry is repeated."""
        images = np.bincount(image_owner, minlength=samples)
        texts = np.bincount(text_owner, minlength=samples)
        rows = np.maximum(np.maximum(images, texts), 1)
        sample = np.repeat(np.arange(samples), rows)
        place = np.arange(len(sample)) - np.repeat(np.cumsum(rows) - rows, rows)
        return _Places(sample, _nth(place, sample, images), _nth(place, sample, texts), images, texts)


def _nth(place: Indices, sample: Indices, counts: Indices) -> Indices:
    first = np.cumsum(counts) - counts
    index = first[sample] + np.minimum(place, counts[sample] - 1)
    return np.where(counts[sample] > 0, index, -1)


def _take(column: pa.ChunkedArray, index: Indices) -> pa.ChunkedArray:
    return column.take(pa.array(index, mask=index < 0))


def _joined(errors: Sequence[pa.ChunkedArray], rows: int) -> pa.Array:
    """The distinct errors of each row, joined by ` | `; null where there is none."""
    joined: list[str | None] = [None] * rows
    for column in errors:
        for row in np.flatnonzero(pc.is_valid(column).to_numpy()):
            message, known = column[int(row)].as_py(), joined[row]
            if known is None:
                joined[row] = message
            elif message not in known.split(" | "):
                joined[row] = f"{known} | {message}"
    return pa.array(joined, pa.string())
