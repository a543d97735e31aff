"""The retrieval check of 03_quality_checked: what was kept must be found by its own captions, or the run stops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.corpus.calibration import language_of
from sluice.corpus.drawing import draw_keys
from sluice.corpus.retrieval import Slice, ranks, slices
from sluice.errors import RunError
from sluice.run.embedding import KEPT_COLUMNS, EncoderFacts, UnitVectors, item_keys, kept_of, left_out_keys
from sluice.run.quality_config import RetrievalConfig
from sluice.run.quality_rows import text_language
from sluice.table.arrays import distinct_numbers, numbers, real_numbers
from sluice.table.commit import write_json
from sluice.table.compute import pc
from sluice.table.layout import CHECKED, Layout
from sluice.table.read import UnitReader

_COLUMNS: Final = ("id", "image_item", "text_item", "alternative", "source", "text", "declared_language", "alignment")
_WHERE_MEASURED: Final = ("language", "min_side")
_SIDES: Final = (128, 256, 512, 1024)  # px of the shorter side
_WORST: Final = 4


@dataclass(frozen=True)
class _Drawn:
    """Captions of the drawn images, a row each, in the order of the draw."""

    rows: pa.Table  # with the column `language` filled in
    images: npt.NDArray[np.float16]
    texts: npt.NDArray[np.float16]


def check_retrieval(layout: Layout, encoder: EncoderFacts, units: int, config: RetrievalConfig, seed: int) -> None:
    """Write what the check found to checks.json; RunError where less is found than the recipe asks."""
    drawn = _drawn(layout, encoder, units, config.sample, seed)
    found = _both_ways(drawn, config.top)
    failed = [one for one in found if one.judged and one.share < config.share]
    write_json(layout.checks, {"retrieval": _result(config, found, failed)})
    if failed:
        raise RunError(_sentence(layout, config, failed))


def _both_ways(drawn: _Drawn, top: int) -> list[Slice]:
    """Image to text and text to image, the queries of each in the order of the draw."""
    rows = drawn.rows
    ids, items, spoken = (rows.column(name).to_pylist() for name in ("id", "image_item", "language"))
    image, first_image = _numbered(list(zip(ids, items, strict=True)))
    text, first_text = _numbered(rows.column("text").to_pylist())
    images, texts = drawn.images[first_image], drawn.texts[first_text]
    found: list[Slice] = []

    def count(direction: str, first: npt.NDArray[np.int64], hit: npt.NDArray[np.bool_], pool: int, *by: str) -> None:
        asked = rows.take(pa.array(first))
        kinds = {"all": ["all"] * len(asked), **_kinds(asked)}
        for name in by:
            if name in kinds:
                found.extend(slices(direction, name, kinds[name], hit, pool, asked.column("id").to_pylist()))

    hit = ranks(images, texts, (image, text)) <= top
    count("image_to_text", first_image, hit, len(texts), "all", "source", "size")
    # An image with captions in two languages asks for each; those in the other are not wrong either.
    image_in, first_in = _numbered(list(zip(ids, items, spoken, strict=True)))
    neutral = _own_texts(image[first_in], image, text)
    hit = ranks(drawn.images[first_in], texts, (image_in, text), neutral) <= top
    count("image_to_text", first_in, hit, len(texts), "language")
    hit = ranks(texts, images, (text, image)) <= top
    count("text_to_image", first_text, hit, len(images), "all", "source", "size", "language")
    return found


def _own_texts(
    queries: npt.NDArray[np.int64], image: npt.NDArray[np.int64], text: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Each query, an image, with each text of that image."""
    order = np.argsort(image, kind="stable")
    low, high = (np.searchsorted(image[order], queries, side=side) for side in ("left", "right"))
    query = np.repeat(np.arange(len(queries)), high - low)
    within = np.arange(len(query)) - np.repeat(np.cumsum(high - low) - (high - low), high - low)
    return query, text[order[np.repeat(low, high - low) + within]]


