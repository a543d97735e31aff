"""Boxes to cover in images: from what the source holds, a plugin or a service; found once for a unit, and kept.

A unit's boxes lie in one table: null where nobody says whether there are any, empty where there are none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from sluice.engine import Engine, WorkerContext
from sluice.errors import RecipeError, SampleFailure, SluiceError
from sluice.measures.base import Columns, Measure, data, header, rgb
from sluice.media.limits import Limits
from sluice.media.redact import Box
from sluice.models.detector import checked_boxes, detect_over_http, registered_detector
from sluice.models.digest import content_hash
from sluice.models.http_post import poster_to
from sluice.run.embedding import Chosen, EmbedJob, bring_up_to_date, measured, of_chosen, with_missing
from sluice.run.events import Events
from sluice.run.measure_plan import LoadedPlan, load_plugins
from sluice.run.measuring import UnitCost
from sluice.run.redact_config import BoxesConfig, FieldBoxes, HttpBoxes, PluginBoxes
from sluice.table.commit import write_table
from sluice.table.compute import pc
from sluice.table.ids import fingerprint
from sluice.table.layout import Layout
from sluice.table.read import read_table

if TYPE_CHECKING:
    from sluice.run.recipe import RecipeFile

FIND_UNIT: Final = "sluice.run.boxes:find_unit"
BOXES: Final = pa.list_(pa.list_(pa.float32()))


@dataclass(frozen=True)
class BoxPlan:
    """Who finds boxes: picklable, the same in every process."""

    config: BoxesConfig
    plugins: tuple[str, ...]
    limits: Limits

    @property
    def share(self) -> bool:
        """Whether the boxes are in shares of the image's sides."""
        return isinstance(self.config, FieldBoxes) and self.config.share

    @property
    def store(self) -> str:
        """The folder of the boxes: name@fingerprint."""
        if isinstance(self.config, FieldBoxes):
            return f"boxes.{self.config.field}@{fingerprint('field/1', self.config.model_dump_json())}"
        (identity,) = self.load().identities()
        return identity

    def load(self) -> LoadedPlan:
        """The detector as a measure."""
        load_plugins(self.plugins)
        measure = _plugin(self.config) if isinstance(self.config, PluginBoxes) else _service(self.config)
        return LoadedPlan((measure,), self.limits, self.config.batch if isinstance(self.config, PluginBoxes) else 1)


def box_plan(file: RecipeFile, plugins: tuple[str, ...]) -> BoxPlan | None:
    """The plan of the recipe's `redact`, checked; None where it has none."""
    config = file.recipe.redact
    if config is None:
        return None
    plan = BoxPlan(config.boxes, plugins, file.recipe.limits.limits())
    try:
        _ = plan.store
    except SluiceError as error:
        raise RecipeError(f"{file.where('redact', 'boxes')}: {error}") from None
    return plan


def find_boxes(
    layout: Layout, plan: BoxPlan, chosen: Chosen, units: int, engine: Engine, events: Events
) -> dict[str, float]:
    """Find what is missing of the boxes in the images of the `chosen` samples; the seconds spent, over all workers."""
    path_of = partial(layout.boxes, plan.store)
    return bring_up_to_date(FIND_UNIT, (layout, plan), path_of, chosen, units, engine, events, "detecting")


def find_unit(shared: tuple[Layout, BoxPlan], job: EmbedJob, context: WorkerContext) -> UnitCost:
    """Bring the boxes of one unit up to date. Runs in a worker."""
    layout, plan = shared
    path = layout.boxes(plan.store, job.unit)
    if isinstance(plan.config, FieldBoxes):
        table, cost = _of_field(layout, plan.config, job)
    else:
        detector = plan.load()
        table, cost = with_missing(
            layout, path, job, lambda items: measured(detector, job.unit, items, context), ("image",)
        )
    write_table(path, table)
    return cost


def without_boxes(layout: Layout, store: str, units: int) -> tuple[dict[str, tuple[str, str]], set[str]]:
    """The samples on which the detector failed, with class and message; and those of which nobody says anything."""
    failed: dict[str, tuple[str, str]] = {}
    unknown: set[str] = set()
    for unit in range(units):
        table = read_table(layout.boxes(store, unit), ["id", "error", "boxes"])
        for row in table.filter(pc.is_null(table.column("boxes"))).to_pylist():
            if row["error"] is None:
                unknown.add(row["id"])
            else:
                name, _, message = row["error"].partition(": ")
                failed[row["id"]] = (name, f"{store.partition('@')[0]}: {message}")
    return failed, unknown - failed.keys()


