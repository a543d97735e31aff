"""Traceability: every count adds up, every byte is what was written, every sample and every model has its origin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import yaml

from sluice.errors import RunError
from sluice.run.gate.captions import revisions
from sluice.run.gate.check import Check, limited, unknown
from sluice.run.packed import PackedTables
from sluice.run.redact_config import BoxesConfig, FieldBoxes, HttpBoxes, PluginBoxes
from sluice.run.scores import load_scores
from sluice.run.stage import stage_record
from sluice.run.verifying import count_problems, verify_run
from sluice.table.layout import CHECKED, FINAL, RAW
from sluice.wording import counted

if TYPE_CHECKING:
    from sluice.run.ledger import Run

TRACEABILITY: Final = "traceability"
_NOT_STATED: Final = "not stated"
_SERVICE: Final = "http"


def traceability_checks(run: Run, tables: PackedTables, *, fast: bool) -> Iterator[Check]:
    """Counts, checksums, origins, models."""
    yield _counts(run)
    yield _checksums(run, fast=fast)
    yield _origins(run, tables)
    yield _models(run)


def _counts(run: Run) -> Check:
    done = run.layout.stages_done()
    problems = [f"{stage} is not finished" for stage in run.stages if stage not in done]
    problems += count_problems(run.layout)
    value = problems[0] if problems else f"add up in {counted(len(done), 'stage')}"
    how = "`sluice verify` says all of it; `sluice run` makes a stage again that is not finished"
    return limited(TRACEABILITY, "counts", value, "in = out", fine=not problems, how=how, details=problems)


def _checksums(run: Run, *, fast: bool) -> Check:
    if fast:
        return unknown(TRACEABILITY, "checksums", "not read", "all", required=False, how="leave out --fast")
    try:
        found = verify_run(run.layout)
    except RunError as error:
        return limited(TRACEABILITY, "checksums", "cannot be read", "all", fine=False, how=str(error))
    value = f"{counted(found.shards, 'shard')} re-read: " + (
        "as written" if found.fine else counted(len(found.problems), "problem")
    )
    how = f"`sluice verify {run.layout.named}` lists them"
    return limited(TRACEABILITY, "checksums", value, "all", fine=found.fine, how=how, details=list(found.problems[:20]))


def _origins(run: Run, tables: PackedTables) -> Check:
    """Every packed sample with its raw sample and the place of each image; each text of ours with who made it."""
    raw = run.layout.root / RAW / "samples" / "unit-*.parquet"
    lost = tables.duck.execute(
        """
        SELECT id FROM packed ANTI JOIN (SELECT id FROM read_parquet($raw) WHERE source IS NOT NULL AND key IS NOT NULL)
            USING (id)
        UNION SELECT id FROM items WHERE kind = 'image' AND uri IS NULL ORDER BY id
        """,
        {"raw": str(raw)},
    ).fetchall()
    packed = tables.duck.execute("SELECT count(*) FROM packed").fetchall()[0][0]
    missing = [id for (id,) in lost]
    value = f"{packed - len(missing):,} of {counted(packed, 'sample')}"
    how = f"`sluice why {run.layout.named} {missing[0]}` says what is known" if missing else ""
    return limited(TRACEABILITY, "origins", value, "all", fine=not missing, how=how, details=missing[:20])


def _models(run: Run) -> Check:
    """Each model with the hash or, of a service, the revision under which it is recorded."""
    models: dict[str, str | None] = dict(_of_measures(run))
    recipe = run.recipe
    if recipe.quality:
        encoder: dict[str, Any] = stage_record(run.layout, CHECKED).get("encoder", {})
        stated = recipe.quality.encoder.type != _SERVICE or encoder.get("revision") != _NOT_STATED
        models[f"encoder {encoder.get('name', '')}"] = encoder.get("hash") if stated else None
    models |= {f"score {score.name}": score.revision for score in load_scores(run.file)}
    if recipe.redact and not isinstance(recipe.redact.boxes, FieldBoxes):
        models |= {f"detector {_detector(recipe.redact.boxes)}": _detector_revision(run, recipe.redact.boxes)}
    for name, told in revisions(run.layout).items() if recipe.captions else ():
        models[f"captioner {name}"] = None if {"", _NOT_STATED} & told else ", ".join(sorted(told))
    nameless = [name for name, known in models.items() if not known]
    if nameless:
        how = "state the `revision` of a service; what else has no hash was not recorded: run that stage again"
        why = f"no hash of {', '.join(nameless)}"
        return unknown(TRACEABILITY, "models", why, "all", required=True, how=how, details=models)
    value = f"{len(models)} with hash: {', '.join(models)}" if models else "none was used"
    return limited(TRACEABILITY, "models", value, "all", fine=True, details=models)


def _detector(boxes: BoxesConfig) -> str:
    return boxes.model if isinstance(boxes, HttpBoxes) else boxes.function if isinstance(boxes, PluginBoxes) else ""


def _detector_revision(run: Run, boxes: BoxesConfig) -> str | None:
    """What is stated of a service; of a plugin what its boxes are named by, its file included."""
    if isinstance(boxes, HttpBoxes):
        return None if boxes.revision == _NOT_STATED else boxes.revision
    return str(stage_record(run.layout, FINAL).get("boxes", "")).partition("@")[2]


def _of_measures(run: Run) -> Iterator[tuple[str, str | None]]:
    """The models of measures: `recipe.lock.yaml` names those that have one."""
    lock: dict[str, Any] = yaml.safe_load(run.layout.recipe_lock.read_bytes())
    for identity, measure in (lock.get("measures") or {}).items():
        if measure["model"] is not None:
            yield identity.partition("@")[0], measure["model"] or None