def _numbered(values: Sequence[Any]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """A number for each value, equal for equal ones, and the row where each number stands first."""
    seen: dict[Any, int] = {}
    numbered = np.array([seen.setdefault(value, len(seen)) for value in values], np.int64)
    first = np.unique(numbered, return_index=True)[1].astype(np.int64)
    return numbered, first


def _kinds(rows: pa.Table) -> dict[str, Sequence[str]]:
    kinds: dict[str, Sequence[str]] = {name: rows.column(name).to_pylist() for name in ("language", "source")}
    if "min_side" in rows.column_names:
        kinds["size"] = [_bucket(side) for side in real_numbers(rows.column("min_side")).tolist()]
    return kinds


def _bucket(side: float) -> str:
    """The sizes beside which an image is counted, by its shorter side.

    >>> _bucket(100), _bucket(300), _bucket(2000), _bucket(float("nan"))
    ('under 128 px', '256 to 511 px', 'from 1024 px', 'not known')
    """
    if np.isnan(side):
        return "not known"
    above = [edge for edge in _SIDES if side >= edge]
    if not above:
        return f"under {_SIDES[0]} px"
    return f"from {above[-1]} px" if above[-1] == _SIDES[-1] else f"{above[-1]} to {_SIDES[len(above)] - 1} px"


def _drawn(layout: Layout, encoder: EncoderFacts, units: int, sample: int, seed: int) -> _Drawn:
    """The captions of the images with the least keys; of a unit only those that can be among them are held."""
    path = layout.rows_of(CHECKED)
    stored = pq.read_schema(path).names
    columns = [name for name in (*_COLUMNS, *_WHERE_MEASURED) if name in stored]
    held: _Drawn | None = None
    keys = np.zeros(0, np.uint64)
    with UnitReader(path, columns) as reader, UnitReader(layout.verdicts(CHECKED), KEPT_COLUMNS) as verdicts:
        for unit in range(units):
            rows = _captions(reader.read(unit), kept_of(verdicts, unit))
            if not len(rows) and held is not None:
                continue
            vectors = UnitVectors(layout, encoder.store, unit)
            ids, items, texts = (rows.column(name) for name in ("id", "image_item", "text_item"))
            new = _Drawn(rows, vectors.of(ids, items), vectors.of(ids, texts))
            held = new if held is None else _joined(held, new)
            keys = np.concatenate([keys, draw_keys("retrieval", seed, ids.to_pylist(), items.to_pylist())])
            last = distinct_numbers(keys)[:sample][-1:]
            order = np.lexsort((numbers(held.rows.column("text_item")), keys))
            order = order[keys[order] <= last] if len(last) else order
            keys = keys[order]
            held = _Drawn(held.rows.take(pa.array(order)), held.images[order], held.texts[order])
    assert held is not None  # a run has a unit
    return held


def _captions(rows: pa.Table, kept: pa.Table) -> pa.Table:
    """The rows of kept captions that have an alignment: of other texts nobody expects that an image finds them."""
    texts = pa.table({"id": rows.column("id"), "item": rows.column("text_item")})
    gone = np.isin(item_keys(texts, rows), left_out_keys(kept, rows))
    of_kept = pc.is_in(rows.column("id"), kept.column("id").combine_chunks())
    wanted = pc.and_(pc.and_(of_kept, rows.column("alternative")), pc.is_valid(rows.column("alignment")))
    spoken = pa.array([language_of(language) for language in text_language(rows).to_pylist()], pa.string())
    rows = rows.drop_columns(["language"]) if "language" in rows.column_names else rows
    return rows.append_column("language", spoken).filter(pc.and_(wanted, pa.array(~gone)))


def _joined(one: _Drawn, other: _Drawn) -> _Drawn:
    rows = pa.concat_tables([one.rows, other.rows])
    return _Drawn(rows, np.concatenate([one.images, other.images]), np.concatenate([one.texts, other.texts]))


def _result(config: RetrievalConfig, found: Sequence[Slice], failed: Sequence[Slice]) -> dict[str, Any]:
    return {
        "top": config.top,
        "share": config.share,
        "passed": not failed,
        "pools": {one.direction: one.pool for one in found},
        "slices": [{**vars(one), "share": round(one.share, 6), "failed": one in failed} for one in found],
    }


def _sentence(layout: Layout, config: RetrievalConfig, failed: Sequence[Slice]) -> str:
    worst = sorted(failed, key=lambda one: (one.share, one.direction, one.by, one.value))[:_WORST]
    lines = [
        f"the retrieval check failed: the right partner is to be among the first {config.top} for {config.share:.0%}"
    ]
    for one in worst:
        what = "all" if one.by == "all" else f"{one.by} {one.value}"
        low, high = one.interval
        lines.append(
            f"  {one.direction.replace('_', ' ')}, {what}: {one.share:.1%} ({low:.1%} to {high:.1%}) of "
            f"{one.queries:,}, among {one.pool:,}; not found: {', '.join(id[:12] for id in one.missed)}"
        )
    if len(failed) > len(worst):
        lines.append(f"  and {len(failed) - len(worst)} more: {layout.checks}")
    example = worst[0].missed[0][:12]
    lines.append(
        f"look at one with `sluice why {layout.named} {example}`; if texts do not fit their images, tighten the rules "
        "under `quality`; if they fit, the encoder does not know such data: take another, or ask for a lower `share`"
    )
    return "\n".join(lines)