def _of_field(layout: Layout, config: FieldBoxes, job: EmbedJob) -> tuple[pa.Table, UnitCost]:
    items = of_chosen(layout, job)
    items = items.filter(pc.equal(items.column("kind"), "image"))
    samples = read_table(layout.samples(job.unit), ["id", "meta"], threads=False)
    at = pc.index_in(items.column("id"), samples.column("id").combine_chunks())
    metas = zip(items.column("meta").to_pylist(), samples.column("meta").take(at).to_pylist(), strict=True)
    found: list[list[Box] | None] = []
    errors: list[str | None] = []
    for own, whole in metas:
        try:
            found.append(_boxes_in(config, own, whole))
            errors.append(None)
        except SampleFailure as failure:
            found.append(None)
            errors.append(str(SampleFailure("decode", f"field {config.field}: {failure.message}")))
    columns = {"id": items.column("id"), "item": items.column("item"), "error": pa.array(errors, pa.string())}
    table = pa.table({**columns, "boxes": pa.array(found, BOXES)}).replace_schema_metadata(job.chosen.metadata)
    samples_seen: int = pc.count_distinct(items.column("id")).as_py()
    return table, UnitCost(job.unit, samples_seen, len(errors) - errors.count(None), 0, {})


def _boxes_in(config: FieldBoxes, *metas: str | None) -> list[Box] | None:
    """The boxes in the first of `metas` that has the field; None where none has it.

    >>> config = FieldBoxes(type="field", field="objects", form="xywh", categories=("face",))
    >>> meta = '{"objects": [{"category": "face", "bbox": [1, 2, 3, 4]}, {"category": "cat", "bbox": [0, 0, 9, 9]}]}'
    >>> _boxes_in(config, None, meta), _boxes_in(config, "{}", None)
    ([(1.0, 2.0, 4.0, 6.0)], None)
    """
    for meta in metas:
        value: Any = json.loads(meta).get(config.field) if meta else None
        value = json.loads(value) if isinstance(value, str) and value.lstrip().startswith("[") else value
        if value is not None:
            return checked_boxes(list(_of_categories(config, value)), config.form)
    return None


def _of_categories(config: FieldBoxes, value: Any) -> Iterator[Any]:
    if not isinstance(value, list):
        raise SampleFailure("decode", f"{str(value)[:80]!r} is no list of boxes")
    for box in value:
        if not isinstance(box, dict):
            yield box
        elif not config.categories or box.get("category") in config.categories:
            yield box.get("bbox")


def _plugin(config: PluginBoxes) -> Measure:
    found = registered_detector(config.function)
    params = found.with_params(config.params)

    def find(batch: Any, **params: Any) -> Columns:
        given = list(found.function(batch.rgb, **params))
        if len(given) != len(batch):
            raise SluiceError(f"the detector {config.function} answered {len(given)} times for {len(batch)} images")
        return {"boxes": [_in_px(*one) for one in zip(given, batch.rgb, batch.header, strict=True)]}

    views = rgb(config.max_side, exact=False), header()
    name = f"boxes.{config.function}"
    return Measure(name, found.version, views, {"boxes": BOXES}, find, params, code=fingerprint(found.text))


def _in_px(given: Sequence[Sequence[float]] | None, pixels: Any, head: Any) -> list[list[float]] | None:
    """Boxes in a smaller decoding as boxes of the image itself."""
    if given is None:
        return None
    scale = np.array([head.width / pixels.shape[1], head.height / pixels.shape[0]] * 2)
    return [(np.array(box) * scale).tolist() for box in checked_boxes(given)]


def _service(config: BoxesConfig) -> Measure:
    assert isinstance(config, HttpBoxes)
    post = poster_to(config)

    def find(batch: Any) -> Columns:
        return {"boxes": [[list(box) for box in detect_over_http(post, config.model, image)] for image in batch.bytes]}

    stated = config.model_dump_json(include={"url", "model", "revision"})
    hash = content_hash({"detector": stated.encode()})
    return Measure("boxes.http", 1, (data(),), {"boxes": BOXES}, find, model=hash)
